package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestFixPrune requires that --prune takes out what no manifest of the run names, and
// nothing where not all of them were read.
func TestFixPrune(t *testing.T) {
	digest := "sha256:" + strings.Repeat("a", 64)
	const head = "apiVersion: portcullis.dev/v1alpha1\nkind: ImageLock\nimages:\n"
	entry := func(name string) string { return "  docker.io/library/" + name + ": " + digest + "\n" }
	all := entry("cron:1") + entry("gone:1") + entry("init:latest") + entry("pinned:1") + entry("plain:1") + entry("plain:2") + entry("volume:1")
	named := strings.NewReplacer(entry("gone:1"), "", entry("plain:2"), "").Replace(all)
	manifests := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a}\n  spec:\n    initContainers: [{name: init, image: init}]\n" +
		"    containers: [{name: plain, image: plain:1}, {name: pinned, image: 'pinned:1@" + digest + "'}]\n    volumes: [{name: v, image: {reference: 'index.docker.io/library/volume:1'}}]\n" +
		"- apiVersion: batch/v1\n  kind: CronJob\n  metadata: {name: c}\n  spec: {schedule: '@daily', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: cron:1}]}}}}}\n"
	const said = `portcullis: pruning the lock: no manifest that was given names "docker.io/library/gone:1", "docker.io/library/plain:2"` + "\n"
	for _, test := range []struct {
		name, manifests, stdin string
		args                   []string
		want, stderr           string
	}{
		{name: "not asked for", manifests: manifests, args: []string{"--write"}, want: all},
		{name: "written", manifests: manifests, args: []string{"--write", "--prune"}, want: named, stderr: said},
		{name: "to standard output", manifests: manifests, args: []string{"--prune"}, want: named, stderr: said},
		{name: "only shown", manifests: manifests, args: []string{"--diff", "--prune"}, want: all, stderr: said},
		{name: "from standard input", manifests: "", stdin: manifests, args: []string{"--prune", "-"}, want: named, stderr: said},
		{
			name: "a manifest that cannot be read", manifests: manifests + "---\nkind: [\n", args: []string{"--write", "--prune"}, want: all,
			stderr: "portcullis: pruning the lock: no tag is taken out, since not all of the input can be read\n",
		},
		{
			name: "no images", manifests: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n", args: []string{"--write", "--prune"}, want: all,
			stderr: "portcullis: pruning the lock: no tag is taken out, since no manifest that was given names an image\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			file, manifest := filepath.Join(folder, "portcullis.lock"), filepath.Join(folder, "pods.yaml")
			for path, text := range map[string]string{file: head + all, manifest: test.manifests} {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"fix", "--lock", file}, test.args...)
			if test.stdin == "" {
				args = append(args, manifest)
			}
			got := execute(t, test.stdin, args...)
			if !strings.Contains(got.stderr, test.stderr) || test.stderr == "" && strings.Contains(got.stderr, "pruning") {
				t.Errorf("got stderr %s, want %q in it", got.stderr, test.stderr)
			}
			if shown := strings.Contains(got.stdout, "-"+entry("gone:1")); shown != (test.name == "only shown") {
				t.Errorf("got the change of the lock shown %v:\n%s", shown, got.stdout)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, images, _ := strings.Cut(string(text), "images:\n"); images != test.want {
				t.Errorf("got lock\n%swant\n%s", images, test.want)
			}
		})
	}
	if got := execute(t, "", "fix", "--prune", "x.yaml"); got.code != exitUsage || !strings.Contains(got.stderr, "reading --prune: name the file with --lock") {
		t.Errorf("without --lock: got %+v, want exit code %d and what is missing", got, exitUsage)
	}
}

// TestFixPruneUpdate requires that nobody is asked for a tag that is taken out: its
// image may be gone for good.
func TestFixPruneUpdate(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	digest := push(t, host+"/shop/app:1", "1000")
	folder := t.TempDir()
	path := func(file string) string { return filepath.Join(folder, file) }
	old := "sha256:" + strings.Repeat("a", 64)
	for file, text := range map[string]string{
		"registries.yaml": "apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\nallow: {cidrs: [127.0.0.0/8]}\ninsecure: [\"" + host + "\"]\n",
		"pod.yaml":        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: app, image: \"" + host + "/shop/app:1\"}]}\n",
		"portcullis.lock": "apiVersion: portcullis.dev/v1alpha1\nkind: ImageLock\nimages:\n  " + host + "/shop/app:1: " + old + "\n  " + host + "/shop/gone:1: " + old + "\n",
	} {
		if err := os.WriteFile(path(file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"fix", "--write", "--online", "--registries", path("registries.yaml"), "--lock", path("portcullis.lock"), path("pod.yaml"), "--update"}
	if got := execute(t, "", args...); got.code != exitFailed || !strings.Contains(got.stderr, `"`+host+`/shop/gone:1" keeps its digest`) {
		t.Errorf("without --prune: got %+v, want exit code %d, since an image of the lock is gone", got, exitFailed)
	}
	if got := execute(t, "", append(args, "--prune")...); got.code != 0 {
		t.Errorf("got %+v, want exit code 0", got)
	}
	text, err := os.ReadFile(path("portcullis.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "images:\n  " + host + "/shop/app:1: " + digest + "\n"; !strings.HasSuffix(string(text), want) {
		t.Errorf("got lock\n%s\nwant it to end with\n%s", text, want)
	}
}
