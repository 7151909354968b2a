package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	privilegedPod = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers: [{name: app, image: 'app:1', securityContext: {privileged: true}}]\n"
	goodPod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers: [{name: app, image: 'app:1'}]\n"
)

// summary is a finding as the tests below list it.
func summary(v Verdict) []string {
	var lines []string
	for _, f := range v.Findings {
		line := fmt.Sprintf("%s %s %s/%s %s", f.Mode, f.Policy, f.Rule, f.Check, f.Path)
		if f.Existing {
			line += " existing"
		}
		lines = append(lines, line)
	}
	return lines
}

func TestStrictestModeWins(t *testing.T) {
	set := compile(t, `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: a-watching}
spec: {mode: Audit, validate: {podSecurity: {level: baseline}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: b-enforcing}
spec: {validate: {podSecurity: {level: baseline}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: c-elsewhere}
spec: {match: {namespaces: [other]}, validate: {podSecurity: {level: restricted}}}
`)
	v := plan(t, set, Review{Workload: decode(t, privilegedPod)}).Validate(nil)
	want := []string{"Enforce b-enforcing podSecurity/privileged spec.containers[0].securityContext.privileged"}
	if diff := cmp.Diff(want, summary(v)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if !v.Denied() {
		t.Error("got allowed, want denied")
	}
}

func TestNamespaceLabels(t *testing.T) {
	const deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  template:\n    spec:\n      containers: [{name: app, image: 'app:1', securityContext: {privileged: true}}]\n"
	enforce := map[string]string{"pod-security.kubernetes.io/enforce": "baseline"}
	for _, test := range []struct {
		name, podSecurity, object string
		labels                    map[string]string
		want                      []string
	}{
		{
			name: "a label enforces whatever the policy's mode", podSecurity: "{mode: Audit}", object: privilegedPod, labels: enforce,
			want: []string{"Enforce Namespace/web podSecurity/privileged spec.containers[0].securityContext.privileged"},
		},
		{
			name: "a label cannot lower the policy's level", podSecurity: "{level: baseline}", object: privilegedPod,
			labels: map[string]string{"pod-security.kubernetes.io/enforce": "privileged"},
			want:   []string{"Enforce p podSecurity/privileged spec.containers[0].securityContext.privileged"},
		},
		{
			name: "labels that do not count", podSecurity: "{level: privileged, namespaceLabels: Honor}", object: privilegedPod,
			labels: map[string]string{"pod-security.kubernetes.io/enforced": "baseline"},
		},
		{
			name: "labels that are ignored", podSecurity: "{level: baseline, mode: Warn, namespaceLabels: Ignore}", object: privilegedPod, labels: enforce,
			want: []string{"Warn p podSecurity/privileged spec.containers[0].securityContext.privileged"},
		},
		{
			name: "a template is denied", podSecurity: "{}", object: deployment, labels: enforce,
			want: []string{"Enforce Namespace/web podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"},
		},
		{
			name: "or only warned about, as Kubernetes does", podSecurity: "{templates: Warn}", object: deployment, labels: enforce,
			want: []string{"Warn Namespace/web podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"},
		},
		{
			name: "which holds for the policy's level too", podSecurity: "{templates: Warn, level: baseline}", object: deployment,
			want: []string{"Warn p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: {podSecurity: "+test.podSecurity+"}}\n")
			r := Review{Workload: decode(t, test.object), Namespace: Namespace{Name: "web", Labels: test.labels}}
			if diff := cmp.Diff(test.want, summary(plan(t, set, r).Validate(nil))); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUpdates(t *testing.T) {
	hardened := func(name, more string) string {
		return "{name: " + name + ", image: 'b:1', securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}" + more + "}"
	}
	object := func(kind, containers, annotation string) string {
		spec := "containers: [" + containers + "]"
		if kind == "Pod" {
			return "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {" + spec + "}\n"
		}
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {metadata: {annotations: {" + annotation + "}}, spec: {" + spec + "}}}\n"
	}
	const (
		bad   = "{name: bad, image: 'a:1', securityContext: {privileged: true}}"
		bad2  = "{name: bad, image: 'a:2', securityContext: {privileged: true}}"
		worse = "{name: worse, image: 'b:1', securityContext: {privileged: true}}"
	)
	for _, test := range []struct {
		name, policy, kind, old, updated, more string
		annotation                             string // of the updated template
		labels                                 map[string]string
		want                                   []string
	}{
		{name: "what stays as it is is not judged", policy: "level: baseline", kind: "Deployment", old: bad, updated: bad},
		{
			name: "what was bad before is tolerated", policy: "level: baseline", kind: "Deployment", old: bad, updated: bad2,
			want: []string{"Warn p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged existing"},
		},
		{
			name: "what is new is denied", policy: "level: baseline", kind: "Deployment", old: bad, updated: worse + "," + bad,
			want: []string{
				"Enforce p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged",
				"Warn p podSecurity/privileged spec.template.spec.containers[1].securityContext.privileged existing",
			},
		},
		{
			name: "what the pod lacks for a new container is new", policy: "level: restricted", kind: "Deployment",
			old: "{name: a, image: 'a:1'}", updated: "{name: a, image: 'a:1'},{name: b, image: 'b:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}",
			want: []string{
				"Enforce p podSecurity/runAsNonRoot spec.template.spec.securityContext.runAsNonRoot",
				"Enforce p podSecurity/seccompProfile_restricted spec.template.spec.securityContext.seccompProfile",
				"Warn p podSecurity/allowPrivilegeEscalation spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation existing",
				"Warn p podSecurity/capabilities_restricted spec.template.spec.containers[0].securityContext.capabilities.drop existing",
			},
		},
		{
			name: "a hardened container beside what was there", policy: "level: restricted", kind: "Deployment",
			old: "{name: a, image: 'a:1'}", updated: "{name: a, image: 'a:1'}," + hardened("b", ""),
			want: []string{
				"Warn p podSecurity/allowPrivilegeEscalation spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation existing",
				"Warn p podSecurity/capabilities_restricted spec.template.spec.containers[0].securityContext.capabilities.drop existing",
				"Warn p podSecurity/runAsNonRoot spec.template.spec.securityContext.runAsNonRoot existing",
				"Warn p podSecurity/seccompProfile_restricted spec.template.spec.securityContext.seccompProfile existing",
			},
		},
		{
			name: "a container that gives up its own hardening", policy: "level: restricted", kind: "Deployment",
			old:     "{name: a, image: 'a:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}," + hardened("b", ""),
			updated: "{name: a, image: 'a:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}},{name: b, image: 'b:1', securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}",
			want: []string{
				"Enforce p podSecurity/runAsNonRoot spec.template.spec.securityContext.runAsNonRoot",
				"Enforce p podSecurity/seccompProfile_restricted spec.template.spec.securityContext.seccompProfile",
			},
		},
		{
			name: "the same container in another list", policy: "level: baseline", kind: "Deployment",
			old: bad, updated: "{name: a, image: 'a:1'}], initContainers: [" + bad,
			want: []string{"Enforce p podSecurity/privileged spec.template.spec.initContainers[0].securityContext.privileged"},
		},
		{
			name: "another source of the same volume", policy: "level: restricted", kind: "Deployment",
			old:     hardened("a", "") + "], volumes: [{name: v, nfs: {server: s, path: /}}",
			updated: hardened("a", "") + "], volumes: [{name: v, glusterfs: {endpoints: e, path: p}}",
			want: []string{
				"Enforce p podSecurity/restrictedVolumes spec.template.spec.volumes[0].glusterfs",
			},
		},
		{
			name: "the same host port once more", policy: "level: baseline", kind: "Deployment",
			old:     "{name: a, image: 'a:1', ports: [{containerPort: 80, hostPort: 80}]}",
			updated: "{name: a, image: 'a:1', ports: [{containerPort: 80, hostPort: 80}, {containerPort: 80, hostPort: 80, protocol: UDP}]}",
			want: []string{
				"Enforce p podSecurity/hostPorts spec.template.spec.containers[0].ports[1].hostPort",
				"Warn p podSecurity/hostPorts spec.template.spec.containers[0].ports[0].hostPort existing",
			},
		},
		{
			name: "another annotation of the template is judged", policy: "level: baseline", kind: "Deployment",
			old: "{name: a, image: 'a:1'}", updated: "{name: a, image: 'a:1'}",
			annotation: "container.apparmor.security.beta.kubernetes.io/a: unconfined",
			want:       []string{`Enforce p podSecurity/appArmorProfile spec.template.metadata.annotations["container.apparmor.security.beta.kubernetes.io/a"]`},
		},
		{
			name: "unless the policy denies what was there", policy: "level: baseline", more: "existingViolations: Deny, ", kind: "Deployment", old: bad, updated: bad2,
			want: []string{"Enforce p podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged"},
		},
		{
			name: "a new image in a pod is judged by the label", kind: "Pod", old: bad, updated: bad2,
			labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
			want:   []string{"Enforce Namespace/web podSecurity/privileged spec.containers[0].securityContext.privileged"},
		},
		{
			name: "the label of a template is ours to tolerate", kind: "Deployment", old: bad, updated: bad2,
			labels: map[string]string{"pod-security.kubernetes.io/enforce": "baseline"},
			want:   []string{"Warn Namespace/web podSecurity/privileged spec.template.spec.containers[0].securityContext.privileged existing"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {"+test.more+"validate: {podSecurity: {"+test.policy+"}}}\n")
			v := plan(t, set, Review{
				Workload:  decode(t, object(test.kind, test.updated, test.annotation)),
				Old:       decode(t, object(test.kind, test.old, "")),
				Namespace: Namespace{Name: "web", Labels: test.labels},
			}).Validate(nil)
			if diff := cmp.Diff(test.want, summary(v)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatMayBeMutated(t *testing.T) {
	set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {digests: {owners: [argoproj.io/Rollout]}}}\n")
	owned := func(kind, apiVersion, owner string) string {
		object := "apiVersion: v1\nkind: Pod\n"
		spec := "spec: {containers: [{name: app, image: 'app:1'}]}\n"
		if kind != "Pod" {
			object = "apiVersion: apps/v1\nkind: " + kind + "\n"
			spec = "spec: {template: {spec: {containers: [{name: app, image: 'app:1'}]}}}\n"
		}
		return object + "metadata: {name: x, ownerReferences: [{controller: true, apiVersion: " + apiVersion + ", kind: " + owner + ", name: o, uid: u}]}\n" + spec
	}
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: app, image: '%s'}]}}}\n"
	podOf := func(images, ephemeral string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [" + images + "], ephemeralContainers: [" + ephemeral + "]}\n"
	}
	for _, test := range []struct {
		name, object, old, subresource string
		want                           []string
		sticky                         bool // nothing is asked for
	}{
		{name: "a pod", object: goodPod, want: []string{"spec.containers[0].image"}},
		{name: "a pod of a ReplicaSet", object: owned("Pod", "apps/v1", "ReplicaSet"), want: []string{"spec.containers[0].image"}},
		{name: "a pod of an operator", object: owned("Pod", "postgresql.cnpg.io/v1", "Cluster")},
		{name: "a pod of a listed operator", object: owned("Pod", "argoproj.io/v1alpha1", "Rollout"), want: []string{"spec.containers[0].image"}},
		{name: "a pod of somebody else's Deployment", object: owned("Pod", "example.com/v1", "Deployment")},
		{name: "a ReplicaSet of a Deployment", object: owned("ReplicaSet", "apps/v1", "Deployment")},
		{name: "a StatefulSet of an operator", object: owned("StatefulSet", "example.com/v1", "Database"), want: []string{"spec.template.spec.containers[0].image"}},
		{name: "a mirror pod", object: strings.Replace(goodPod, "{name: x}", "{name: x, annotations: {kubernetes.io/config.mirror: x}}", 1)},
		{name: "a job", object: fmt.Sprintf(job, "app:1"), want: []string{"spec.template.spec.containers[0].image"}},
		{name: "a job that exists", object: fmt.Sprintf(job, "app:2"), old: fmt.Sprintf(job, "app:1")},
		{name: "a job that exists and is applied again", object: fmt.Sprintf(job, "app:1"), old: fmt.Sprintf(job, "app:1@sha256:"+strings.Repeat("b", 64)), want: []string{"spec.template.spec.containers[0].image"}, sticky: true},
		{
			name:   "an image of a pod that exists, where it changed",
			object: podOf("{name: a, image: 'a:1'}, {name: b, image: 'b:2'}", ""),
			old:    podOf("{name: a, image: 'a:1'}, {name: b, image: 'b:1'}", ""),
			want:   []string{"spec.containers[1].image"},
		},
		{
			name:   "an ephemeral container, where it is new",
			object: podOf("{name: a, image: 'a:1'}", "{name: old, image: 'e:1'}, {name: new, image: 'e:1'}"),
			old:    podOf("{name: a, image: 'a:1'}", "{name: old, image: 'e:1'}"), subresource: "ephemeralcontainers",
			want: []string{"spec.ephemeralContainers[1].image"},
		},
		{
			name:   "nothing through another subresource",
			object: podOf("{name: a, image: 'a:1', resources: {limits: {cpu: 1}}}", ""),
			old:    podOf("{name: a, image: 'a:1'}", ""), subresource: "resize",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := Review{Workload: decode(t, test.object), Subresource: test.subresource}
			if test.old != "" {
				r.Old = decode(t, test.old)
			}
			p := plan(t, set, r)
			facts := image.Facts{}
			for _, n := range p.MutationNeeds() {
				facts[n.Image] = image.Fact{Digest: "sha256:" + strings.Repeat("a", 64)}
			}
			v := p.Mutate(facts)
			var got []string
			for _, e := range v.Edits {
				if path := e.Path.String(); strings.HasSuffix(path, ".image") {
					got = append(got, path)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
			if (len(facts) != len(test.want)) != test.sticky || len(v.Findings) > 0 {
				t.Errorf("got %d needs, findings %v, want a need for each edit and no finding", len(facts), v.Findings)
			}
		})
	}
}

// TestMutationOfWhatWasThere requires that an image that could not be pinned
// before does not stop an update of something else.
func TestMutationOfWhatWasThere(t *testing.T) {
	const object = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: app, image: '%s', env: [{name: A, value: '%s'}]}]}}}\n"
	refused := &image.Error{Reason: image.Unauthorized, Host: "docker.io"}
	for _, test := range []struct {
		name, policy, image string
		want                policies.Mode
	}{
		{"the same image", "", "app:1", policies.ModeWarn},
		{"another image", "", "app:2", policies.ModeEnforce},
		{"the same image, not tolerated", "existingViolations: Deny, ", "app:1", policies.ModeEnforce},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {"+test.policy+"mutate: {digests: {}}}\n")
			p := plan(t, set, Review{Workload: decode(t, fmt.Sprintf(object, test.image, "2")), Old: decode(t, fmt.Sprintf(object, "app:1", "1"))})
			v := p.Mutate(image.Facts{test.image: {Err: refused}})
			if len(v.Findings) != 1 || v.Findings[0].Mode != test.want {
				t.Errorf("got findings %v, want one with mode %s", summary(v), test.want)
			}
		})
	}
}

