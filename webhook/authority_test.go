package webhook

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// foreignSecret is what another program may have left: an authority and what it has
// signed, with keys in PKCS #8.
func foreignSecret(t *testing.T, makeKey func() (crypto.Signer, error), name string) map[string][]byte {
	t.Helper()
	issue := func(template, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer) {
		key, err := makeKey()
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made, key
	}
	encode := func(key crypto.Signer) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	authority, authorityKey := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "other"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	leaf, key := issue(&x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, authority, authorityKey)
	return map[string][]byte{
		authoritiesName: encodeCertificates(authority), authorityKeyName: encode(authorityKey),
		certName: encodeCertificates(leaf), keyName: encode(key),
	}
}

// TestKeyringUnreadable holds that what cannot be read is made anew, and that the
// authority of a key that is lost stays trusted.
func TestKeyringUnreadable(t *testing.T) {
	whole := keyring{}
	options := &SelfSigned{DNSNames: []string{"a.example"}, Lifetime: time.Hour}
	now := time.Now()
	if err := whole.addAuthority(time.Hour, nil, now); err != nil {
		t.Fatal(err)
	}
	if err := whole.addCertificate(options, now); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change                 func(map[string][]byte)
		authority, certificate bool // is made anew
	}{
		"whole":                   {func(map[string][]byte) {}, false, false},
		"no key of the authority": {func(d map[string][]byte) { delete(d, authorityKeyName) }, true, false},
		"another key":             {func(d map[string][]byte) { d[authorityKeyName] = d[keyName] }, true, false},
		"no certificate":          {func(d map[string][]byte) { delete(d, certName) }, false, true},
		"a key that does not fit": {func(d map[string][]byte) { d[keyName] = d[authorityKeyName] }, false, true},
		"garbage":                 {func(d map[string][]byte) { d[certName], d[authorityKeyName] = []byte("x"), []byte("y") }, true, true},
		"certificates that are no": {func(d map[string][]byte) {
			d[authoritiesName] = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := whole.data()
			if err != nil {
				t.Fatal(err)
			}
			test.change(data)
			k := readKeyring(data)
			if got := k.needsAuthority(time.Hour, now); got != test.authority {
				t.Errorf("needs an authority: got %t, want %t", got, test.authority)
			}
			if test.authority {
				if err := k.addAuthority(time.Hour, nil, now); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(string(data[authoritiesName]), base64.StdEncoding.EncodeToString(whole.authorities[0].Raw)[:60]) && len(k.authorities) != 2 {
					t.Errorf("got %d authorities, want the one before too", len(k.authorities))
				}
				return
			}
			if got := k.needsCertificate(options, now); got != test.certificate {
				t.Errorf("needs a certificate: got %t, want %t", got, test.certificate)
			}
			if !k.needsCertificate(&SelfSigned{DNSNames: []string{"b.example"}, Lifetime: time.Hour}, now) {
				t.Error("needs no certificate for another name")
			}
		})
	}
}

// TestKeyring holds what an authority and its certificate are like.
func TestKeyring(t *testing.T) {
	now := time.Now()
	options := &SelfSigned{DNSNames: []string{"a.example"}, Lifetime: time.Hour}
	k := keyring{}
	if err := k.addAuthority(time.Hour, nil, now); err != nil {
		t.Fatal(err)
	}
	if err := k.addCertificate(options, now); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*x509.Certificate{"authority": k.authorities[0], "certificate": k.serving.Leaf} {
		if got, want := c.NotBefore, now.Add(-clockSkew); got.After(want) {
			t.Errorf("the %s is valid from %s, want it to be for a clock that is %s behind", what, got, clockSkew)
		}
	}
	if k.needsCertificate(options, now) {
		t.Error("needs another certificate at once")
	}
	if err := k.addAuthority(time.Hour, nil, now); err != nil {
		t.Fatal(err)
	}
	if !k.needsCertificate(options, now) {
		t.Error("needs no certificate of its new authority")
	}
	const most = 9 // the newest and eight more
	for range 2 * most {
		if err := k.addAuthority(time.Hour, nil, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(k.authorities); got != most {
		t.Errorf("got %d authorities, want %d", got, most)
	}
}
