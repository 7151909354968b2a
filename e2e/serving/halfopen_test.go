package serving_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestF25HalfOpen lets the connections to the API server go dead without a word, as a
// firewall does that forgets them. Reviews are answered all the same, by what is known,
// and what changes afterwards is in force once the connections have been found dead:
// with the settings of client-go a ping after 30 s, and 15 s for its answer; here a
// second each. The kernel alone would take a quarter of an hour.
func TestF25HalfOpen(t *testing.T) {
	c := cluster.Cluster(t)
	for _, setting := range []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS", "HTTP2_PING_TIMEOUT_SECONDS"} {
		t.Setenv(setting, "1")
	}
	wire, err := harness.NewWire(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.Close)
	s := serve(t, c, harness.ServeOptions{Wire: wire})
	first, second := c.Namespace(t, nil), c.Namespace(t, nil)
	const spec = "{validate: {podSecurity: {level: baseline}}}"
	c.Policy(t, first, spec, s)
	before := wire.Connections()
	wire.Cut()
	cut := time.Now()
	bad := suite.GoodSpec()
	bad.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	bad.Containers[0].SecurityContext.Privileged = ptr.To(true)
	object, err := json.Marshal(suite.Pod.New(first, "bad", bad))
	if err != nil {
		t.Fatal(err)
	}
	request := suite.Request{Kind: suite.Pod, Namespace: first, Operation: "CREATE", Object: object}
	if suite.Review(t, s, "/validate", request).Allowed {
		t.Error("got a bad pod allowed while the connections are dead, want it judged by what is known")
	}
	c.Policy(t, second, spec, s) // waits for it to be in force
	t.Logf("in force %s after the connections went dead", time.Since(cut).Round(100*time.Millisecond))
	if wire.Connections() == before {
		t.Error("got it in force without a new connection: the test proves nothing")
	}
}

// TestF25DeadClients holds that the kernel asks clients that say nothing whether they
// are still there: one that is gone is found so after two minutes, and it is closed
// after a minute and a half anyway if it had nothing under way.
func TestF25DeadClients(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	s := serve(t, c, harness.ServeOptions{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	connection, err := tls.Dial("tcp", strings.TrimPrefix(s.URL, "https://"), &tls.Config{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	near, far := port(t, connection.LocalAddr()), port(t, connection.RemoteAddr())
	suite.Eventually(t, suite.Soon, func() error { // the handshake's own timers go first
		timer, err := socketTimer(far, near)
		if err == nil && timer != keepAliveTimer {
			err = fmt.Errorf("got timer %q at the server's end of an idle connection, want %q, of TCP keep-alive", timer, keepAliveTimer)
		}
		return err
	})
}

// keepAliveTimer is how /proc/net/tcp names the timer of TCP keep-alive
// (https://docs.kernel.org/networking/proc_net_tcp.html).
const keepAliveTimer = "02"

func port(t *testing.T, a net.Addr) string {
	t.Helper()
	address, ok := a.(*net.TCPAddr)
	if !ok {
		t.Fatalf("got address %v, want one of TCP", a)
	}
	return fmt.Sprintf(":%04X", address.Port)
}

// socketTimer is the timer that runs for the socket with these ports.
func socketTimer(local, remote string) (string, error) {
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(data)) {
			fields := strings.Fields(line)
			if len(fields) > 5 && strings.HasSuffix(fields[1], local) && strings.HasSuffix(fields[2], remote) {
				timer, _, _ := strings.Cut(fields[5], ":")
				return timer, nil
			}
		}
	}
	return "", fmt.Errorf("found no socket with ports %s and %s", local, remote)
}
