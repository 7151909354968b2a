package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// exceptionsNow is the time of these tests; the exceptions end an hour later.
var exceptionsNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// with adds exceptions, each "NAME SPEC", to a set. What a spec leaves out is
// filled in.
func with(t testing.TB, set *policies.Set, specs ...string) *policies.Set {
	t.Helper()
	set, err := set.WithExceptions(exceptions(t, specs...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func exceptions(t testing.TB, specs ...string) []*policies.PolicyException {
	t.Helper()
	var b strings.Builder
	for _, spec := range specs {
		name, rest, _ := strings.Cut(spec, " ")
		for field, value := range map[string]string{
			"policies": "[p]", "rules": "[{rule: validate.podSecurity}]", "match": "{namespaces: [web]}",
			"expiresAt": exceptionsNow.Add(time.Hour).Format(time.RFC3339),
		} {
			if !strings.Contains(rest, field+":") {
				rest += ", " + field + ": " + value
			}
		}
		fmt.Fprintf(&b, "---\napiVersion: portcullis.dev/v1alpha1\nkind: PolicyException\nmetadata: {name: %s, namespace: portcullis-system}\nspec: {owner: team-a, reason: because, %s}\n", name, strings.TrimPrefix(rest, ", "))
	}
	for _, name := range []string{"p", "q"} {
		fmt.Fprintf(&b, "---\napiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: %s}\nspec: {mutate: {digests: {}, probes: {}}, validate: {podSecurity: {level: restricted, version: v1.19}, rootUser: {}, digests: {}, registries: {deny: [x]}}}\n", name)
	}
	file := filepath.Join(t.TempDir(), "exceptions.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, list, err := policies.LoadAll(policies.ExceptionTerms{}, file)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// exemptions is summary, with the exceptions that cover a finding, and those that
// are not needed.
func exemptions(v Verdict) []string {
	lines := summary(v)
	for i, f := range v.Findings {
		if f.Exempt != nil {
			lines[i] += fmt.Sprintf(" exempt by %s (would %s)", f.Exempt.Exception.Name, f.Exempt.Mode)
		}
	}
	for _, e := range NotNeeded(v) {
		lines = append(lines, e.Name+" is not needed")
	}
	return lines
}

const policyP = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: {podSecurity: {level: baseline}}}\n"

func TestExceptions(t *testing.T) {
	const privileged = "p podSecurity/privileged spec.containers[0].securityContext.privileged"
	const ports = "p podSecurity/hostPorts spec.containers[1].ports[0].hostPort"
	const twoThings = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers:\n  - {name: app, image: 'quay.io/a/app:1', securityContext: {privileged: true}}\n  - {name: side, image: 'nginx', ports: [{containerPort: 80, hostPort: 80}]}\n"
	const hostNetwork = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {hostNetwork: true, containers: [{name: app, image: 'app:1'}]}\n"
	for _, test := range []struct {
		name, object string
		exceptions   []string
		want         []string
	}{
		{
			name: "all of a rule", object: twoThings, exceptions: []string{"e"},
			want: []string{"Audit " + ports + " exempt by e (would Enforce)", "Audit " + privileged + " exempt by e (would Enforce)"},
		},
		{
			name: "one check", object: twoThings, exceptions: []string{"e rules: [{rule: validate.podSecurity, checks: [hostPorts]}]"},
			want: []string{"Enforce " + privileged, "Audit " + ports + " exempt by e (would Enforce)"},
		},
		{
			name: "one container", object: twoThings, exceptions: []string{"e match: {namespaces: [web], containers: [side]}"},
			want: []string{"Enforce " + privileged, "Audit " + ports + " exempt by e (would Enforce)"},
		},
		{
			name: "one image", object: twoThings, exceptions: []string{"e match: {namespaces: [web], images: ['quay.io/a/*']}"},
			want: []string{"Enforce " + ports, "Audit " + privileged + " exempt by e (would Enforce)"},
		},
		{
			name: "container and image of different containers", object: twoThings, exceptions: []string{"e match: {namespaces: [web], containers: [side], images: ['quay.io/a/*']}"},
			want: []string{"Enforce " + ports, "Enforce " + privileged},
		},
		{
			name: "an image that the workload does not have", object: twoThings, exceptions: []string{"e match: {namespaces: [web], images: ['quay.io/b/*']}"},
			want: []string{"Enforce " + ports, "Enforce " + privileged},
		},
		{
			name: "a container that the workload does not have", object: goodPod, exceptions: []string{"e match: {namespaces: [web], containers: [other]}"},
		},
		{
			name: "an image with nothing wrong", object: twoThings,
			exceptions: []string{"e rules: [{rule: validate.podSecurity, checks: [hostPorts]}], match: {namespaces: [web], images: ['quay.io/a/*']}"},
			want:       []string{"Enforce " + ports, "Enforce " + privileged, "e is not needed"},
		},
		{
			// T28: together these name the check, the container and the image of the
			// finding, and neither names all of them.
			name: "exceptions that overlap do not widen each other", object: twoThings,
			exceptions: []string{
				"a rules: [{rule: validate.podSecurity, checks: [privileged]}], match: {namespaces: ['w*'], containers: [side]}",
				"b rules: [{rule: validate.podSecurity, checks: [hostPorts]}], match: {namespaces: ['*eb'], containers: [app]}",
				"c rules: [{rule: validate.podSecurity, checks: [privileged]}], match: {namespaces: [web], images: [nginx]}",
			},
			want: []string{"Enforce " + ports, "Enforce " + privileged, "c is not needed", "a is not needed", "b is not needed"},
		},
		{
			name: "two that cover it are both needed", object: privilegedPod, exceptions: []string{"a", "b"},
			want: []string{"Audit " + privileged + " exempt by a (would Enforce)"},
		},
		{name: "not needed", object: goodPod, exceptions: []string{"e"}, want: []string{"e is not needed"}},
		{name: "of another namespace", object: privilegedPod, exceptions: []string{"e match: {namespaces: [we, webx]}"}, want: []string{"Enforce " + privileged}},
		{name: "of another policy", object: privilegedPod, exceptions: []string{"e policies: [q]"}, want: []string{"Enforce " + privileged}},
		{name: "from another rule", object: privilegedPod, exceptions: []string{"e rules: [{rule: validate.rootUser}, {rule: mutate.digests}], match: {namespaces: [web]}"}, want: []string{"Enforce " + privileged, "e is not needed"}},
		{name: "of another workload", object: privilegedPod, exceptions: []string{"e match: {namespaces: [web], names: [z]}"}, want: []string{"Enforce " + privileged}},
		{name: "of another kind", object: privilegedPod, exceptions: []string{"e match: {namespaces: [web], names: [x], kinds: [Deployment]}"}, want: []string{"Enforce " + privileged}},
		{
			name: "of another kind, whatever its name", object: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: app, image: 'app:1', securityContext: {privileged: true}}]}}}\n",
			exceptions: []string{"e match: {namespaces: [web], kinds: [Pod]}"}, want: []string{"Enforce p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"},
		},
		{name: "that has ended", object: privilegedPod, exceptions: []string{"e expiresAt: 2026-11-21T12:00:00Z"}, want: []string{"Enforce " + privileged}},
		{
			name: "that ends in a second", object: privilegedPod, exceptions: []string{"e expiresAt: 2026-11-21T12:00:01Z"},
			want: []string{"Audit " + privileged + " exempt by e (would Enforce)"},
		},
		{
			name: "the pod as a whole", object: hostNetwork, exceptions: []string{"e"},
			want: []string{"Audit p podSecurity/hostNamespaces spec.hostNetwork exempt by e (would Enforce)"},
		},
		{
			name: "not the pod as a whole by a container", object: hostNetwork, exceptions: []string{"e match: {namespaces: [web], containers: ['*']}"},
			want: []string{"Enforce p podSecurity/hostNamespaces spec.hostNetwork", "e is not needed"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := with(t, compile(t, policyP), test.exceptions...)
			v := plan(t, set, Review{Workload: decode(t, test.object), Now: exceptionsNow}).Validate(nil)
			if diff := cmp.Diff(test.want, exemptions(v)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExceptionsNeedTime requires that a front end which does not say what time it
// is has no exceptions, rather than exceptions that never end.
func TestExceptionsNeedTime(t *testing.T) {
	v := plan(t, with(t, compile(t, policyP), "e"), Review{Workload: decode(t, privilegedPod)}).Validate(nil)
	if !v.Denied() || len(v.Exceptions) > 0 {
		t.Errorf("got %v, want a denial", exemptions(v))
	}
}

// TestExceptionFromOnePolicy requires that the strictest still wins: what another
// policy or the label of the namespace says is not exempt with it.
func TestExceptionFromOnePolicy(t *testing.T) {
	set := with(t, compile(t, policyP+"---\n"+strings.Replace(policyP, "name: p", "name: q", 1)), "e")
	v := plan(t, set, Review{Workload: decode(t, privilegedPod), Now: exceptionsNow}).Validate(nil)
	if diff := cmp.Diff([]string{"Enforce q podSecurity/privileged spec.containers[0].securityContext.privileged"}, exemptions(v)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	labelled := Namespace{Name: "web", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}}
	v = plan(t, with(t, compile(t, policyP), "e"), Review{Workload: decode(t, privilegedPod), Namespace: labelled, Now: exceptionsNow}).Validate(nil)
	if diff := cmp.Diff([]string{"Enforce Namespace/web podSecurity/privileged spec.containers[0].securityContext.privileged"}, exemptions(v)); diff != "" {
		t.Errorf("findings with a label (-want +got):\n%s", diff)
	}
}

// TestExemptFindingHidesNone requires that of two policies that only watch, the one
// that is not excepted from is told.
func TestExemptFindingHidesNone(t *testing.T) {
	watching := strings.Replace(policyP, "spec: {", "spec: {mode: Audit, ", 1)
	set := with(t, compile(t, watching+"---\n"+strings.Replace(watching, "name: p", "name: q", 1)), "e")
	v := plan(t, set, Review{Workload: decode(t, privilegedPod), Now: exceptionsNow}).Validate(nil)
	if diff := cmp.Diff([]string{"Audit q podSecurity/privileged spec.containers[0].securityContext.privileged"}, exemptions(v)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

// TestExceptionOfInheritingContainers requires that a finding about a field of the
// pod is exempt only if all containers that rely on it are.
func TestExceptionOfInheritingContainers(t *testing.T) {
	set := compile(t, strings.Replace(policyP, "baseline", "restricted", 1))
	const object = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  securityContext: {seccompProfile: {type: RuntimeDefault}}\n  containers:\n" +
		"  - {name: a, image: 'a:1', securityContext: &s {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}\n  - {name: b, image: 'b:1', securityContext: *s}\n"
	for containers, denied := range map[string]bool{"[a]": true, "[b]": true, "[a, b]": false} {
		v := plan(t, with(t, set, "e match: {namespaces: [web], containers: "+containers+"}"), Review{Workload: decode(t, object), Now: exceptionsNow}).Validate(nil)
		if len(v.Findings) != 1 || v.Denied() != denied {
			t.Errorf("%s: got %v, want one finding, denied %v", containers, exemptions(v), denied)
		}
	}
	v := plan(t, with(t, set, "a match: {namespaces: [web], containers: [a]}", "b match: {namespaces: [web], containers: [b]}"), Review{Workload: decode(t, object), Now: exceptionsNow}).Validate(nil)
	if !v.Denied() {
		t.Errorf("one exception each: got %v, want a denial", exemptions(v))
	}
}

// TestExceptionOfImageVolume requires that the name of a volume is not taken for
// that of a container.
func TestExceptionOfImageVolume(t *testing.T) {
	set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: {registries: {deny: ['evil.example/**']}}}\n")
	const object = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers: [{name: app, image: 'nginx'}]\n  volumes: [{name: app, image: {reference: 'evil.example/a:1'}}]\n"
	const rule = "rules: [{rule: validate.registries}], "
	for match, denied := range map[string]bool{
		"containers: [app]": true, "images: [nginx]": true, "images: ['evil.example/*']": false, "containers: [app], images: ['evil.example/*']": true,
	} {
		v := plan(t, with(t, set, "e "+rule+"match: {namespaces: [web], "+match+"}"), Review{Workload: decode(t, object), Now: exceptionsNow}).Validate(nil)
		if v.Denied() != denied {
			t.Errorf("%s: got %v, want denied %v", match, exemptions(v), denied)
		}
	}
}

// TestExceptionOfOwner is T11 for exceptions: a Pod is taken for one of a workload
// by its name, and an owner reference makes no difference.
func TestExceptionOfOwner(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {%s, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-6d4cf56db6, uid: u, controller: true}]}\nspec:\n  containers: [{name: app, image: 'app:1', securityContext: {privileged: true}}]\n"
	const template = "metadata: {name: %s}\nspec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: 'app:1', securityContext: {privileged: true}}]}}}\n"
	set := with(t, compile(t, policyP), "e match: {namespaces: [web], kinds: [Deployment], names: [web]}")
	for object, denied := range map[string]bool{
		"apiVersion: apps/v1\nkind: Deployment\n" + fmt.Sprintf(template, "web"):            false,
		"apiVersion: apps/v1\nkind: ReplicaSet\n" + fmt.Sprintf(template, "web-6d4cf56db6"): false,
		"apiVersion: apps/v1\nkind: StatefulSet\n" + fmt.Sprintf(template, "web"):           true,
		fmt.Sprintf(pod, "name: web-6d4cf56db6-x7k2p"):                                      false,
		fmt.Sprintf(pod, "generateName: web-6d4cf56db6-"):                                   false,
		fmt.Sprintf(pod, "name: evil"):                                                      true,
		fmt.Sprintf(pod, "name: evil, generateName: web-6d4cf56db6-"):                       true,
		fmt.Sprintf(pod, "name: web-evil"):                                                  true,
	} {
		v := plan(t, set, Review{Workload: decode(t, object), Now: exceptionsNow}).Validate(nil)
		if len(v.Findings) != 1 || v.Denied() != denied {
			t.Errorf("%s: got %v, want denied %v", object, exemptions(v), denied)
		}
	}
	selected := with(t, compile(t, policyP), "e match: {namespaces: [web], podSelector: {matchLabels: {app: web}}}")
	for object, denied := range map[string]bool{
		"apiVersion: apps/v1\nkind: Deployment\n" + fmt.Sprintf(template, "any"): false,
		fmt.Sprintf(pod, "name: any, labels: {app: web, more: x}"):               false,
		fmt.Sprintf(pod, "name: any, labels: {app: other}"):                      true,
	} {
		if v := plan(t, selected, Review{Workload: decode(t, object), Now: exceptionsNow}).Validate(nil); v.Denied() != denied {
			t.Errorf("by labels: %s: got %v, want denied %v", object, exemptions(v), denied)
		}
	}
}

// TestExceptionOnUpdate requires that what an exception let in is not tolerated as
// if it had always been there: neither with what the exception does not cover,
// nor once it has ended.
func TestExceptionOnUpdate(t *testing.T) {
	const object = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {metadata: {annotations: {a: '%s'}}, spec: {containers: [{name: app, image: '%s', securityContext: {privileged: true}}]}}}\n"
	const field = "p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"
	const covered = "e match: {namespaces: [web], images: ['quay.io/a/*']}"
	for _, test := range []struct {
		name, old, updated string
		exceptions         []string
		want               string // less what is said about exceptions that are not needed
	}{
		{"there before, without an exception", "nginx", "nginx", nil, "Warn " + field + " existing"},
		{"exempt before and after", "quay.io/a/b", "quay.io/a/b:2", []string{covered}, "Audit " + field + " exempt by e (would Enforce)"},
		{"exempt before, not after", "quay.io/a/b", "nginx", []string{covered}, "Enforce " + field},
		{"not exempt before", "nginx", "quay.io/a/b", []string{covered}, "Audit " + field + " exempt by e (would Enforce)"},
		{"exempt before, and it has ended", "quay.io/a/b", "quay.io/a/b", []string{covered + ", expiresAt: 2026-11-21T11:59:59Z"}, "Enforce " + field},
		{"of another policy", "quay.io/a/b", "nginx", []string{covered + ", policies: [q]"}, "Warn " + field + " existing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Review{Workload: decode(t, fmt.Sprintf(object, "2", test.updated)), Old: decode(t, fmt.Sprintf(object, "1", test.old)), Now: exceptionsNow}
			v := plan(t, with(t, compile(t, policyP), test.exceptions...), r).Validate(nil)
			if diff := cmp.Diff(test.want, exemptions(v)[0]); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExceptionFromMutator requires that a repair is left out and told.
func TestExceptionFromMutator(t *testing.T) {
	set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {digests: {}}}\n")
	facts := image.Facts{"app:1": {Digest: "sha256:" + strings.Repeat("a", 64)}}
	const rules = " rules: [{rule: mutate.digests}]"
	for _, test := range []struct {
		name, object, exception string
		needs, edits            int
		want                    []string
	}{
		{name: "without", object: goodPod, exception: "e rules: [{rule: validate.digests}]", needs: 1, edits: 1},
		{name: "with", object: goodPod, exception: "e" + rules, want: []string{"Audit p digests/ spec.containers[0].image exempt by e (would Enforce)"}},
		{name: "ended", object: goodPod, exception: "e" + rules + ", expiresAt: 2026-11-21T12:00:00Z", needs: 1, edits: 1},
		{name: "not needed", object: strings.Replace(goodPod, "app:1", "app@sha256:"+strings.Repeat("a", 64), 1), exception: "e" + rules, want: []string{"e is not needed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan(t, with(t, set, test.exception), Review{Workload: decode(t, test.object), Now: exceptionsNow})
			if got := len(p.MutationNeeds()); got != test.needs {
				t.Errorf("got %d needs, want %d", got, test.needs)
			}
			v := p.Mutate(facts)
			if diff := cmp.Diff(test.want, exemptions(v)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if len(v.Edits) != test.edits {
				t.Errorf("got edits %v, want %d", v.Edits, test.edits)
			}
		})
	}
}

// TestNotNeeded requires that an exception from a repair and a check is needed if
// one of the two needs it.
func TestNotNeeded(t *testing.T) {
	e := &policies.CompiledException{Name: "e"}
	unused, used := Verdict{Exceptions: []ExceptionUse{{Exception: e}}}, Verdict{Exceptions: []ExceptionUse{{Exception: e, Mode: policies.ModeAudit}}}
	if got := NotNeeded(unused, used); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
	if got := NotNeeded(unused, unused); len(got) != 1 {
		t.Errorf("got %v, want one", got)
	}
}

func TestEnding(t *testing.T) {
	const week = 7 * 24 * time.Hour
	e := &policies.CompiledException{Namespace: "portcullis-system", Name: "e", Owner: "team\n\x1b[31m"}
	text := func(left string, end time.Duration) string {
		return "exception portcullis-system/e, which exempts this from a policy, ends in " + left + " (" + exceptionsNow.Add(end).Format(time.RFC3339) + `); its owner is "team\n\x1b[31m"`
	}
	for _, test := range []struct {
		left   time.Duration
		mode   policies.Mode
		within time.Duration
		want   string
	}{
		{week, policies.ModeEnforce, week, ""},
		{week - time.Second, policies.ModeEnforce, week, text("6 days", week-time.Second)},
		{47 * time.Hour, policies.ModeWarn, week, text("47 hours", 47*time.Hour)},
		{90 * time.Minute, policies.ModeEnforce, week, text("90 minutes", 90*time.Minute)},
		{time.Second, policies.ModeEnforce, week, text("1 second", time.Second)},
		{time.Hour, policies.ModeAudit, week, ""},
		{time.Hour, "", week, ""},
		{time.Hour, policies.ModeEnforce, 0, ""},
	} {
		u := ExceptionUse{Exception: e, Mode: test.mode, Ends: exceptionsNow.Add(test.left)}
		if got := u.Ending(exceptionsNow, test.within); got != test.want {
			t.Errorf("%s before the end: got %q, want %q", test.left, got, test.want)
		}
	}
}

// BenchmarkExceptions is the cost of 200 exceptions that do not match.
func BenchmarkExceptions(b *testing.B) {
	w := decode(b, mustRead(b, "../validate/testdata/podSecurity/pass-restricted.yaml"))
	e, err := New()
	if err != nil {
		b.Fatal(err)
	}
	for _, test := range []struct{ name, match string }{
		{"none", ""},
		{"other namespaces", "{namespaces: [team-%d]}"},
		{"other names", "{namespaces: [web], names: [other-%d]}"},
		{"globs", "{namespaces: ['team-%d-*']}"},
		{"other images", "{namespaces: [web], images: ['registry.example.com/other-%d']}"},
	} {
		var specs []string
		for i := range 200 {
			if test.match != "" {
				specs = append(specs, fmt.Sprintf("e%d match: "+test.match, i, i))
			}
		}
		set := with(b, compile(b, strings.Replace(policyP, "baseline", "restricted", 1)), specs...)
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Plan(Review{Workload: w, Namespace: Namespace{Name: "web"}, Now: exceptionsNow}, set).Validate(nil)
			}
		})
	}
}
