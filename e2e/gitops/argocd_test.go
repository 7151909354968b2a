package gitops_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// statuses are Argo CD's sync statuses by the way of comparing, which is the
// value of the annotation argocd.argoproj.io/compare-options.
type statuses map[string]string

// TestArgoCD holds that Argo CD reports in sync, with the annotation of the
// document, what it has synced, also after the tag has moved; that it does not
// without; and that the annotation does not make it blind.
func TestArgoCD(t *testing.T) {
	t.Parallel()
	program := buildArgoCD(t)
	annotated := compareOptions(t)
	for name, sync := range map[string]string{
		// As gitops-engine's newApplyOptions sets it.
		"client-side": apply + " --field-manager=argocd-controller",
		"server-side": applyServerSide + " --force-conflicts --field-manager=argocd-controller",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			want := func(when string, want statuses) {
				t.Helper()
				if diff := cmp.Diff(want, a.compare(t, program)); diff != "" {
					t.Errorf("sync status %s (-want +got):\n%s", when, diff)
				}
			}
			inSync := statuses{"Legacy": "OutOfSync", "ServerSideDiff=true": "Synced", annotated: "Synced"}
			a.run(t, sync)
			first := a.pinned("1.4")
			a.want(t, "the first sync", first, 1)
			want("after the first sync", inSync)
			a.move(t)
			want("with the tag moved", inSync)
			a.run(t, sync)
			a.want(t, "another sync", first, 1)
			want("after another sync", inSync)

			a.commit(t, strings.Replace(example(t, "kind: Deployment"), "web:1.4", "web:1.5", 1))
			outOfSync := statuses{"Legacy": "OutOfSync", "ServerSideDiff=true": "OutOfSync", annotated: "OutOfSync"}
			want("with another tag in Git", outOfSync)
			a.run(t, sync)
			want("after syncing that", inSync)
			a.run(t, "kubectl scale deployment/web --replicas=3")
			want("with something else changed in the cluster", outOfSync)
		})
	}
}

// compareOptions is the annotation of the document's Application.
func compareOptions(t *testing.T) string {
	t.Helper()
	var application struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := yaml.Unmarshal([]byte(example(t, "kind: Application")), &application); err != nil {
		t.Fatal(err)
	}
	return application.Metadata.Annotations["argocd.argoproj.io/compare-options"]
}

// buildArgoCD compiles the module in the folder argocd. The environment and the
// flags are those with which the control plane is built (../controlplane/ensure):
// what the two have in common is compiled once.
func buildArgoCD(t *testing.T) string {
	t.Helper()
	for _, file := range []string{"go.mod", "go.sum", "main.go"} { // go test notes what was read
		if _, err := os.ReadFile(filepath.Join("argocd", file)); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(t.TempDir(), "argocd")
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=readonly", "-trimpath", "-o", program, ".")
	build.Dir = "argocd"
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("compiling e2e/gitops/argocd: %v\n%s", err, output)
	}
	return program
}

// compare lets Argo CD compare what runs with the file.
func (a *app) compare(t *testing.T, program string) statuses {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, "--kubeconfig="+a.kubeconfig, a.file)
	var differences strings.Builder
	command.Stderr = &differences
	output, err := command.Output()
	if err != nil {
		t.Fatalf("comparing as Argo CD does: %v\n%s", err, differences.String())
	}
	got := statuses{}
	for line := range strings.Lines(string(output)) {
		way, status, _ := strings.Cut(strings.TrimSpace(line), " ")
		got[way] = status
	}
	return got
}
