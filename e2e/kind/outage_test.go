//go:build kind

package kind

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestReplicaKilled kills one of the replicas, so that it cannot say goodbye. What was
// under way is lost, once for each connection, and what is sent to it until its node
// notices: that is bounded, ends by itself, and lets nothing in.
func TestReplicaKilled(t *testing.T) {
	// A kubelet looks every second, and the news travels to the nodes: two seconds, and
	// as long again where all of them share two processors with other work.
	const bound = 4 * time.Second
	c := up(t)
	c.install(t, standard)
	victim := strings.Fields(c.replicaNames(t))[0]
	restarts := c.restarts(t, victim)
	l := c.startLoad(t)
	time.Sleep(time.Second)
	c.wantBusy(t, victim)
	killed := time.Now()
	c.kill(t, victim, "KILL")
	suite.Eventually(t, time.Minute, func() error {
		if c.restarts(t, victim) == restarts {
			return fmt.Errorf("%s has not been started again", victim)
		}
		return nil
	})
	c.rollout(t)
	time.Sleep(time.Until(killed.Add(bound + 2*time.Second)))
	problems := l.stop(t)
	var last time.Duration
	for _, p := range problems {
		last = p.at.Sub(killed)
		if p.unsafe || last > bound {
			report(t, []problem{p}, killed)
		}
	}
	if len(problems) > loadInFlight {
		t.Errorf("got %d creations refused, want at most %d, one for each connection", len(problems), loadInFlight)
	}
	t.Logf("%d creations were refused, the last %s after the kill", len(problems), last.Round(time.Millisecond))
}

// wantBusy requires that a replica answers reviews right now.
func (c *cluster) wantBusy(t *testing.T, replica string) {
	t.Helper()
	count := func() (float64, error) {
		return c.metric(t.Context(), replica, `portcullis_admission_duration_seconds_count{endpoint="validate"}`)
	}
	before, err := count()
	if err != nil {
		before = 0 // it has answered nothing yet
	}
	suite.Eventually(t, 10*time.Second, func() error {
		now, err := count()
		if err == nil && now == before {
			err = errors.New("the count stands still")
		}
		if err != nil {
			return fmt.Errorf("%s answers nothing: killing it would prove nothing: %w", replica, err)
		}
		return nil
	})
}

