package webhook

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// Keys of the Secret of a self-signed installation. The pair that is served has
// the keys of every Secret for TLS, certName and keyName.
const (
	authoritiesName  = "ca.crt" // newest first
	authorityKeyName = "ca.key" // of the newest
)

const (
	// authorityLifetimes is how many lifetimes of a certificate an authority lives.
	authorityLifetimes = 4
	// renewedPart is the part of a lifetime that is left when it is renewed: a third.
	renewedPart = 3
	// clockSkew is how far behind the clock of an API server may be. That of a replica
	// which is set forward, by the hours of a time zone say, would make a certificate
	// that nobody takes before these have passed.
	clockSkew = 24 * time.Hour
	// maxAuthorities bounds those that are trusted beside the newest.
	maxAuthorities = 8
)

// keyring is what the Secret holds. What of it is missing or cannot be read is
// made anew.
type keyring struct {
	// authorities are trusted, the newest first. It signs; the others have signed
	// what may still be served somewhere.
	authorities []*x509.Certificate
	// key is that of the newest authority, nil where it is not known.
	key *ecdsa.PrivateKey
	// serving is the pair that is served, nil while there is none. Its key may be of
	// any kind: somebody else may have put it there.
	serving *tls.Certificate
	// certificatePEM and keyPEM are what serving was read from.
	certificatePEM, keyPEM []byte
}

func readKeyring(data map[string][]byte) keyring {
	k := keyring{authorities: readCertificates(data[authoritiesName])}
	if block, _ := pem.Decode(data[authorityKeyName]); block != nil && len(k.authorities) > 0 {
		key, err := x509.ParseECPrivateKey(block.Bytes)
		if err == nil && key.PublicKey.Equal(k.authorities[0].PublicKey) {
			k.key = key
		}
	}
	if pair, err := tls.X509KeyPair(data[certName], data[keyName]); err == nil {
		k.serving, k.certificatePEM, k.keyPEM = &pair, data[certName], data[keyName]
	}
	return k
}

// data is the content of the Secret.
func (k keyring) data() (map[string][]byte, error) {
	key, err := encodeKey(k.key)
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{authoritiesName: k.bundle(), authorityKeyName: key}
	if k.serving != nil {
		data[certName], data[keyName] = k.certificatePEM, k.keyPEM
	}
	return data, nil
}

// bundle is the caBundle with which what this keyring has signed is trusted.
func (k keyring) bundle() []byte { return encodeCertificates(k.authorities...) }

// needsAuthority reports whether there is no authority to sign with, or not for
// much longer.
func (k keyring) needsAuthority(lifetime time.Duration, now time.Time) bool {
	return k.key == nil || now.After(renewal(k.authorities[0], authorityLifetimes*lifetime))
}

// needsCertificate reports whether what is served has to be replaced.
func (k keyring) needsCertificate(s *SelfSigned, now time.Time) bool {
	if k.serving == nil || now.After(renewal(k.serving.Leaf, s.Lifetime)) {
		return true
	}
	if k.serving.Leaf.CheckSignatureFrom(k.authorities[0]) != nil {
		return true
	}
	return slices.ContainsFunc(s.DNSNames, func(name string) bool { return k.serving.Leaf.VerifyHostname(name) != nil })
}

// addAuthority makes a new authority. Those before it stay trusted until they
// expire, and so do others that the API server trusts now: replicas go on serving
// what they have signed.
func (k *keyring) addAuthority(lifetime time.Duration, others []*x509.Certificate, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of an authority: %w", err)
	}
	template := &x509.Certificate{
		// A name of its own: two authorities are not taken for each other.
		Subject:   pkix.Name{CommonName: fmt.Sprintf("portcullis-ca-%d", now.UnixNano())},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(authorityLifetimes * lifetime),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	made, err := sign(template, template, key, key)
	if err != nil {
		return err
	}
	trusted := []*x509.Certificate{made}
	for _, c := range slices.Concat(k.authorities, others) {
		if now.Before(c.NotAfter) && !slices.ContainsFunc(trusted, c.Equal) && len(trusted) <= maxAuthorities {
			trusted = append(trusted, c)
		}
	}
	k.authorities, k.key = trusted, key
	return nil
}

// addCertificate makes the newest authority sign a new certificate.
func (k *keyring) addCertificate(s *SelfSigned, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the key of a certificate: %w", err)
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: s.DNSNames[0]},
		DNSNames:  s.DNSNames,
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(s.Lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := sign(template, k.authorities[0], key, k.key)
	if err != nil {
		return err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	k.serving = &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	k.certificatePEM, k.keyPEM = encodeCertificates(leaf), encoded
	return nil
}

// sign makes the certificate of a key.
func sign(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("making a serial number: %w", err)
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %q: %w", template.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// renewal is when a certificate is due for renewal.
func renewal(c *x509.Certificate, lifetime time.Duration) time.Time {
	return c.NotAfter.Add(-lifetime / renewedPart)
}

// readCertificates reads those that can be read.
func readCertificates(data []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return all
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, c)
		}
	}
}

func encodeCertificates(certificates ...*x509.Certificate) []byte {
	var b bytes.Buffer
	for _, c := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.Bytes()
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	if key == nil {
		return nil, errors.New("writing a key: there is none")
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("writing a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