// TestWatchersSeeWhatIsLeft requires that a policy that only watches does not
// complain about what another one repairs in the same review.
func TestWatchersSeeWhatIsLeft(t *testing.T) {
	set := compile(t, `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: a}
spec: {mode: Warn, mutate: {digests: {}}}
---
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: b}
spec: {mutate: {digests: {}}}
`)
	v := plan(t, set, Review{Workload: decode(t, goodPod)}).Mutate(image.Facts{"app:1": {Digest: "sha256:" + strings.Repeat("a", 64)}})
	if len(v.Findings) > 0 || len(v.Edits) != 1 {
		t.Errorf("got findings %v, edits %v, want one edit alone", summary(v), v.Edits)
	}
}

// TestManyContainers bounds what one object can cost.
func TestManyContainers(t *testing.T) {
	w := decode(t, privilegedPod)
	for i := range 20000 {
		c := w.Spec.Containers[0]
		c.Name = fmt.Sprintf("c%d", i)
		w.Spec.Containers = append(w.Spec.Containers, c)
	}
	preset, err := policies.Preset("restricted")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile([]*policies.PodPolicy{preset})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	v := plan(t, set, Review{Workload: w}).Validate(nil)
	if took := time.Since(began); !v.Denied() || took > 5*time.Second {
		t.Errorf("got denied %v after %s, want a denial within 5 s", v.Denied(), took)
	}
}

