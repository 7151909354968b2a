//go:build kind

package kind

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestInstall installs Portcullis in every way there is, sees it work, and removes
// it. What the README has commands for is done by them, as they are written there.
func TestInstall(t *testing.T) {
	c := up(t)
	text, err := os.ReadFile(filepath.Join(c.root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	// The README has the commands of kubectl first, and then those of Helm.
	uninstall := commandsOf(t, readme, "### Uninstall")
	ways := []way{
		{"readme", commandsOf(t, readme, "## Install"), uninstall[:1]},
		kustomized("readme-cert-manager", commandsOf(t, readme, "### With cert-manager")),
		kustomized("readme-highly-available", commandsOf(t, readme, "### Highly available")),
		{"readme-helm", commandsOf(t, readme, "### With Helm"), uninstall[1:]},
	}
	for _, overlay := range overlays(t, c.root) {
		if !strings.Contains(readme, "kubectl apply -k "+overlay+"\n") {
			ways = append(ways, kustomized(filepath.Base(overlay), []string{
				"kubectl apply -k " + overlay, "kubectl -n portcullis-system rollout status deployment/portcullis --timeout=180s",
			}))
		}
	}
	var objects []*unstructured.Unstructured // of all ways
	for _, overlay := range overlays(t, c.root) {
		rendered, err := harness.Render(filepath.Join(c.root, overlay))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, rendered...)
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			c.uninstall(t)
			c.execute(t, way.install)
			c.works(t)
			c.meetsRestricted(t)
			c.execute(t, way.uninstall)
			c.wantGone(t, objects)
			c.wantUsable(t)
		})
	}
}

// way is one to install and uninstall Portcullis, by commands.
type way struct {
	name               string
	install, uninstall []string
}

// kustomized is a way that ends with deleting what it has applied.
func kustomized(name string, install []string) way {
	w := way{name: name, install: install}
	for _, line := range install {
		if folder, found := strings.CutPrefix(line, "kubectl apply -k "); found {
			w.uninstall = append(w.uninstall, "kubectl delete -k "+folder)
		}
	}
	return w
}

// overlays are the overlays that install Portcullis, by their folders from that of
// the module.
func overlays(t *testing.T, root string) []string {
	t.Helper()
	folders, err := filepath.Glob(filepath.Join(root, "manifests", "overlays", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, folder := range folders {
		rendered, err := harness.Render(folder)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(rendered, func(o *unstructured.Unstructured) bool { return o.GetKind() == "Deployment" }) {
			found = append(found, filepath.Join("manifests", "overlays", filepath.Base(folder)))
		}
	}
	if len(found) == 0 {
		t.Fatal("got no overlay with a Deployment in manifests/overlays")
	}
	return found
}

// works holds that what is installed judges: nothing is refused by a fresh
// installation, and a policy counts.
func (c *cluster) works(t *testing.T) {
	t.Helper()
	namespace := c.namespace(t, "restricted", nil)
	suite.Eventually(t, 30*time.Second, func() error {
		return c.client.Create(t.Context(), privileged(newPod(namespace, "anything-goes", webImage)), client.DryRunAll)
	})
	c.applyPolicies(t, "testdata/policies.yaml")
	c.waitForPolicies(t)
	wantRefusal(t, c.client.Create(t.Context(), privileged(newPod(namespace, "bad", webImage))), "restricted: podSecurity/privileged")
	c.mustCreate(t, newPod(namespace, "good", webImage))
}

// meetsRestricted holds that our own pods are as we want those of others. In our
// namespace we do not judge, so a copy is made elsewhere.
func (c *cluster) meetsRestricted(t *testing.T) {
	t.Helper()
	var deployment appsv1.Deployment
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: harness.SystemNamespace, Name: harness.Name}, &deployment); err != nil {
		t.Fatal(err)
	}
	deployment.ObjectMeta = metav1.ObjectMeta{Namespace: c.namespace(t, "restricted", nil), Name: harness.Name}
	if err := c.client.Create(t.Context(), &deployment, client.DryRunAll); err != nil {
		t.Errorf("our own Deployment, judged: %v", err)
	}
}

