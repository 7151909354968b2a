package serving_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestSelfSigned installs Portcullis as the manifests do, with an empty Secret and
// configurations without an authority, and two replicas that start at once. It is
// not parallel to other tests, which cannot create anything meanwhile.
func TestSelfSigned(t *testing.T) {
	c := cluster.Cluster(t)
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	var servers []*harness.Server
	for range 2 {
		s, err := c.StartServer(harness.ServeOptions{SelfSigned: true, Registries: c.Registry.Config()})
		if err != nil {
			t.Fatal(err)
		}
		suite.StopAfter(t, s)
		servers = append(servers, s)
	}
	if err := c.Register(t.Context(), servers[0].Endpoint); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if err := s.WaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var authority string
	suite.Eventually(t, suite.Soon, func() (err error) {
		authority, err = bundles(t, c)
		return err
	})
	for i, s := range servers {
		s.CA = []byte(authority)
		if response := suite.Review(t, s, "/validate", review(t)); !response.Allowed {
			t.Errorf("replica %d: got %q, want allowed", i, response.Result.Message)
		}
	}
	namespace := c.Namespace(t, nil)
	policy := c.Policy(t, namespace, "{mutate: {digests: {}}, validate: {podSecurity: {level: baseline}}}", servers...)
	spec := suite.GoodSpec()
	good := suite.Deployment.New(namespace, "good", spec)
	if err := c.Client.Create(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	if got, want := suite.SpecOf(good).Containers[0].Image, c.Registry.Pinned(harness.NginxImage); got != want {
		t.Errorf("stored image: got %q, want %q", got, want)
	}
	spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	spec.Containers[0].SecurityContext.Privileged = ptr.To(true)
	err := c.Client.Create(t.Context(), suite.Deployment.New(namespace, "bad", spec))
	if err == nil || !strings.Contains(err.Error(), policy+": podSecurity/privileged") {
		t.Errorf("got %v, want a refusal by policy %s", err, policy)
	}

	// Applying the manifests again, as an upgrade does, leaves the authority there.
	if err := c.Register(t.Context(), servers[0].Endpoint); err != nil {
		t.Fatal(err)
	}
	if again, err := bundles(t, c); err != nil || again != authority {
		t.Errorf("after applying the manifests again: got caBundle %q (%v), want it unchanged", again, err)
	}
}

// bundles is the authority that all webhooks of both configurations name.
func bundles(t *testing.T, c *suite.Cluster) (string, error) {
	t.Helper()
	found := map[string]bool{}
	for _, shipped := range c.Configurations {
		configuration := &unstructured.Unstructured{}
		configuration.SetGroupVersionKind(shipped.GroupVersionKind())
		if err := c.Client.Get(t.Context(), client.ObjectKeyFromObject(shipped), configuration); err != nil {
			return "", err
		}
		webhooks, _, err := unstructured.NestedSlice(configuration.Object, "webhooks")
		if err != nil {
			return "", err
		}
		for _, webhook := range webhooks {
			bundle, _, err := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "caBundle")
			if err != nil || bundle == "" {
				return "", fmt.Errorf("%s %s: a webhook has no caBundle (%w)", shipped.GetKind(), shipped.GetName(), err)
			}
			found[bundle] = true
		}
	}
	for bundle := range found {
		decoded, err := base64.StdEncoding.DecodeString(bundle)
		if len(found) == 1 {
			return string(decoded), err
		}
	}
	return "", fmt.Errorf("got %d different caBundles, want one", len(found))
}

// TestReplacedCertificate holds that a certificate that somebody else renews is
// served without a restart.
func TestReplacedCertificate(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	want, err := c.Authority.Issue(s.CertDir)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	suite.Eventually(t, suite.Soon, func() error {
		connection, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: roots})
		if err != nil {
			return err
		}
		defer connection.Close()
		if got := connection.ConnectionState().PeerCertificates[0].SerialNumber; got.Cmp(want) != 0 {
			return fmt.Errorf("got the certificate with serial number %s, want %s", got, want)
		}
		return nil
	})
}
