package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const (
	breakGlass = "portcullis.dev/break-glass"
	// glassWindow is how long the glass of these tests stays broken.
	glassWindow = 15 * time.Second
	glassReason = "INC-4711: the shop is down"
)

// glass is a policy that may be passed, on two replicas.
type glass struct {
	*testing.T
	*suite.Cluster
	servers           []*harness.Server
	namespace, policy string
}

func newGlass(t *testing.T) *glass {
	t.Helper()
	c := cluster.Cluster(t)
	g := &glass{T: t, Cluster: c}
	t.Cleanup(func() {
		if err := c.Unregister(context.Background()); err != nil {
			t.Errorf("deleting the webhook configurations: %v", err)
		}
	})
	for range 2 {
		s, err := c.Serve(t.Context(), harness.ServeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		suite.StopAfter(t, s)
		g.servers = append(g.servers, s)
	}
	g.namespace = c.Namespace(t, nil)
	g.policy = c.Policy(t, g.namespace, fmt.Sprintf("{validate: {podSecurity: {level: baseline}}, breakGlass: {groups: [oncall], maxDuration: %s}}", glassWindow), g.servers...)
	if err := c.Register(t.Context(), g.servers[0].Endpoint); err != nil {
		t.Fatal(err)
	}
	return g
}

// as is a client of a user who may do anything, and is in some groups.
func (g *glass) as(user string, groups ...string) (client.Client, *suite.Warnings) {
	g.Helper()
	return g.NewClient(g, func(config *rest.Config) {
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:masters")}
	})
}

// bad is a workload that the policy refuses, and that asks for passing it.
func (g *glass) bad(kind suite.Kind, name, reason string) client.Object {
	spec := suite.GoodSpec()
	spec.HostNetwork = true
	object := kind.New(g.namespace, name, spec)
	if d, ok := object.(*appsv1.Deployment); ok {
		d.Spec.Template.Annotations = map[string]string{breakGlass: reason}
		return object
	}
	object.SetAnnotations(map[string]string{breakGlass: reason})
	return object
}

// broken is what the status of the policy has.
func (g *glass) broken() []map[string]any {
	g.Helper()
	policy := suite.NewPolicy(g, g.policy, "{}")
	if err := g.Client.Get(g.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
		g.Fatal(err)
	}
	list, _, err := unstructured.NestedSlice(policy.Object, "status", "breakGlass")
	if err != nil {
		g.Fatal(err)
	}
	var all []map[string]any
	for _, entry := range list {
		all = append(all, entry.(map[string]any))
	}
	return all
}

// wantRefused requires a refusal that says something.
func wantRefused(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	for _, part := range append(parts, "is refused") {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want a refusal that says %q", what, err, part)
		}
	}
}

func (g *glass) pods() int {
	g.Helper()
	var list corev1.PodList
	if err := g.Client.List(g.Context(), &list, client.InNamespace(g.namespace)); err != nil {
		g.Fatal(err)
	}
	return len(list.Items)
}

const replicaSetController = "system:serviceaccount:kube-system:replicaset-controller"

