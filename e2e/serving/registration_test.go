package serving_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const (
	// restoredWithin is how long a registration may be other than wanted: T25.
	restoredWithin  = 10 * time.Second
	validatingKind  = "ValidatingWebhookConfiguration"
	mutatingKind    = "MutatingWebhookConfiguration"
	revision        = "portcullis.dev/registration-revision"
	guardSwitch     = "portcullis.dev/registration-guard"
	registrationMap = "portcullis-registration"
	// registrationPauses is longer than a replica takes to notice the work of another.
	registrationPauses = 500 * time.Millisecond
	guardedByDefault   = "--guard-registration=" + harness.SystemNamespace + "/" + registrationMap
)

// guarded is a registration that two replicas guard.
type guarded struct {
	*testing.T
	cluster *harness.Cluster
	servers []*harness.Server
	// alerts are CloudEvents of the servers, where they send some.
	alerts *alerts
}

// guardRegistration registers the first of two replicas, which guard that.
func guardRegistration(t *testing.T, c *harness.Cluster) *guarded {
	t.Helper()
	g := &guarded{T: t, cluster: c, alerts: &alerts{}}
	sink := httptest.NewServer(g.alerts)
	t.Cleanup(sink.Close) // after the servers have ended
	g.patchRecord(`{"data": null, "metadata": {"annotations": null}}`)
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	for range 2 {
		s, err := c.Serve(t.Context(), harness.ServeOptions{Args: []string{guardedByDefault, "--cloudevents-url=" + sink.URL}})
		if err != nil {
			t.Fatal(err)
		}
		suite.StopAfter(t, s)
		g.servers = append(g.servers, s)
	}
	if err := c.Register(t.Context(), g.servers[0].Endpoint); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, restoredWithin, func() error {
		record := &corev1.ConfigMap{}
		if err := c.Client.Get(t.Context(), client.ObjectKey{Namespace: harness.SystemNamespace, Name: registrationMap}, record); err != nil {
			return err
		}
		if record.Data[validatingKind] == "" || record.Data[mutatingKind] == "" {
			return errors.New("the registration is not noted yet")
		}
		return nil
	})
	return g
}

func (g *guarded) patchRecord(patch string) {
	g.Helper()
	record := &corev1.ConfigMap{}
	record.Namespace, record.Name = harness.SystemNamespace, registrationMap
	if err := g.cluster.Client.Patch(context.Background(), record, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		g.Fatalf("writing ConfigMap %s: %v", registrationMap, err)
	}
}

func configuration(kind string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("admissionregistration.k8s.io/v1")
	object.SetKind(kind)
	object.SetName(harness.Name)
	return object
}

// get reads a configuration.
func (g *guarded) get(kind string) (*unstructured.Unstructured, error) {
	object := configuration(kind)
	return object, g.cluster.Client.Get(g.Context(), client.ObjectKeyFromObject(object), object)
}

func (g *guarded) must(kind string) *unstructured.Unstructured {
	g.Helper()
	object, err := g.get(kind)
	if err != nil {
		g.Fatal(err)
	}
	return object
}

// wantBack waits until a configuration registers what it did before, and returns
// how long that took.
func (g *guarded) wantBack(before *unstructured.Unstructured) time.Duration {
	g.Helper()
	start := time.Now()
	suite.Eventually(g, restoredWithin, func() error {
		now, err := g.get(before.GetKind())
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before.Object["webhooks"], now.Object["webhooks"]); diff != "" {
			return fmt.Errorf("webhooks (-before +now):\n%s", diff)
		}
		return nil
	})
	return time.Since(start)
}

// counted is a metric of all replicas together.
func (g *guarded) counted(metric string) float64 {
	g.Helper()
	sum := 0.0
	for _, s := range g.servers {
		value, err := s.Metric(metric)
		if err != nil {
			g.Fatal(err)
		}
		sum += value
	}
	return sum
}

func changesMetric(kind, changed, outcome string) string {
	return fmt.Sprintf(`portcullis_registration_changes_total{changed=%q,configuration=%q,outcome=%q}`, changed, kind, outcome)
}

// first is the first webhook of a configuration.
func first(object *unstructured.Unstructured) map[string]any {
	return object.Object["webhooks"].([]any)[0].(map[string]any)
}