func TestOnRegistryError(t *testing.T) {
	noAnswer := image.Facts{"app:1": {Err: &image.Error{Reason: image.Timeout, Image: "app:1", Host: "docker.io"}}}
	invalid := image.Facts{"app:1": {Err: &image.Error{Reason: image.InvalidReference, Image: "app:1"}}}
	for _, test := range []struct {
		spec  string
		facts image.Facts
		want  policies.Mode
	}{
		{spec: "mutate: {digests: {}}", facts: noAnswer, want: policies.ModeEnforce},
		{spec: "onRegistryError: Warn, mutate: {digests: {}}", facts: noAnswer, want: policies.ModeWarn},
		{spec: "onRegistryError: Allow, mutate: {digests: {}}", facts: noAnswer, want: policies.ModeAudit},
		{spec: "onRegistryError: Allow, mutate: {digests: {}}", facts: invalid, want: policies.ModeEnforce},
		{spec: "onRegistryError: Deny, mode: Warn, mutate: {digests: {}}", facts: nil, want: policies.ModeWarn},
		{spec: "onRegistryError: Deny, mutate: {digests: {mode: Audit}}", facts: nil, want: policies.ModeAudit},
	} {
		t.Run(test.spec, func(t *testing.T) {
			set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {"+test.spec+"}\n")
			p := plan(t, set, Review{Workload: decode(t, goodPod)})
			if asks := len(p.MutationNeeds()) > 0; asks != (test.facts != nil) {
				t.Errorf("got asks %v, want %v: only a policy that enforces contacts a registry", asks, test.facts != nil)
			}
			v := p.Mutate(test.facts)
			if len(v.Findings) != 1 || v.Findings[0].Mode != test.want {
				t.Errorf("got findings %v, want one with mode %s", summary(v), test.want)
			}
			if len(v.Edits) > 0 {
				t.Errorf("got edits %v, want none", v.Edits)
			}
		})
	}
}

