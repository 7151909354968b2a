package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// texts are edits as a user reads them.
func texts(edits []Edit) []string {
	var all []string
	for _, e := range edits {
		all = append(all, e.String())
	}
	return all
}

// TestWatchingModes holds that a mutator that watches changes nothing and says
// what it would change, of what those before it have left.
func TestWatchingModes(t *testing.T) {
	const manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: app, image: 'app:1'}]}\n"
	const policy = "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: %s}\nspec: {mode: %s, mutate: {hardening: {fields: [%s]%s}}}\n"
	escalation := `: hardening: container "app": spec.containers[0].securityContext.allowPrivilegeEscalation %s set to false, from Pod Security level restricted, which requires it`
	seccomp := `: hardening: container "app": spec.containers[0].securityContext.seccompProfile %s set to {"type":"RuntimeDefault"}, from Pod Security level restricted, which requires it`
	is, would := "is", "would be"
	for _, test := range []struct {
		name            string
		policies        []string
		edits, proposed []string
	}{
		{
			name:     "Audit",
			policies: []string{fmt.Sprintf(policy, "p", "Audit", "seccompProfile", "")},
			proposed: []string{"p" + fmt.Sprintf(seccomp, would)},
		},
		{
			name:     "Warn of the mutator alone",
			policies: []string{fmt.Sprintf(policy, "p", "Enforce", "seccompProfile", ", mode: Warn")},
			proposed: []string{"p" + fmt.Sprintf(seccomp, would)},
		},
		{
			name:     "Enforce of the mutator where the policy watches",
			policies: []string{fmt.Sprintf(policy, "p", "Audit", "seccompProfile", ", mode: Enforce")},
			edits:    []string{"p" + fmt.Sprintf(seccomp, is)},
		},
		{
			name:     "one watches what the other has left",
			policies: []string{fmt.Sprintf(policy, "a", "Audit", "seccompProfile, allowPrivilegeEscalation", ""), fmt.Sprintf(policy, "b", "Enforce", "seccompProfile", "")},
			edits:    []string{"b" + fmt.Sprintf(seccomp, is)},
			proposed: []string{"a" + fmt.Sprintf(escalation, would)},
		},
		{
			name:     "by the names of the policies",
			policies: []string{fmt.Sprintf(policy, "b", "Enforce", "seccompProfile, allowPrivilegeEscalation", ""), fmt.Sprintf(policy, "a", "Enforce", "seccompProfile", "")},
			edits:    []string{"a" + fmt.Sprintf(seccomp, is), "b" + fmt.Sprintf(escalation, is)},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := decode(t, manifest)
			v := plan(t, compile(t, strings.Join(test.policies, "---\n")), Review{Workload: w}).Mutate(image.Facts{"app:1": linuxImage(image.Platform{})})
			if diff := cmp.Diff(test.edits, texts(v.Edits)); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.proposed, texts(v.Proposed)); diff != "" {
				t.Errorf("proposed (-want +got):\n%s", diff)
			}
			same := cmp.Equal(decode(t, manifest), w, cmp.AllowUnexported(pod.Kind{}))
			if want := len(test.edits) == 0; same != want {
				t.Errorf("got a workload as it was: %v, want %v", same, want)
			}
		})
	}
}

// TestFactsOfWhatRuns holds that who looks inside an image looks inside the one
// that will run: of a tag that keeps its digest, at that digest.
func TestFactsOfWhatRuns(t *testing.T) {
	const policy = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: p}
spec: {mutate: {%shardening: {fields: [runAsNonRoot]}}}
`
	const object = `apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/pinned: "app=%s"%s}}
