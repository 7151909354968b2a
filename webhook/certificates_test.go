package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCertificateMetrics(t *testing.T) {
	c := &certificate{}
	registry := prometheus.NewRegistry()
	c.register(registry)
	expect := func(what, expiry, lifetime string) {
		t.Helper()
		want := `
# HELP portcullis_certificate_expiry_timestamp_seconds When the certificate that is served expires, in seconds since 1970; 0 while there is none.
# TYPE portcullis_certificate_expiry_timestamp_seconds gauge
portcullis_certificate_expiry_timestamp_seconds ` + expiry + `
# HELP portcullis_certificate_lifetime_seconds How long the certificate that is served is valid, from its first moment to its last; 0 while there is none.
# TYPE portcullis_certificate_lifetime_seconds gauge
portcullis_certificate_lifetime_seconds ` + lifetime + "\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	expect("none", "0", "0")
	begin := time.Unix(1_000_000, 0)
	c.set(&tls.Certificate{Leaf: &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(90 * 24 * time.Hour)}})
	expect("90 days", "8.776e+06", "7.776e+06")
}
