package engine

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/pmezard/go-difflib/difflib"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// examples are those that have a policy and a golden diff, with what their images
// say: NAME.yaml, NAME-policy.yaml and NAME.diff in examples/.
func examples() map[string]image.Facts {
	return map[string]image.Facts{
		"digests": {
			"registry.example.com/shop/migrate:2.1": digestImage("1"),
			"registry.example.com/shop/web:2.1":     digestImage("2"),
			"nginx:1.27":                            digestImage("3"),
			"registry.example.com/shop/themes:7":    digestImage("4"),
		},
		"hardening": {
			"registry.example.com/shop/web:2.1":     linuxImage(image.Platform{User: "app", UID: 10001}),
			"registry.example.com/shop/migrate:2.1": linuxImage(image.Platform{User: "1000", UID: 1000}),
			"nginx:1.27":                            linuxImage(image.Platform{}),
		},
		"probes": {
			"registry.example.com/shop/web:2.1": linuxImage(image.Platform{Healthcheck: &image.Healthcheck{
				Command: []string{"/bin/sh", "-c", "curl -fs http://localhost:8080/healthz"}, Interval: 10 * time.Second, Timeout: 2 * time.Second,
			}}),
			"registry.example.com/shop/prices:2.1": linuxImage(image.Platform{}),
			"registry.example.com/shop/mail:2.1":   linuxImage(image.Platform{NoHealthcheck: true}),
		},
		"logging": {
			"registry.example.com/shop/admin:2.1":  linuxImage(image.Platform{Env: []string{"RUBY_VERSION=3.3.4"}}),
			"registry.example.com/shop/web:2.1":    linuxImage(image.Platform{Env: []string{"PYTHON_VERSION=3.12.4"}}),
			"registry.example.com/shop/prices:2.1": linuxImage(image.Platform{Env: []string{"DOTNET_VERSION=8.0.6", "ASPNET_VERSION=8.0.6"}}),
			"registry.example.com/shop/mail:2.1":   linuxImage(image.Platform{Env: []string{"PYTHON_VERSION=3.12.4"}}),
		},
	}
}

// linuxImage is an image that says the same on two platforms.
func linuxImage(says image.Platform) image.Fact {
	amd64, arm64 := says, says
	amd64.OS, amd64.Architecture, amd64.Selected = "linux", "amd64", true
	arm64.OS, arm64.Architecture, arm64.Selected = "linux", "arm64", true
	return image.Fact{Digest: "sha256:" + strings.Repeat("0123456789abcdef", 4), Platforms: []image.Platform{amd64, arm64}}
}

// digestImage is an image of whose tag nothing but the digest is asked.
func digestImage(digit string) image.Fact {
	return image.Fact{Digest: "sha256:" + strings.Repeat(digit, 64)}
}

// TestExamples mutates each manifest of examples/ that has a policy beside it, and
// compares what becomes of it, as kubectl diff would show it, with the golden diff.
func TestExamples(t *testing.T) {
	folder := filepath.Join("..", "examples")
	written, err := filepath.Glob(filepath.Join(folder, "*-policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range written {
		names = append(names, strings.TrimSuffix(filepath.Base(file), "-policy.yaml"))
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(examples())), names); diff != "" {
		t.Errorf("examples (-here +in %s):\n%s", folder, diff)
	}
	for name, facts := range examples() {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(folder, name)
			got := exampleDiff(t, base, facts)
			golden := base + ".diff"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(mustRead(t, golden), got); diff != "" {
				t.Errorf("%s (-want +got), -update writes it:\n%s", golden, diff)
			}
		})
	}
}

// exampleDiff is what the policy of an example does to its manifest: each edit with
// what it derives from, and the difference.
func exampleDiff(t *testing.T, base string, facts image.Facts) string {
	t.Helper()
	manifest := []byte(mustRead(t, base+".yaml"))
	w, err := pod.DecodeYAML(manifest)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := yaml.YAMLToJSON(manifest)
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, compile(t, mustRead(t, base+"-policy.yaml")), Review{Workload: w})
	for _, need := range p.MutationNeeds() {
		if _, known := facts[need.Image]; !known {
			t.Errorf("got a need for %s, of which the test says nothing", need.Image)
		}
	}
	v := p.Mutate(facts)
	after := patched(t, raw, v)
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(t, raw), B: lines(t, after),
		FromFile: filepath.Base(base) + ".yaml", ToFile: filepath.Base(base) + ".yaml, mutated", Context: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range slices.Concat(v.Edits, v.Proposed) {
		fmt.Fprintf(&b, "# %s\n", e)
	}
	for _, f := range v.Findings {
		fmt.Fprintf(&b, "# %s %s\n", f.Mode, f)
	}
	return b.String() + text
}

// patched is an object after the patch of a verdict.
func patched(t testing.TB, raw []byte, v Verdict) []byte {
	t.Helper()
	patch, err := pod.Patch(raw, v.Changes())
	if err != nil {
		t.Fatal(err)
	}
	if patch == nil {
		return raw
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		t.Fatal(err)
	}
	after, err := operations.Apply(raw)
	if err != nil {
		t.Fatalf("applying %s to %.1000s: %v", patch, raw, err)
	}
	return after
}

// lines are those of an object in YAML, as kubectl writes it.
func lines(t *testing.T, object []byte) []string {
	t.Helper()
	text, err := yaml.JSONToYAML(object)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(text)))
}

// TestREADMEShowsAnExample holds the diffs in the README to be parts of the golden
// ones, but for those that have the names of files: these are what a command prints.
func TestREADMEShowsAnExample(t *testing.T) {
	golden := ""
	for name := range examples() {
		golden += mustRead(t, filepath.Join("..", "examples", name+".diff"))
	}
	blocks := regexp.MustCompile("(?s)```diff\n(.*?)```").FindAllStringSubmatch(mustRead(t, filepath.Join("..", "README.md")), -1)
	found := false
	for _, block := range blocks {
		if strings.HasPrefix(block[1], "--- ") {
			continue
		}
		found = true
		if !strings.Contains(golden, block[1]) {
			t.Errorf("README.md shows what is in no examples/*.diff:\n%s", block[1])
		}
	}
	if !found {
		t.Error("got no diff of an example in README.md, want one")
	}
}