// TestRefusals keeps every refusal as a user reads it.
func TestRefusals(t *testing.T) {
	files, err := filepath.Glob("../validate/testdata/podSecurity/fail-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found cases %v (%v), want some", files, err)
	}
	var b strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "# %s\n", strings.TrimSuffix(filepath.Base(file), ".yaml"))
		for _, preset := range []string{"baseline", "restricted"} {
			p, err := policies.Preset(preset)
			if err != nil {
				t.Fatal(err)
			}
			set, err := policies.Compile([]*policies.PodPolicy{p})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range plan(t, set, Review{Workload: decode(t, string(data))}).Validate(nil).Findings {
				fmt.Fprintln(&b, f)
			}
		}
	}
	b.WriteString(imageRefusals(t))
	const golden = "testdata/refusals.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("refusals (-want +got), go test ./engine -update accepts them:\n%s", diff)
	}
}

// imageRefusals are the refusals of the rules that are about images.
func imageRefusals(t *testing.T) string {
	t.Helper()
	set := compile(t, `
apiVersion: portcullis.dev/v1alpha1
kind: PodPolicy
metadata: {name: images}
spec:
  validate:
    rootUser: {}
    digests: {forbidTags: [latest]}
    registries: {allow: ["registry.example.com/**"], deny: ["registry.example.com/old/**"]}
`)
	const name = "registry.example.com/app:1"
	platform := func(user string, uid int64) image.Facts {
		return image.Facts{name: {Platforms: []image.Platform{
			{OS: "linux", Architecture: "amd64", User: "1000", UID: 1000}, {OS: "linux", Architecture: "arm64", User: user, UID: uid},
		}}}
	}
	var b strings.Builder
	for _, test := range []struct {
		name, image, context string
		facts                image.Facts
	}{
		{"root by its image", name, "", platform("", 0)},
		{"root by its manifest", name, "runAsUser: 0", nil},
		{"root that would not start", name, "runAsNonRoot: true", platform("root", 0)},
		{"a name that the kubelet refuses", name, "runAsNonRoot: true", platform("app", 999)},
		{"no answer", name, "", image.Facts{name: {Err: &image.Error{Reason: image.Timeout, Image: name, Host: "registry.example.com"}}}},
		{"no registry was asked", name, "", nil},
		{"another registry", "nginx", "runAsUser: 1", nil},
		{"a denied registry", "registry.example.com/old/app:1", "runAsUser: 1", nil},
		{"what is no reference", "registry.example.com//app", "runAsUser: 1", nil},
	} {
		object := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec:\n  containers: [{name: app, image: '%s', securityContext: {%s}}]\n", test.image, test.context)
		fmt.Fprintf(&b, "# %s\n", test.name)
		for _, f := range plan(t, set, Review{Workload: decode(t, object)}).Validate(test.facts).Findings {
			fmt.Fprintln(&b, f)
		}
	}
	return b.String()
}

