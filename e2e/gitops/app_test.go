package gitops_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

var names atomic.Int64

// app is the document's Deployment in a namespace and with a repository of its own.
type app struct {
	*suite.Cluster
	namespace  string
	repository string // in place of example/web
	folder     string // has file and kubeconfig
	file       string // what is in Git
	kubeconfig string // of the namespace
}

func newApp(t *testing.T) *app {
	t.Helper()
	c := cluster(t)
	a := &app{Cluster: c, namespace: fmt.Sprintf("web-%d", names.Add(1)), folder: t.TempDir()}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.namespace}}
	if err := c.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	a.repository = "example/" + a.namespace
	a.file, a.kubeconfig = filepath.Join(a.folder, "web.yaml"), filepath.Join(a.folder, "kubeconfig")
	a.push(t, "1.4", "first")
	a.push(t, "1.5", "next")
	a.commit(t, example(t, "kind: Deployment"))
	config, err := clientcmd.LoadFromFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[config.CurrentContext].Namespace = a.namespace
	if err := clientcmd.WriteToFile(*config, a.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return a
}

// commit changes the file.
func (a *app) commit(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(a.file, []byte(a.own(text)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// own puts the app's repository into a text of the document.
func (a *app) own(text string) string { return strings.ReplaceAll(text, "example/web", a.repository) }

// push makes a tag stand for an image and returns the pinned reference.
func (a *app) push(t *testing.T, tag, content string) string {
	t.Helper()
	image := a.repository + ":" + tag
	if err := a.Registry.PushIndex(image, harness.Config{Env: []string{"CONTENT=" + content}}); err != nil {
		t.Fatal(err)
	}
	return a.Registry.Pinned(image)
}

// move makes a tag stand for another image, and waits until the server no longer
// believes what it knew.
func (a *app) move(t *testing.T) (moved string) {
	t.Helper()
	before := a.pinned("1.4")
	moved = a.push(t, "1.4", "instead of "+before)
	time.Sleep(tagTTL * 3 / 2)
	return moved
}

// pinned is the reference of a tag with the digest that it stands for now.
func (a *app) pinned(tag string) string { return a.Registry.Pinned(a.repository + ":" + tag) }

// run runs a command of the document, or one like it, and returns what it prints.
func (a *app) run(t *testing.T, line string) string {
	t.Helper()
	output, err := a.try(t, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, output)
	}
	return output
}

func (a *app) try(t *testing.T, line string) (string, error) {
	t.Helper()
	shell := exec.CommandContext(t.Context(), "sh", "-c", a.own(line))
	shell.Dir = a.folder
	path := filepath.Dir(harness.Program("kubectl")) + string(filepath.ListSeparator) + os.Getenv("PATH")
	shell.Env = append(os.Environ(), "KUBECONFIG="+a.kubeconfig, "PATH="+path)
	var output bytes.Buffer
	shell.Stdout, shell.Stderr = &output, &output
	err := shell.Run()
	return output.String(), err
}

// live is the Deployment as it is stored.
func (a *app) live(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := a.Client.Get(t.Context(), client.ObjectKey{Namespace: a.namespace, Name: "web"}, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// want requires what is stored: the image and the generation, which says how often
// the Deployment's spec or annotations were changed.
func (a *app) want(t *testing.T, after, image string, generation int64) {
	t.Helper()
	a.wantImage(t, after, image)
	if got := a.live(t).Generation; got != generation {
		t.Errorf("generation after %s: got %d, want %d", after, got, generation)
	}
}

func (a *app) wantImage(t *testing.T, after, image string) {
	t.Helper()
	if got := a.live(t).Spec.Template.Spec.Containers[0].Image; got != image {
		t.Errorf("image after %s: got %q, want %q", after, got, image)
	}
}