// kill sends a signal to the process of one replica, from its node.
func (c *cluster) kill(t *testing.T, replica, signal string) {
	t.Helper()
	pod, err := c.clientset.CoreV1().Pods(harness.SystemNamespace).Get(t.Context(), replica, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	node := pod.Spec.NodeName
	pid := run(t, "docker", "exec", node, "crictl", "inspect", "--output", "go-template", "--template", "{{.info.pid}}", id)
	run(t, "docker", "exec", node, "kill", "-"+signal, strings.TrimSpace(pid))
}

// restarts is how often a replica's container was started again.
func (c *cluster) restarts(t *testing.T, replica string) int32 {
	t.Helper()
	pod, err := c.clientset.CoreV1().Pods(harness.SystemNamespace).Get(t.Context(), replica, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return pod.Status.ContainerStatuses[0].RestartCount
}

// TestAllReplicasDead takes away all replicas and the nodes that new ones could
// start on. Nothing that makes pods is stored then, but in the namespaces that must
// go on; and once there is a node, all is well without anybody's hand on Portcullis.
func TestAllReplicasDead(t *testing.T) {
	c := up(t)
	c.install(t, standard)
	tenant := c.namespace(t, "pin", nil)
	c.mustCreate(t, suite.Deployment.New(tenant, "survivor", spec(webImage)))
	c.kubectl(t, "--namespace", tenant, "rollout", "status", "deployment/survivor", "--timeout", "120s")

	for _, node := range c.nodes {
		c.kubectl(t, "cordon", node)
	}
	uncordon := func() {
		for _, node := range c.nodes {
			c.kubectl(t, "uncordon", node)
		}
	}
	defer uncordon()
	dead := c.replicaNames(t)
	c.kubectl(t, "--namespace", harness.SystemNamespace, "delete", "pods", "--all", "--force", "--grace-period=0")

	c.wantDeniedEventually(t, tenant)
	if err := c.client.Create(t.Context(), suite.Deployment.New(tenant, "late", spec(webImage))); err == nil {
		t.Error("a Deployment was created while all replicas were dead")
	}
	c.kubectl(t, "--namespace", tenant, "rollout", "status", "deployment/survivor", "--timeout", "30s") // what runs goes on
	c.kubectl(t, "--namespace", tenant, "delete", "deployment/survivor", "--timeout", "60s")
	pod := newPod("kube-system", "while-portcullis-is-away", webImage)
	pod.Spec.NodeName = c.nodes[0] // past the scheduler, as static pods and DaemonSets of the system are
	c.mustCreate(t, pod)
	c.deleteAfter(t, pod)
	c.waitForPod(t, "kube-system", pod.Name, ready)
	suite.Eventually(t, time.Minute, func() error { // the ReplicaSet makes ours, and they wait for a node
		output := c.kubectl(t, "--namespace", harness.SystemNamespace, "get", "pods", "--field-selector", "status.phase=Pending", "--output", "name")
		if got := len(strings.Fields(output)); got != 2 {
			return fmt.Errorf("got %d pending replicas, want 2 (before: %s)", got, dead)
		}
		return nil
	})

	uncordon()
	c.answers(t, tenant)
	c.mustCreate(t, newPod(tenant, "after", webImage))
	c.waitForPod(t, tenant, "after", ready)
}

// wantDeniedEventually waits until a good pod is refused since nobody answers.
func (c *cluster) wantDeniedEventually(t *testing.T, namespace string) {
	t.Helper()
	suite.Eventually(t, time.Minute, func() error {
		err := c.client.Create(t.Context(), newPod(namespace, "denied", webImage), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), `failed calling webhook "validate.portcullis.dev"`) {
			return fmt.Errorf("got %v, want that calling the webhook failed", err)
		}
		return nil
	})
}

// answers waits until reviews are answered again, and says how long that took.
func (c *cluster) answers(t *testing.T, namespace string) {
	t.Helper()
	begin := time.Now()
	suite.Eventually(t, time.Minute, func() error {
		time.Sleep(50 * time.Millisecond)
		return c.client.Create(t.Context(), newPod(namespace, "answered", webImage), client.DryRunAll)
	})
	t.Logf("reviews are answered after %s", time.Since(begin).Round(100*time.Millisecond))
}

// TestScaledToZero holds that an admin who scales Portcullis to zero has not
// switched it off, and that the API server counts what it did meanwhile.
func TestScaledToZero(t *testing.T) {
	c := up(t)
	c.install(t, standard)
	tenant := c.namespace(t, "pin", nil)
	scale := func(replicas string) {
		c.kubectl(t, "--namespace", harness.SystemNamespace, "scale", "deployment/"+harness.Name, "--replicas", replicas)
	}
	before := c.admissionCounts(t)
	scale("0")
	// A replica that ends may answer the first of the two webhooks still.
	suite.Eventually(t, time.Minute, func() error {
		c.wantDeniedEventually(t, tenant)
		if got := c.admissionCounts(t).minus(before); got.PassedOver == 0 || got.Unanswered == 0 {
			return fmt.Errorf("got %+v counted while nobody answered, want repairs passed over and pods refused", got)
		}
		return nil
	})
	scale("2")
	c.rollout(t)
	c.answers(t, tenant)
}

// TestAPIServerRestart restarts the API server. Our replicas find it again, do not
// restart themselves, and hear of what changes afterwards.
func TestAPIServerRestart(t *testing.T) {
	c := up(t)
	c.install(t, standard)
	namespace := c.namespace(t, "pin", nil)
	replicas := strings.Fields(c.replicaNames(t))
	restarts := map[string]int32{}
	for _, replica := range replicas {
		restarts[replica] = c.restarts(t, replica)
	}
	node := c.nodes[0]
	id := strings.TrimSpace(run(t, "docker", "exec", node, "crictl", "ps", "--name", "kube-apiserver", "--quiet"))
	begin := time.Now()
	run(t, "docker", "exec", node, "crictl", "stop", id)
	suite.Eventually(t, 2*time.Minute, func() error {
		time.Sleep(200 * time.Millisecond)
		_, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		return err
	})
	t.Logf("the API server was ready again after %s", time.Since(begin).Round(100*time.Millisecond))
	again := strings.TrimSpace(run(t, "docker", "exec", node, "crictl", "ps", "--name", "kube-apiserver", "--quiet"))
	if again == id {
		t.Fatal("the API server has not been restarted")
	}
	suite.Eventually(t, time.Minute, func() error {
		return c.client.Create(t.Context(), newPod(namespace, "web", webImage))
	})
	err := c.client.Create(t.Context(), privileged(newPod(c.namespace(t, "restricted", nil), "bad", webImage)))
	wantRefusal(t, err, "podSecurity/privileged")
	extra := suite.NewPolicy(t, "after-restart", "{match: {namespaces: [nowhere]}, validate: {podSecurity: {level: baseline}}}")
	c.mustCreate(t, extra)
	c.deleteAfter(t, extra)
	c.waitForPolicies(t)
	for _, replica := range replicas {
		if got := c.restarts(t, replica); got != restarts[replica] {
			t.Errorf("%s restarted %d times with the API server", replica, got-restarts[replica])
		}
	}
	c.rollout(t)
}

// TestRegistryDown stops the registry from answering. What is known goes on, what is
// not is refused with the reason, and who asks for no digest notices nothing.
func TestRegistryDown(t *testing.T) {
	const bound = 6 * time.Second // the webhooks' timeoutSeconds, and some more
	c := up(t)
	c.install(t, standard)
	pinned, other := c.namespace(t, "pin", nil), c.namespace(t, "restricted", nil)
	c.mustCreate(t, newPod(pinned, "before", webImage))
	c.waitForPod(t, pinned, "before", ready)
	c.teachTag(t, pinned)
	run(t, "docker", "pause", registryContainer)
	unpause := sync.OnceFunc(func() { run(t, "docker", "unpause", registryContainer) })
	defer unpause()
	time.Sleep(2 * time.Second) // beyond the second for which an answer is fresh

	want := inTest(webImage) + "@" + digestOf(t, c, pinned, "before")
	for _, test := range []struct {
		name, namespace, image, want, refusal string
	}{
		{name: "known", namespace: pinned, image: webImage, want: want},
		{name: "unknown", namespace: pinned, image: "e2e/never-seen:1", refusal: "e2e/never-seen:1"},
		{name: "without-digests", namespace: other, image: webImage, want: inTest(webImage)},
	} {
		t.Run(test.name, func(t *testing.T) {
			begin := time.Now()
			pod := newPod(test.namespace, "down-"+test.name, test.image)
			err := c.client.Create(t.Context(), pod)
			took := time.Since(begin)
			t.Logf("answered after %s: %v", took.Round(time.Millisecond), err)
			if took > bound {
				t.Errorf("took %s, want at most %s", took, bound)
			}
			if test.refusal != "" {
				wantRefusalBy(t, "mutate", err, test.refusal)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := pod.Spec.Containers[0].Image; got != test.want {
				t.Errorf("image: got %q, want %q", got, test.want)
			}
		})
	}
	unpause()
	suite.Eventually(t, time.Minute, func() error {
		time.Sleep(200 * time.Millisecond)
		return c.client.Create(t.Context(), newPod(pinned, "back", secondImage))
	})
}

// teachTag creates pods until every replica knows the tag of their image. They are
// created at once: one after the other, all would go to the same replica.
func (c *cluster) teachTag(t *testing.T, namespace string) {
	t.Helper()
	suite.Eventually(t, time.Minute, func() error {
		var pods errgroup.Group
		for range 20 {
			pods.Go(func() error {
				return c.client.Create(t.Context(), newPod(namespace, "known", webImage), client.DryRunAll)
			})
		}
		if err := pods.Wait(); err != nil {
			return err
		}
		for _, replica := range strings.Fields(c.replicaNames(t)) {
			if tags, err := c.metric(t.Context(), replica, "portcullis_image_tags"); err != nil || tags == 0 {
				return fmt.Errorf("%s knows %v tags (%v), want one and more", replica, tags, err)
			}
		}
		return nil
	})
}

// digestOf is the digest of a pod's image.
func digestOf(t *testing.T, c *cluster, namespace, name string) string {
	t.Helper()
	pod, err := c.clientset.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, digest, found := strings.Cut(pod.Spec.Containers[0].Image, "@")
	if !found {
		t.Fatalf("pod %s/%s has image %q, want one with a digest", namespace, name, pod.Spec.Containers[0].Image)
	}
	return digest
}