// TestBreakGlass passes a policy in an emergency, by everybody and in every way that
// matters, and sees it end.
func TestBreakGlass(t *testing.T) {
	g := newGlass(t)
	ctx := t.Context()
	ann, warnings := g.as("ann", "oncall")
	bob, bobsWarnings := g.as("bob", "developers")
	controller, _ := g.as(replicaSetController)

	// Who may not, and what does not count. Nothing is recorded by it.
	err := bob.Create(ctx, g.bad(suite.Deployment, "bobs", glassReason))
	wantRefused(t, "no member", err, breakGlass+" does nothing: \"bob\" is in none of the groups that policy "+g.policy+" names: \"oncall\"")
	if got := strings.Join(bobsWarnings.Take(), "\n"); !strings.Contains(got, "does nothing") {
		t.Errorf("no member: got warnings %q, want one that says that the annotation does nothing", got)
	}
	wantRefused(t, "a short reason", ann.Create(ctx, g.bad(suite.Pod, "short", "urgent")), `"urgent" is too short for a reason; write 10 to 200 characters`)
	wantRefused(t, "no reason", ann.Create(ctx, g.bad(suite.Pod, "none", " ")), "gives no reason; write one of 10 to 200 characters")
	wantRefused(t, "a controller alone", controller.Create(ctx, g.bad(suite.Pod, "early", glassReason)), "nobody of \"oncall\" has broken the glass")
	if err := ann.Create(ctx, g.bad(suite.Deployment, "rehearsal", glassReason), client.DryRunAll); err != nil {
		t.Errorf("a dry run of a member: %v", err)
	}
	if got := strings.Join(warnings.Take(), "\n"); !strings.Contains(got, "would be passed: broken glass by \"ann\"") {
		t.Errorf("a dry run: got warnings %q, want one that says that the policy would be passed", got)
	}
	if got := g.broken(); len(got) > 0 {
		t.Errorf("nobody has broken the glass: got %v in the status", got)
	}

	// The first use, and the Pods of it.
	if err := ann.Create(ctx, g.bad(suite.Deployment, "shop", glassReason)); err != nil {
		t.Fatalf("a member: %v", err)
	}
	opened := time.Now()
	if got := strings.Join(warnings.Take(), "\n"); !strings.Contains(got, "is passed: broken glass by \"ann\" until ") {
		t.Errorf("a member: got warnings %q, want one that says that the policy is passed", got)
	}
	first := g.broken()
	if len(first) != 1 || first[0]["user"] != "ann" || first[0]["namespace"] != g.namespace || first[0]["reason"] != glassReason {
		t.Fatalf("got %v in the status, want the use of ann", first)
	}
	suite.Eventually(t, suite.Soon, func() error {
		if g.pods() == 0 {
			return errors.New("the Deployment has no pod yet")
		}
		return nil
	})
	suite.Eventually(t, suite.Soon, func() error { return g.hasEvent("Deployment", "shop", glassReason) })
	for use, least := range map[string]float64{"opened": 1, "followed": 2} { // a ReplicaSet and a Pod
		metric := fmt.Sprintf(`portcullis_break_glass_total{policy=%q,use=%q}`, g.policy, use)
		if got, err := g.servers[0].Metric(metric); err != nil || got < least {
			t.Errorf("%s: got %v (%v), want %v and more", metric, got, err, least)
		}
	}

	// Further uses extend nothing, and help nobody else.
	if err := ann.Create(ctx, g.bad(suite.Pod, "second", glassReason)); err != nil {
		t.Errorf("a member for the second time: %v", err)
	}
	wantRefused(t, "no member while it is open", bob.Create(ctx, g.bad(suite.Pod, "bobs", glassReason)), "\"bob\" is in none of the groups")
	wantRefused(t, "a controller with another reason", controller.Create(ctx, g.bad(suite.Pod, "other", glassReason+"!")), "nobody of")
	if got := g.broken(); len(got) != 1 || got[0]["until"] != first[0]["until"] {
		t.Errorf("after further uses: got %v, want %v", got, first)
	}
	g.wantScanned("warn", "broken glass by \"ann\" until "+fmt.Sprint(first[0]["until"])+", \""+glassReason+"\"")

	// Another replica knows of it, the one before is gone.
	if err := g.servers[0].Stop(); err != nil {
		t.Fatal(err)
	}
	if err := g.Register(ctx, g.servers[1].Endpoint); err != nil {
		t.Fatal(err)
	}
	suite.Eventually(t, suite.Soon, func() error {
		return controller.Create(ctx, g.bad(suite.Pod, "later", glassReason))
	})
	if left := glassWindow - time.Since(opened); left < time.Second {
		t.Fatalf("the machine is too slow for a window of %s", glassWindow)
	}
	g.wantUnforged()

	// It ends, for controllers too, and can be used anew.
	until, err := time.Parse(time.RFC3339, fmt.Sprint(first[0]["until"]))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(until) + 100*time.Millisecond)
	wantRefused(t, "a controller after the end", controller.Create(ctx, g.bad(suite.Pod, "late", glassReason)), "or that is over")
	g.wantScanned("fail", "which is over: ")
	if err := ann.Create(ctx, g.bad(suite.Pod, "anew", glassReason)); err != nil {
		t.Errorf("a member after the end: %v", err)
	}
	if got := g.broken(); len(got) != 2 || got[1]["since"] == first[0]["since"] {
		t.Errorf("after a new use: got %v, want another entry", got)
	}
}

// hasEvent requires an Event about an object.
func (g *glass) hasEvent(kind, name, note string) error {
	var list eventsv1.EventList
	if err := g.Client.List(g.Context(), &list, client.InNamespace(g.namespace)); err != nil {
		return err
	}
	for _, event := range list.Items {
		if event.Reason == "BrokenGlass" && event.Regarding.Kind == kind && event.Regarding.Name == name && strings.Contains(event.Note, note) {
			return nil
		}
	}
	return fmt.Errorf("no event BrokenGlass about %s %s among %d", kind, name, len(list.Items))
}

// wantScanned requires that the audit says something about the Deployment.
func (g *glass) wantScanned(result, message string) {
	g.Helper()
	found := read(g, portcullis(g, g.Cluster, "", "audit", "--kubeconfig="+g.Kubeconfig, "--namespace="+g.namespace, "--output=json"))
	for _, f := range found.findings() {
		if f.Kind == "Deployment" && f.Name == "shop" && f.Result == result && strings.Contains(f.Message, message) {
			return
		}
	}
	g.Errorf("the scan: got %+v, want a %s about Deployment shop that says %q", found.findings(), result, message)
}

// wantUnforged requires that who may do all in his namespace cannot write what
// others have broken.
func (g *glass) wantUnforged() {
	g.Helper()
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: "tenant"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "tenant"}},
	}
	if err := g.Client.Create(g.Context(), binding); err != nil {
		g.Fatal(err)
	}
	tenant, _ := g.NewClient(g, func(config *rest.Config) { config.Impersonate = rest.ImpersonationConfig{UserName: "tenant"} })
	policy := suite.NewPolicy(g, g.policy, "{}")
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status": {"breakGlass": []}}`))
	if err := tenant.Status().Patch(g.Context(), policy, patch); !apierrors.IsForbidden(err) {
		g.Errorf("a tenant writes the status: got %v, want that he may not", err)
	}
	var sets appsv1.ReplicaSetList
	if err := g.Client.List(g.Context(), &sets, client.InNamespace(g.namespace)); err != nil || len(sets.Items) != 1 {
		g.Errorf("got %d ReplicaSets (%v), want 1", len(sets.Items), err)
	}
}
