package cloudevents

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/portcullis-dev/portcullis/image"
)

const (
	// maxAnswer is how much of an answer is read, so that the connection can be used
	// again; nothing of it is looked at.
	maxAnswer = 4 << 10
	// maxFile bounds the files.
	maxFile = 1 << 20
	// maxAuthorization bounds the value of the header.
	maxAuthorization = 16 << 10
)

// poster posts one event.
type poster struct {
	options *Options
	dial    image.DialFunc
	client  *http.Client
	// roots are the certificates that the client trusts, by their bytes.
	roots [sha256.Size]byte
}

// answer is how an attempt ended: well, where there is no error.
type answer struct {
	err error
	// again is set where another attempt may end better, after is how long the sink
	// asks to wait for it.
	again bool
	after time.Duration
}

func newPoster(o *Options) (*poster, error) {
	address, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the address of the sink: %w", errors.Unwrap(err)) // the outer error has all of it
	case address.Scheme != "https" && address.Scheme != "http", address.Host == "", address.Fragment != "":
		return nil, errors.New("reading the address of the sink: want https://HOST/PATH")
	case address.User != nil:
		return nil, errors.New("reading the address of the sink: it has a user; write credentials into a file, for the header Authorization")
	case address.Scheme == "http" && o.AuthorizationFile != "":
		return nil, errors.New("reading the address of the sink: it begins with http:, by which everybody on the way would read the Authorization; want https")
	}
	if _, err := url.Parse(o.Source); err != nil || o.Source == "" || attribute(o.Source) != o.Source {
		return nil, fmt.Errorf("reading the source of events %q: want a URI reference, such as //cluster.example.com/production", o.Source)
	}
	p := &poster{options: o}
	resolver, dial := o.Resolver, o.Dial
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	chosen := image.ChosenDialer(resolver, dial, o.Timeout)
	p.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := chosen(ctx, network, address)
		if err != nil {
			return nil, dialError{err}
		}
		return conn, nil
	}
	if err := p.connect(); err != nil {
		return nil, err
	}
	_, err = p.authorization()
	return p, err
}

// connect makes the client anew when the certificates to trust have changed. There
// is no proxy: behind one the address that is dialled could not be judged.
func (p *poster) connect() error {
	var config *tls.Config
	var sum [sha256.Size]byte
	if p.options.CAFile != "" {
		data, err := readFile(p.options.CAFile)
		if err != nil {
			return fmt.Errorf("reading the authority of the sink: %w", err)
		}
		config = &tls.Config{RootCAs: x509.NewCertPool()}
		if !config.RootCAs.AppendCertsFromPEM(data) {
			return fmt.Errorf("reading the authority of the sink: %q has no certificate in PEM", p.options.CAFile)
		}
		sum = sha256.Sum256(data)
	}
	if p.client != nil {
		if sum == p.roots {
			return nil
		}
		p.client.CloseIdleConnections()
	}
	p.roots = sum
	p.client = &http.Client{
		// A redirect is an answer like others: what was meant for one host goes to no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: p.dial, TLSClientConfig: config, TLSHandshakeTimeout: p.options.Timeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
		},
	}
	return nil
}

// authorization is the value of the header, empty for none.
func (p *poster) authorization() (string, error) {
	if p.options.AuthorizationFile == "" {
		return "", nil
	}
	data, err := readFile(p.options.AuthorizationFile)
	if err != nil {
		return "", fmt.Errorf("reading the authorization for the sink: %w", err)
	}
	value := strings.TrimSpace(string(data))
	if value == "" || len(value) > maxAuthorization || !httpguts.ValidHeaderFieldValue(value) {
		return "", fmt.Errorf("reading the authorization for the sink: %q has no value of a header: want one line, such as Bearer TOKEN", p.options.AuthorizationFile)
	}
	return value, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxFile))
}

// do makes one attempt. Nothing that the sink writes gets into an error: it would be
// in the log, for others to read.
func (p *poster) do(ctx context.Context, body []byte) answer {
	ctx, cancel := context.WithTimeout(ctx, p.options.Timeout)
	defer cancel()
	if err := p.connect(); err != nil {
		return answer{err: err, again: true}
	}
	authorization, err := p.authorization()
	if err != nil {
		return answer{err: err, again: true}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.options.URL, bytes.NewReader(body))
	if err != nil {
		return answer{err: errors.New("making a request for the sink")}
	}
	request.Header.Set("Content-Type", "application/cloudevents+json; charset=UTF-8")
	request.Header.Set("User-Agent", "portcullis")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return answer{err: fmt.Errorf("the sink does not answer: %w", withoutAnswer(err)), again: true}
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // the status has been read
	return judge(response)
}

// dialError is what kept a connection from being made, before the sink said anything.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// withoutAnswer is the part of an error that neither the address, which may be a
// secret, nor anything that the sink wrote is in: errors about answers that are no
// HTTP quote them.
func withoutAnswer(err error) error {
	var dial dialError
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.As(err, &dial):
		return dial.error
	case errors.As(err, &certificate):
		return fmt.Errorf("tls: failed to verify certificate: %w", certificateProblem(certificate.Err))
	case errors.As(err, &network):
		return network
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it closes the connection")
	}
	return errors.New("what it says is not HTTP")
}

// certificateProblem leaves out the names in a certificate, which are the sink's words too.
func certificateProblem(err error) error {
	var host x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &host):
		return errors.New("it is for another name")
	case errors.As(err, &authority):
		return errors.New("it is signed by an authority that is not trusted")
	}
	return errors.New("it is not valid")
}

// judge tells by the status what to do next.
func judge(response *http.Response) answer {
	status := response.StatusCode
	switch {
	case status >= 200 && status < 300:
		return answer{}
	case status >= 300 && status < 400:
		return answer{err: fmt.Errorf("the sink answers %d; redirects are not followed: name the address that events are taken at", status)}
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		seconds, _ := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16)
		return answer{err: fmt.Errorf("the sink answers %d", status), again: true, after: time.Duration(seconds) * time.Second}
	}
	return answer{err: fmt.Errorf("the sink answers %d", status)}
}
