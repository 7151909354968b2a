package policies

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psapi "k8s.io/pod-security-admission/api"
	"sigs.k8s.io/yaml"
)

func TestPresets(t *testing.T) {
	defaults := PodPolicySpec{Mode: ModeEnforce, OnRegistryError: RegistryErrorDeny, ExistingViolations: ExistingViolationsAllow}
	rule := func(level psapi.Level, labels NamespaceLabels) ValidateSpec {
		return ValidateSpec{PodSecurity: &PodSecurity{Level: level, Version: "latest", NamespaceLabels: labels, Templates: TemplatesDeny}}
	}
	allowed := true
	defaults.Exceptions = ExceptionSettings{Allowed: &allowed, MaxDuration: &metav1.Duration{Duration: 720 * time.Hour}}
	pinning := &DigestPinning{MutatorSettings{SkipAnnotation: SkipAnnotationIgnore}}
	audit, baseline, restricted := defaults, defaults, defaults
	audit.Match.ExcludeNamespaces = []string{"kube-system"}
	audit.Mode, audit.Mutate.Digests, audit.Validate = ModeAudit, pinning, rule("restricted", NamespaceLabelsIgnore)
	baseline.Match.ExcludeNamespaces, baseline.Validate = []string{"kube-system"}, rule("baseline", NamespaceLabelsHonor)
	restricted.Match.ExcludeNamespaces, restricted.Mutate.Digests = []string{"kube-system"}, pinning
	restricted.Validate = rule("restricted", NamespaceLabelsHonor)
	want := map[string]PodPolicySpec{"audit": audit, "baseline": baseline, "restricted": restricted}

	server := newAPIServer(t)
	got := map[string]PodPolicySpec{}
	for _, name := range PresetNames() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != name {
			t.Errorf("preset %s is named %s", name, p.Name)
		}
		got[name] = p.Spec
		if _, err := Compile([]*PodPolicy{p}); err != nil {
			t.Error(err)
		}
		data, err := presetFiles.ReadFile("presets/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(data), "# ") {
			t.Errorf("preset %s does not begin with a comment that says when to use it", name)
		}
		object := map[string]any{}
		if err := yaml.UnmarshalStrict(data, &object); err != nil {
			t.Fatal(err)
		}
		if errs := server.admit(t, object); len(errs) > 0 {
			t.Errorf("API server on preset %s: %v", name, errs)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("presets (-want +got):\n%s", diff)
	}
}

// TestPresetsRoundTrip writes each preset and loads what was written.
func TestPresetsRoundTrip(t *testing.T) {
	for _, name := range PresetNames() {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := yaml.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		list, err := Load(data, name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, list[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestPresetsAreFreshCopies(t *testing.T) {
	first, err := Preset("audit")
	if err != nil {
		t.Fatal(err)
	}
	first.Spec.Mode = ModeEnforce
	second, err := Preset("audit")
	if err != nil {
		t.Fatal(err)
	}
	if second.Spec.Mode != ModeAudit {
		t.Errorf("got mode %s, want Audit: a caller changed the preset of all", second.Spec.Mode)
	}
}

func TestPresetUnknown(t *testing.T) {
	for _, name := range []string{"", "strict", "../presets/audit", "audit.yaml"} {
		_, err := Preset(name)
		if want := quote(name) + " is not a preset; use audit, baseline or restricted"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