// weakenings are what takes something away from a registration, by the part that it
// changes.
var weakenings = []struct {
	name, kind, changed string
	weaken              func(*unstructured.Unstructured)
}{
	{"failurePolicy", validatingKind, "failurePolicy", func(o *unstructured.Unstructured) { first(o)["failurePolicy"] = "Ignore" }},
	{"a rule", validatingKind, "rules", func(o *unstructured.Unstructured) { first(o)["rules"] = first(o)["rules"].([]any)[1:] }},
	{"an operation", mutatingKind, "rules", func(o *unstructured.Unstructured) {
		first(o)["rules"].([]any)[0].(map[string]any)["operations"] = []any{"UPDATE"}
	}},
	{"namespaceSelector", validatingKind, "namespaceSelector", func(o *unstructured.Unstructured) {
		first(o)["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"judged": "yes"}}
	}},
	{"objectSelector", validatingKind, "objectSelector", func(o *unstructured.Unstructured) {
		first(o)["objectSelector"] = map[string]any{"matchExpressions": []any{map[string]any{"key": "skip", "operator": "DoesNotExist"}}}
	}},
	{"matchConditions", mutatingKind, "matchConditions", func(o *unstructured.Unstructured) {
		first(o)["matchConditions"] = append(first(o)["matchConditions"].([]any), map[string]any{"name": "never", "expression": "false"})
	}},
	{"matchPolicy", validatingKind, "matchPolicy", func(o *unstructured.Unstructured) { first(o)["matchPolicy"] = "Exact" }},
	{"timeoutSeconds", validatingKind, "timeoutSeconds", func(o *unstructured.Unstructured) { first(o)["timeoutSeconds"] = int64(1) }},
	{"url", validatingKind, "clientConfig", func(o *unstructured.Unstructured) {
		first(o)["clientConfig"].(map[string]any)["url"] = "https://127.0.0.1:1/validate"
	}},
	{"caBundle", validatingKind, "clientConfig", func(o *unstructured.Unstructured) {
		delete(first(o)["clientConfig"].(map[string]any), "caBundle")
	}},
	{"reinvocationPolicy", mutatingKind, "other", func(o *unstructured.Unstructured) { first(o)["reinvocationPolicy"] = "Never" }},
	{"a webhook", validatingKind, "webhooks", func(o *unstructured.Unstructured) { o.Object["webhooks"] = o.Object["webhooks"].([]any)[1:] }},
	{"all webhooks", mutatingKind, "webhooks", func(o *unstructured.Unstructured) { o.Object["webhooks"] = []any{} }},
	{"another webhook", mutatingKind, "webhooks", func(o *unstructured.Unstructured) {
		another := o.DeepCopy()
		first(another)["name"] = "another.portcullis.dev"
		o.Object["webhooks"] = append(o.Object["webhooks"].([]any), first(another))
	}},
	{"all at once and the revision removed", validatingKind, "failurePolicy", func(o *unstructured.Unstructured) {
		first(o)["failurePolicy"] = "Ignore"
		o.SetAnnotations(nil)
	}},
}

// TestT25Registration weakens the registration in each way and deletes it: it is
// back within seconds, one replica of two counts that and tells the sink, and there is
// an Event.
func TestT25Registration(t *testing.T) {
	c := cluster.Cluster(t)
	g := guardRegistration(t, c.Cluster)
	for _, test := range weakenings {
		t.Run(test.name, func(t *testing.T) {
			g := &guarded{t, g.cluster, g.servers, g.alerts}
			metric := changesMetric(test.kind, test.changed, "restored")
			counted, alerted := g.counted(metric), g.alerts.got(test.kind, "restored")
			before := g.must(test.kind)
			changed := before.DeepCopy()
			test.weaken(changed)
			if err := c.Client.Update(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			t.Logf("restored after %s", g.wantBack(before))
			suite.Eventually(t, restoredWithin, func() error {
				if got := g.counted(metric); got != counted+1 {
					return fmt.Errorf("%s: got %v, want %v", metric, got, counted+1)
				}
				if got := g.alerts.got(test.kind, "restored"); got != alerted+1 {
					return fmt.Errorf("CloudEvents about restoring %s: got %d, want %d", test.kind, got, alerted+1)
				}
				return nil
			})
		})
	}
	t.Run("deleted", func(t *testing.T) { testDeleted(&guarded{t, g.cluster, g.servers, g.alerts}) })
	t.Run("events", func(t *testing.T) {
		for _, kind := range []string{validatingKind, mutatingKind} {
			suite.Eventually(t, restoredWithin, func() error {
				return hasEvent(t.Context(), g.cluster, kind, "RegistrationRestored", "docs/operations.md")
			})
		}
	})
	t.Run("revision", func(t *testing.T) { testRevision(&guarded{t, g.cluster, g.servers, g.alerts}) })
	t.Run("switch", func(t *testing.T) { testSwitch(&guarded{t, g.cluster, g.servers, g.alerts}) })
}

func testDeleted(g *guarded) {
	namespace := (&suiteNamespace{g}).create()
	all := []*unstructured.Unstructured{g.must(validatingKind), g.must(mutatingKind)}
	for _, object := range all {
		if err := g.cluster.Client.Delete(g.Context(), object.DeepCopy()); err != nil {
			g.Fatal(err)
		}
	}
	for _, before := range all {
		kind := before.GetKind()
		g.Logf("%s is back after %s", kind, g.wantBack(before))
		now := g.must(kind)
		if diff := cmp.Diff(before.GetAnnotations(), now.GetAnnotations()); diff != "" {
			g.Errorf("annotations (-before +now):\n%s", diff)
		}
		owners := now.GetOwnerReferences()
		if len(owners) != 1 || owners[0].Kind != "ClusterRole" || owners[0].Name != registrationMap {
			g.Errorf("%s: got owners %v, want the ClusterRole that goes with the installation", kind, owners)
		}
		time.Sleep(registrationPauses) // the metric is counted after the fact
		if got := g.counted(changesMetric(kind, "deleted", "restored")); got != 1 {
			g.Errorf("%s: counted %v restorations of a deleted one, want 1", kind, got)
		}
	}
	// It works: the webhook answers.
	if err := wantTaken(g.Context(), g.cluster, namespace, true); err != nil {
		g.Error(err)
	}
	account := "system:serviceaccount:" + harness.SystemNamespace + ":" + harness.Name
	config := rest.CopyConfig(g.cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: account}
	own, err := client.New(config, client.Options{})
	if err != nil {
		g.Fatal(err)
	}
	another := configuration(validatingKind)
	another.SetName("another")
	err = own.Apply(g.Context(), client.ApplyConfigurationFromUnstructured(another), client.FieldOwner("e2e"))
	if !apierrors.IsForbidden(err) {
		g.Errorf("our service account makes a configuration of another name: got %v, want that it may not", err)
	}
}

// suiteNamespace creates a namespace whatever the cluster.
type suiteNamespace struct{ g *guarded }

func (s *suiteNamespace) create() string {
	c := s.g.cluster
	name := fmt.Sprintf("registration-%d", time.Now().UnixNano())
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}
	for _, object := range []client.Object{namespace, account} {
		if err := c.Client.Create(s.g.Context(), object); client.IgnoreAlreadyExists(err) != nil {
			s.g.Fatal(err)
		}
	}
	return name
}

// hasEvent requires an Event about a configuration.
func hasEvent(ctx context.Context, c *harness.Cluster, kind, reason, note string) error {
	var list eventsv1.EventList
	if err := c.Client.List(ctx, &list); err != nil {
		return err
	}
	for _, event := range list.Items {
		if event.Reason == reason && event.Regarding.Kind == kind && strings.Contains(event.Note, note) {
			return nil
		}
	}
	return fmt.Errorf("no event %s about %s says %q, among %d", reason, kind, note, len(list.Items))
}

// testRevision changes the registration as an admin does: with another revision.
func testRevision(g *guarded) {
	changed := g.must(validatingKind)
	first(changed)["timeoutSeconds"] = int64(4)
	changed.SetAnnotations(map[string]string{revision: "mine-2"})
	if err := g.cluster.Client.Update(g.Context(), changed); err != nil {
		g.Fatal(err)
	}
	suite.Eventually(g, restoredWithin, func() error {
		if got := g.counted(changesMetric(validatingKind, "timeoutSeconds", "accepted")); got != 1 {
			return fmt.Errorf("got %v changes taken over, want 1", got)
		}
		if got := g.alerts.got(validatingKind, "accepted"); got != 1 {
			return fmt.Errorf("got %d CloudEvents about changes taken over, want 1", got)
		}
		return nil
	})
	time.Sleep(time.Second)
	if got := first(g.must(validatingKind))["timeoutSeconds"]; got != int64(4) {
		g.Errorf("what came with another revision: got timeoutSeconds %v, want the 4 of the admin", got)
	}
	again := g.must(validatingKind)
	before := again.DeepCopy()
	first(again)["timeoutSeconds"] = int64(2)
	if err := g.cluster.Client.Update(g.Context(), again); err != nil {
		g.Fatal(err)
	}
	g.wantBack(before)
}

// testSwitch switches enforcement off and on as docs/operations.md says.
func testSwitch(g *guarded) {
	before := map[string]*unstructured.Unstructured{validatingKind: g.must(validatingKind), mutatingKind: g.must(mutatingKind)}
	g.patchRecord(`{"metadata": {"annotations": {"` + guardSwitch + `": "off"}}}`)
	for _, object := range before {
		if err := g.cluster.Client.Delete(g.Context(), object.DeepCopy()); err != nil {
			g.Fatal(err)
		}
	}
	suite.Eventually(g, restoredWithin, func() error {
		if got := g.counted("portcullis_registration_guarded"); got != 0 {
			return fmt.Errorf("%v replicas guard, want none", got)
		}
		return nil
	})
	time.Sleep(4 * time.Second) // longer than a deleted one may be missing
	for kind := range before {
		if _, err := g.get(kind); !apierrors.IsNotFound(err) {
			g.Errorf("%s: got %v, want it to stay away while the guard is off", kind, err)
		}
	}
	suite.Eventually(g, restoredWithin, func() error {
		return hasEvent(g.Context(), g.cluster, "ConfigMap", "RegistrationUnguarded", guardSwitch)
	})
	g.patchRecord(`{"metadata": {"annotations": {"` + guardSwitch + `": null}}}`)
	for _, object := range before {
		g.wantBack(object)
	}
	if got := g.counted("portcullis_registration_guarded"); got != 2 {
		g.Errorf("%v replicas guard, want 2", got)
	}
}

// TestRegistrationUninstall deletes the configurations first and the rest of the
// installation so late that they have been made anew by then: nothing is left that
// refuses pods.
func TestRegistrationUninstall(t *testing.T) {
	t.Parallel()
	own, err := harness.Up(t.Context(), harness.Options{Unregistered: true, Controllers: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Down(); err != nil {
			t.Error(err)
		}
	})
	s, err := own.Serve(t.Context(), harness.ServeOptions{Args: []string{guardedByDefault}})
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Register(t.Context(), s.Endpoint); err != nil {
		t.Fatal(err)
	}
	g := &guarded{T: t, cluster: own, servers: []*harness.Server{s}}
	suite.Eventually(t, restoredWithin, func() error {
		if got := g.counted(`portcullis_registration_wanted{configuration="` + validatingKind + `"}`); got != 1 {
			return errors.New("the registration is not noted yet")
		}
		return nil
	})
	objects, err := harness.Render(filepath.Join(manifests, "base"))
	if err != nil {
		t.Fatal(err)
	}
	rand.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	before := g.must(validatingKind)
	if err := own.Unregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.wantBack(before)
	var order []string
	for _, object := range objects {
		if harness.IsWebhookConfiguration(object) {
			continue // deleted already, as far as the uninstaller knows
		}
		order = append(order, object.GetKind()+" "+object.GetName())
		if err := own.Client.Delete(t.Context(), object.DeepCopy()); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	t.Logf("order: %s", strings.Join(order, ", "))
	suite.Eventually(t, time.Minute, func() error {
		for _, kind := range []string{validatingKind, mutatingKind} {
			if _, err := g.get(kind); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %v", kind, err)
			}
		}
		return nil
	})
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	suite.Eventually(t, suite.Soon, func() error { return wantTaken(t.Context(), own, "default", true) })
	time.Sleep(4 * time.Second)
	if _, err := g.get(validatingKind); !apierrors.IsNotFound(err) {
		t.Errorf("the configuration came back: %v", err)
	}
	if !slices.Contains(order, "Namespace "+harness.SystemNamespace) {
		t.Error("the namespace was not deleted: the test proves nothing")
	}
}

// TestRegistrationSelfSigned deletes the configurations of an installation that keeps
// the caBundle itself: they come back with an authority that the API server can
// trust.
func TestRegistrationSelfSigned(t *testing.T) {
	c := cluster.Cluster(t)
	emptySecret(t, c)
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
		emptySecret(t, c)
	})
	g := &guarded{T: t, cluster: c.Cluster}
	g.patchRecord(`{"data": null, "metadata": {"annotations": null}}`)
	s := serveUnready(t, c, harness.ServeOptions{SelfSigned: true, Args: []string{guardedByDefault}})
	g.servers = []*harness.Server{s}
	if err := c.Register(t.Context(), s.Endpoint); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	namespace := c.Namespace(t, nil)
	suite.Eventually(t, restoredWithin, func() error {
		if got := g.counted(`portcullis_registration_wanted{configuration="` + validatingKind + `"}`); got != 1 {
			return errors.New("the registration is not noted yet")
		}
		return wantTaken(t.Context(), c.Cluster, namespace, true)
	})
	before := g.must(validatingKind)
	if first(before)["clientConfig"].(map[string]any)["caBundle"] == nil {
		t.Fatal("the configuration has no caBundle: the test proves nothing")
	}
	if err := c.Unregister(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.wantBack(before)
	if err := wantTaken(t.Context(), c.Cluster, namespace, true); err != nil {
		t.Error(err)
	}
}

// serveUnready starts a server for one test, and does not wait until it is ready.
func serveUnready(t *testing.T, c *suite.Cluster, o harness.ServeOptions) *harness.Server {
	t.Helper()
	s, err := c.StartServer(o)
	if err != nil {
		t.Fatal(err)
	}
	suite.StopAfter(t, s)
	return s
}