// TestRootUserOnUpdate requires that an image that runs as root is not taken for
// one that did before, only because nobody knows what the old one did.
func TestRootUserOnUpdate(t *testing.T) {
	set := compile(t, "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {validate: {rootUser: {}}}\n")
	const object = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: app, image: '%s'}]}}}\n"
	root := image.Fact{Platforms: []image.Platform{{OS: "linux", Architecture: "amd64"}}}
	user := image.Fact{Platforms: []image.Platform{{OS: "linux", Architecture: "amd64", User: "1000", UID: 1000}}}
	for _, test := range []struct {
		name   string
		before image.Fact
		want   string
	}{
		{"the old image ran as a user", user, "Enforce p rootUser/root spec.template.spec.containers[0].securityContext.runAsUser"},
		{"the old image cannot be asked about", image.Fact{Err: &image.Error{Reason: image.NotFound}}, "Enforce p rootUser/root spec.template.spec.containers[0].securityContext.runAsUser"},
		{"the old image ran as root", root, "Warn p rootUser/root spec.template.spec.containers[0].securityContext.runAsUser existing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := plan(t, set, Review{Workload: decode(t, fmt.Sprintf(object, "app:2")), Old: decode(t, fmt.Sprintf(object, "app:1"))})
			if got := len(p.ValidationNeeds()); got != 2 {
				t.Errorf("got %d needs, want those of both images", got)
			}
			v := p.Validate(image.Facts{"app:1": test.before, "app:2": root})
			if diff := cmp.Diff([]string{test.want}, summary(v)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValuesAreQuoted(t *testing.T) {
	long := strings.Repeat("é", maxValue)
	for _, test := range []struct {
		value any
		want  string
	}{
		{true, "true"},
		{"a\x1b[31m\n", `"a\x1b[31m\n"`},
		{[]string{"NET_ADMIN"}, `["NET_ADMIN"]`},
		{long, `"` + strings.Repeat("é", 99) + `...`},
	} {
		if got := Quote(test.value); got != test.want {
			t.Errorf("Quote(%v): got %s, want %s", test.value, got, test.want)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	p, err := policies.Preset("restricted")
	if err != nil {
		b.Fatal(err)
	}
	set, err := policies.Compile([]*policies.PodPolicy{p})
	if err != nil {
		b.Fatal(err)
	}
	e, err := New()
	if err != nil {
		b.Fatal(err)
	}
	for name, object := range map[string]string{"denied": privilegedPod, "allowed": mustRead(b, "../validate/testdata/podSecurity/pass-restricted.yaml")} {
		w := decode(b, object)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Plan(Review{Workload: w, Namespace: Namespace{Name: "web"}}, set).Validate(nil)
			}
		})
	}
}

func mustRead(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func plan(t testing.TB, set *policies.Set, r Review) *Plan {
	t.Helper()
	e, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if r.Namespace.Name == "" {
		r.Namespace.Name = "web"
	}
	return e.Plan(r, set)
}

func compile(t testing.TB, yaml string) *policies.Set {
	t.Helper()
	list, err := policies.Load([]byte(yaml), "test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func decode(t testing.TB, manifest string) *pod.Workload {
	t.Helper()
	w, err := pod.DecodeYAML([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	return w
}
