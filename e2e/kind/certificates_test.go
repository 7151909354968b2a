//go:build kind

package kind

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// shortLived makes cert-manager renew our certificate every half minute: it wants
// certificates to last an hour, and renews them when renewBefore is left.
const shortLived = `
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: portcullis, namespace: portcullis-system}
spec: {duration: 1h, renewBefore: 59m30s}
`

// TestCertificateRenewal has cert-manager renew the certificate under load until
// every replica has served three of them.
func TestCertificateRenewal(t *testing.T) {
	c := up(t)
	c.install(t, installation{manifests: certManager, patches: []string{shortLived}})
	l := c.startLoad(t)
	replicas := strings.Fields(c.replicaNames(t))
	served := map[string][]string{}
	suite.Eventually(t, 5*time.Minute, func() error {
		for _, replica := range replicas {
			serial, err := c.servedCertificate(replica)
			if err != nil {
				return err
			}
			if !slices.Contains(served[replica], serial) {
				served[replica] = append(served[replica], serial)
			}
			// A kubelet looks at mounted Secrets about once a minute, and whenever
			// something about the pod changes.
			c.kubectl(t, "--namespace", harness.SystemNamespace, "annotate", "pod", replica, "--overwrite", fmt.Sprint("e2e/look=", time.Now().UnixNano()))
		}
		for replica, serials := range served {
			if len(serials) < 3 {
				time.Sleep(2 * time.Second)
				return fmt.Errorf("%s has served the certificates %v, want three", replica, serials)
			}
		}
		return nil
	})
	l.stopUnharmed(t)
	if got := strings.Fields(c.replicaNames(t)); !slices.Equal(got, replicas) {
		t.Errorf("got replicas %v, want those from before, %v", got, replicas)
	}
}

// servedCertificate is the serial number of what a replica serves.
func (c *cluster) servedCertificate(replica string) (string, error) {
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return "", err
	}
	address := c.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(harness.SystemNamespace).Name(replica).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	stop, listening := make(chan struct{}), make(chan struct{})
	defer close(stop)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:9443"}, stop, listening, io.Discard, io.Discard)
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case err := <-ended:
		return "", fmt.Errorf("forwarding a port to %s: %w", replica, err)
	case <-listening:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return "", err
	}
	// Whether the API server trusts it is what the load tells.
	connection, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0].Local), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		return "", fmt.Errorf("connecting to %s: %w", replica, err)
	}
	defer connection.Close()
	return connection.ConnectionState().PeerCertificates[0].SerialNumber.Text(16), nil
}
