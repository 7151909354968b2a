package policies

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime"
	psapi "k8s.io/pod-security-admission/api"
)

func TestCompile(t *testing.T) {
	set := compileText(t, head("p")+`spec:
  onRegistryError: Warn
  existingViolations: Deny
  mutate: {digests: {mode: Audit}}
  validate:
    podSecurity:
      mode: Warn
      level: baseline
      version: v1.36
      templates: Warn
      exemptions:
      - {checks: [hostPorts, privileged], containers: ["node-*"]}
      - {checks: [privileged], containers: [a], images: [nginx]}
`)
	c := set.Matching(nil, Target{Namespace: "a"})[0].Policy
	if c.Name != "p" || c.OnRegistryError != RegistryErrorWarn || c.ExistingViolations != ExistingViolationsDeny || *c.Digests.Mode != ModeAudit {
		t.Errorf("got %+v, want what the policy says", c)
	}
	ps := c.PodSecurity
	want := psapi.LevelVersion{Level: psapi.LevelBaseline, Version: psapi.MajorMinorVersion(1, 36)}
	if *ps.Mode != ModeWarn || *ps.Level != want || !ps.HonorLabels || ps.Templates != TemplatesWarn || len(ps.Exemptions) != 2 {
		t.Errorf("got %+v, want what the policy says", ps)
	}
	const nginx = "docker.io/library/nginx"
	tests := []struct {
		exemption       int
		container, name string
		want            bool
	}{
		{0, "node-exporter", nginx, true},
		{0, "node-exporter", "", true},
		{0, "other", nginx, false},
		{1, "a", nginx, true},
		{1, "a", "", false},
		{1, "b", nginx, false},
		{1, "a", "docker.io/evil/nginx", false},
	}
	for _, tc := range tests {
		if got := ps.Exemptions[tc.exemption].Covers("privileged", tc.container, tc.name); got != tc.want {
			t.Errorf("exemption %d of %s, %s: got %v, want %v", tc.exemption, tc.container, tc.name, got, tc.want)
		}
	}
	if ps.Exemptions[0].Covers("procMount", "node-exporter", nginx) {
		t.Error("a check that is not listed is exempt, want it not to be")
	}
}

func TestCompileImages(t *testing.T) {
	set := compileText(t, head("p")+`spec:
  validate:
    rootUser: {mode: Warn, version: v1.34}
    digests: {mode: Audit, require: false, forbidTags: [latest, main]}
    registries: {mode: Warn, allow: ["docker.io/library/*"], deny: [busybox]}
`)
	c := set.Matching(nil, Target{Namespace: "a"})[0].Policy
	warn, audit := ModeWarn, ModeAudit
	if diff := cmp.Diff(&CompiledDigestRequirement{Mode: &audit, ForbidTags: []string{"latest", "main"}}, c.DigestRequirement); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	if *c.RootUser.Mode != warn || c.RootUser.Version != psapi.MajorMinorVersion(1, 34) {
		t.Errorf("got %+v, want what the policy says", c.RootUser)
	}
	r := c.Registries
	if *r.Mode != warn || len(r.Allow) != 1 || len(r.Deny) != 1 || !r.Allow[0].Match("docker.io/library/nginx") || !r.Deny[0].Match("docker.io/library/busybox") {
		t.Errorf("got %+v, want what the policy says", r)
	}
	if c.Digests != nil || c.PodSecurity != nil {
		t.Errorf("got %+v, want no other rule", c)
	}
}

func TestCompileImageDefaults(t *testing.T) {
	set := compileText(t, head("p")+`spec: {mutate: {digests: {}}, validate: {rootUser: {}, digests: {}, registries: {deny: ["**"]}}}`)
	c := set.Matching(nil, Target{Namespace: "a"})[0].Policy
	if diff := cmp.Diff(&CompiledDigestRequirement{Require: true}, c.DigestRequirement); diff != "" {
		t.Errorf("digests (-want +got):\n%s", diff)
	}
	if c.RootUser.Mode != nil || !c.RootUser.Version.Latest() || len(c.Registries.Allow) != 0 || c.Digests.OwnedBy("argoproj.io", "Rollout") {
		t.Errorf("got %+v, %+v, %+v, want the defaults", c.RootUser, c.Registries, c.Digests)
	}
}

func TestCompileLabelsOnly(t *testing.T) {
	set := compileText(t, head("p")+"spec: {validate: {podSecurity: {}}}")
	c := set.Matching(nil, Target{Namespace: "a"})[0].Policy
	if c.Digests != nil || c.PodSecurity.Level != nil || !c.PodSecurity.HonorLabels || c.PodSecurity.Mode != nil {
		t.Errorf("got %+v, want labels only", c.PodSecurity)
	}
}

func TestCompileRefuses(t *testing.T) {
	bad := &PodPolicy{Spec: PodPolicySpec{Mode: "Off", Match: MatchSpec{Namespaces: []string{"A"}}, Mutate: MutateSpec{Digests: &DigestPinning{}}}}
	bad.Name = "bad"
	twin := &PodPolicy{Spec: PodPolicySpec{Mutate: MutateSpec{Digests: &DigestPinning{}}}}
	twin.Name = "twin"
	_, err := Compile([]*PodPolicy{bad, twin, twin})
	if err == nil {
		t.Fatal("got no error")
	}
	want := `PodPolicy "bad": spec.mode: "Off" is not a mode; use Enforce, Warn or Audit` + "\n" +
		`PodPolicy "bad": spec.match.namespaces[0]: "A" ` + globAdvice + "\n" +
		`PodPolicy "twin": metadata.name: "twin" is the name of another policy too`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

// TestCompileKeepsNothing changes the policy after it is compiled.
func TestCompileKeepsNothing(t *testing.T) {
	mode := ModeAudit
	p := &PodPolicy{Spec: PodPolicySpec{Match: MatchSpec{Kinds: []WorkloadKind{KindPod}}, Mutate: MutateSpec{Digests: &DigestPinning{MutatorSettings{Mode: &mode}}}}}
	p.Name = "p"
	set, err := Compile([]*PodPolicy{p})
	if err != nil {
		t.Fatal(err)
	}
	if p.Spec.Mode != "" {
		t.Errorf("the policy has got mode %s, want it unchanged", p.Spec.Mode)
	}
	mode, p.Spec.Match.Kinds[0] = ModeEnforce, KindJob
	matches := set.Matching(nil, Target{Namespace: "a", Kind: "Pod"})
	if len(matches) != 1 || *matches[0].Policy.Digests.Mode != ModeAudit {
		t.Error("the set follows a change of the policy, want it to keep what it was compiled from")
	}
}

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]runtime.Object{Kind: &PodPolicy{}, "PodPolicyList": &PodPolicyList{}} {
		got, err := scheme.New(GroupVersion().WithKind(kind))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(object, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}