// wantGone requires that none of the objects is there any more.
func (c *cluster) wantGone(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		// A configuration that a replica has put back meanwhile is left to the garbage collector.
		suite.Eventually(t, 30*time.Second, func() error {
			err := c.client.Get(t.Context(), client.ObjectKeyFromObject(object), object.DeepCopy())
			if !apierrors.IsNotFound(err) && !isNoMatch(err) {
				return fmt.Errorf("%s %s is still there (%w)", object.GetKind(), object.GetName(), err)
			}
			return nil
		})
	}
}

// isNoMatch tells that the kind of an object has gone, and all objects with it.
func isNoMatch(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "no matches for kind") || strings.Contains(err.Error(), "could not find the requested resource"))
}

// wantUsable requires that a cluster without Portcullis takes any pod, once the API
// server has heard that the registration is gone.
func (c *cluster) wantUsable(t *testing.T) {
	t.Helper()
	namespace := c.namespace(t, "restricted", nil)
	suite.Eventually(t, 10*time.Second, func() error {
		return c.client.Create(t.Context(), privileged(newPod(namespace, "free", webImage)), client.DryRunAll)
	})
}

// TestUninstallInAnyOrder deletes the objects of an installation one by one, in other
// orders than that of `kubectl delete -k`. On the way none may keep another from being deleted, and in the end the cluster takes
// pods again.
func TestUninstallInAnyOrder(t *testing.T) {
	c := up(t)
	orders := map[string]func([]*unstructured.Unstructured){
		"backwards": slices.Reverse[[]*unstructured.Unstructured],
		"shuffled": func(objects []*unstructured.Unstructured) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			rand.New(rand.NewPCG(seed, 0)).Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		},
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			c.install(t, standard)
			objects, err := harness.Render(filepath.Join(c.root, base))
			if err != nil {
				t.Fatal(err)
			}
			order(objects)
			for _, object := range objects {
				args := []string{"delete", object.GroupVersionKind().GroupKind().String(), object.GetName(), "--ignore-not-found", "--timeout", "90s"}
				if namespace := object.GetNamespace(); namespace != "" {
					args = append(args, "--namespace", namespace)
				}
				c.kubectl(t, args...)
			}
			c.wantGone(t, objects)
			c.wantUsable(t)
		})
	}
}

// commandsOf are the commands in the code blocks of a section, up to the next
// heading.
func commandsOf(t *testing.T, text, heading string) []string {
	t.Helper()
	_, section, found := strings.Cut(text, "\n"+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	if end := strings.Index(section, "\n#"); end >= 0 {
		section = section[:end]
	}
	var commands []string
	for line := range strings.Lines(section) {
		line = strings.TrimSuffix(line, "\n")
		if command, indented := strings.CutPrefix(line, "    "); indented {
			commands = append(commands, command)
		}
	}
	if len(commands) == 0 {
		t.Fatalf("the section %q of the README has no commands", heading)
	}
	return commands
}

// execute runs commands of a document as they are written, in the module's folder.
func (c *cluster) execute(t *testing.T, commands []string) {
	t.Helper()
	folders := []string{filepath.Dir(harness.Program("kubectl")), filepath.Dir(program(t, "helm")), os.Getenv("PATH")}
	path := strings.Join(folders, string(os.PathListSeparator))
	for _, line := range commands {
		output, err := command{args: []string{"bash", "-c", line}, dir: c.root, env: []string{"KUBECONFIG=" + c.kubeconfig, "PATH=" + path}}.run(t.Context())
		if err != nil {
			t.Fatal(fmt.Errorf("the command %q of the README: %w", line, err))
		}
		t.Logf("$ %s\n%s", line, output)
	}
}