spec: {template: {metadata: {labels: {version: "%s"}}, spec: {containers: [{name: app, image: "%s"}, {name: new, image: "app:1"}]}}}
`
	before, now := "sha256:"+strings.Repeat("b", 64), linuxImage(image.Platform{}).Digest
	number := linuxImage(image.Platform{User: "1000", UID: 1000})
	number.Digest = before
	facts := image.Facts{
		"app:1":             linuxImage(image.Platform{}), // root today
		"app:1@" + before:   number,
		"app:1@" + now:      linuxImage(image.Platform{}),
		"other:1@" + before: number,
	}
	old := decode(t, fmt.Sprintf(object, strings.Repeat("b", 12), "", "1", "app:1@"+before))
	for _, test := range []struct {
		name, digests, image, refresh string
		update                        bool
		needs                         []string // image, and ! where it is asked for anew
		hardened                      []string
	}{
		{name: "a tag that keeps its digest", digests: "digests: {}, ", image: "app:1", update: true, needs: []string{"app:1", "app:1@" + before, "app:1"}, hardened: []string{"app"}},
		{name: "a tag that is resolved anew", digests: "digests: {}, ", image: "app:1", update: true, refresh: ", portcullis.dev/refresh: '1'", needs: []string{"app:1!", "app:1!", "app:1!"}},
		{name: "a new workload", digests: "digests: {}, ", image: "app:1", needs: []string{"app:1", "app:1", "app:1"}},
		{name: "pinned by its author", digests: "digests: {}, ", image: "app:1@" + before, needs: []string{"app:1", "app:1@" + before, "app:1"}, hardened: []string{"app"}},
		{name: "nobody pins", image: "app:1", update: true, needs: []string{"app:1", "app:1"}},
		{name: "somebody only watches", digests: "digests: {mode: Audit}, ", image: "app:1", update: true, needs: []string{"app:1", "app:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Review{Workload: decode(t, fmt.Sprintf(object, strings.Repeat("b", 12), test.refresh, "2", test.image))}
			if test.update {
				r.Old = old
			}
			p := plan(t, compile(t, fmt.Sprintf(policy, test.digests)), r)
			var needs []string
			for _, need := range p.MutationNeeds() {
				text := need.Image
				if need.Fresh {
					text += "!"
				}
				needs = append(needs, text)
			}
			if diff := cmp.Diff(test.needs, needs); diff != "" {
				t.Errorf("needs (-want +got):\n%s", diff)
			}
			var hardened []string
			for _, e := range p.Mutate(facts).Edits {
				if e.Rule == "hardening" {
					hardened = append(hardened, e.Container)
				}
			}
			if diff := cmp.Diff(test.hardened, hardened); diff != "" {
				t.Errorf("hardened containers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRestartOfWhatIsStillTheSame holds that a restart which finds the digest that it
// has, or finds nothing out, knows as much about the image as one that finds another.
func TestRestartOfWhatIsStillTheSame(t *testing.T) {
	const policy = `apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: p}
spec: {mutate: {digests: {}, logging: {terminationMessagePolicy: Unchanged}}}
`
	const object = `apiVersion: apps/v1
kind: Deployment
metadata: {annotations: {portcullis.dev/pinned: "app=%s"}}
spec: {template: {metadata: {annotations: {kubectl.kubernetes.io/restartedAt: "%s"}}, spec: {containers: [{name: app, image: "app:1@%s"}]}}}
`
	python := linuxImage(image.Platform{Env: []string{"PYTHON_VERSION=3.12.4"}})
	away := image.Fact{Err: &image.Error{Reason: image.Timeout, Image: "app:1", Host: "docker.io"}}
	at := func(restart string) *pod.Workload {
		return decode(t, fmt.Sprintf(object, python.Digest[len("sha256:"):][:12], restart, python.Digest))
	}
	for _, test := range []struct {
		name     string
		fact     image.Fact
		edits    int
		findings []string
	}{
		{name: "the same", fact: python, edits: 1},
		{name: "the registry is away", fact: away, findings: []string{
			`Warn: p: digests: container "app": spec.template.spec.containers[0].image is "app:1@` + python.Digest + `": it cannot be pinned to a digest: image "app:1" cannot be looked up: registry "docker.io" did not answer in time. Fix: add its digest (@sha256:...).`,
			`Warn: p: logging: container "app": spec.template.spec.containers[0].image is "app:1@` + python.Digest + `": no variable is set for what it runs, since that is not known: image "app:1" cannot be looked up: registry "docker.io" did not answer in time. Fix: set the variables of its runtime in env.`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan(t, compile(t, policy), Review{Workload: at("2026-01-02T00:00:00Z"), Old: at("2026-01-01T00:00:00Z")})
			facts := image.Facts{}
			for _, need := range p.MutationNeeds() {
				if need.Image != "app:1" || !need.Fresh {
					t.Fatalf("got need %+v, want the tag alone, asked for anew", need)
				}
				facts[need.Image] = test.fact
			}
			v := p.Mutate(facts)
			if len(v.Edits) != test.edits {
				t.Errorf("got edits %v, want %d", texts(v.Edits), test.edits)
			}
			var findings []string
			for _, f := range v.Findings {
				findings = append(findings, string(f.Mode)+": "+f.String())
			}
			if diff := cmp.Diff(test.findings, findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNeedsOfManyContainers bounds what one object can cost: the number of its
// containers may not count twice.
func TestNeedsOfManyContainers(t *testing.T) {
	big := func(reference func(i int) string) *pod.Workload {
		w := decode(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: a, image: 'a:1'}]}}}\n")
		for i := range 20000 {
			w.Spec.Containers = append(w.Spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: reference(i)})
		}
		return w
	}
	old := big(func(i int) string { return fmt.Sprintf("app:1@sha256:%064x", i) })
	began := time.Now()
	p := plan(t, compile(t, everything), Review{Workload: big(func(int) string { return "app:1" }), Old: old})
	if needs := p.MutationNeeds(); len(needs) > 100000 {
		t.Errorf("got %d needs of 20001 containers, want a few for each", len(needs))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("got needs after %s, want them within 5 s", took)
	}
}
