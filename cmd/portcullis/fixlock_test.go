package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// push puts an image that runs as a user into a registry, and returns its digest.
func push(t *testing.T, reference, user string) string {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: v1.Config{User: user}, RootFS: v1.RootFS{Type: "layers"}}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}

// TestFixLock goes the way of a digest through the command line: from a registry into
// the lock and the manifest, to other commands without a registry, and on to the next
// one when somebody asks.
func TestFixLock(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	folder := t.TempDir()
	path := func(file string) string { return filepath.Join(folder, file) }
	save := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(path(file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(file string) string {
		t.Helper()
		text, err := os.ReadFile(path(file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	image := host + "/shop/app:1"
	first := push(t, image, "1000")
	save("registries.yaml", "apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\nallow: {cidrs: [127.0.0.0/8]}\ninsecure: [\""+host+"\"]\n")
	manifest := func(digest string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: app\n    image: " + image + digest + "\n"
	}
	save("pod.yaml", manifest(""))
	online := []string{"--online", "--registries", path("registries.yaml")}
	fix := func(args ...string) execution {
		t.Helper()
		return execute(t, "", append([]string{"fix", "--lock", path("portcullis.lock"), path("pod.yaml")}, args...)...)
	}

	got := fix(append(online, "--diff")...)
	if got.code != 0 || !strings.Contains(got.stdout, "+  "+image+": "+first+"\n") || !strings.Contains(got.stdout, "--- /dev/null\n+++ b"+path("portcullis.lock")) {
		t.Errorf("diff: got %+v, want exit code 0 and the new lock", got)
	}
	if _, err := os.Stat(path("portcullis.lock")); err == nil {
		t.Error("--diff has written the lock")
	}

	got = fix(append(online, "--write")...)
	want := manifest("@"+first) + "    securityContext:\n      allowPrivilegeEscalation: false\n      runAsNonRoot: true\n      capabilities:\n        drop:\n        - ALL\n" +
		"  securityContext:\n    seccompProfile:\n      type: RuntimeDefault\n"
	if diff := cmp.Diff(want, load("pod.yaml")); diff != "" || got.code != 0 {
		t.Fatalf("online: got exit code %d and %s, manifest (-want +got):\n%s", got.code, got.stderr, diff)
	}
	locked := load("portcullis.lock")
	if want := "images:\n  " + image + ": " + first + "\n"; !strings.HasSuffix(locked, want) {
		t.Errorf("got lock %q, want one that ends with %q", locked, want)
	}

	second := push(t, image, "1000")
	save("pod.yaml", manifest(""))
	if got := fix(); !strings.Contains(got.stdout, image+"@"+first) || !strings.Contains(got.stderr, ", from the lock") {
		t.Errorf("offline: got %+v, want the digest of the lock", got)
	}
	if got := fix(append(online, "--write")...); got.code != 0 || !strings.Contains(load("pod.yaml"), "@"+first) || load("portcullis.lock") != locked {
		t.Errorf("online again: got %+v and %s, want the digest of the lock", got, load("pod.yaml"))
	}
	if got := execute(t, "", "check", "--lock", path("portcullis.lock"), "--preset", "restricted", path("pod.yaml")); got.code != 0 {
		t.Errorf("check: got %+v, want exit code 0", got)
	}

	if got := fix(append(online, "--write", "--update")...); got.code != 0 || !strings.Contains(got.stderr, "is changed from") {
		t.Errorf("update: got %+v, want exit code 0 and a change", got)
	}
	if diff := cmp.Diff(strings.ReplaceAll(want, first, second), load("pod.yaml")); diff != "" {
		t.Errorf("update: manifest (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(strings.ReplaceAll(locked, first, second), load("portcullis.lock")); diff != "" {
		t.Errorf("update: lock (-want +got):\n%s", diff)
	}

	// Another part of the manifests has been left behind, with a digest of before.
	save("left.yaml", manifest("@"+first))
	behind := "the lock has " + second
	for _, command := range [][]string{{"check", "--preset", "baseline"}, {"fix"}} {
		got := execute(t, "", append(command, "--lock", path("portcullis.lock"), path("left.yaml"))...)
		if said := got.stdout + got.stderr; !strings.Contains(said, behind) || !strings.Contains(said, "has the digest "+first+" of \""+image+"\"") {
			t.Errorf("%s: got %+v, want both digests", command[0], got)
		}
	}
	if got := fix(path("left.yaml")); !strings.Contains(got.stderr, "left.yaml:7:5: not fixed digests/lock: ") || !strings.Contains(got.stderr, "it is not fixed because that takes --update") {
		t.Errorf("left behind: got %+v, want its line and why it is left", got)
	}
	if got := fix(append(online, "--write", "--update", path("left.yaml"))...); got.code != 0 || !strings.Contains(load("left.yaml"), "@"+second) || strings.Contains(got.stderr, behind) {
		t.Errorf("left behind, updated: got %+v, want the digest of the lock", got)
	}

	// A lock that cannot be written stops the run before a manifest is.
	save("pod.yaml", manifest(""))
	if err := os.Chmod(path("portcullis.lock"), 0o444); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"portcullis.lock": "it is read-only", "none/portcullis.lock": "no such file or directory"} {
		got := execute(t, "", append([]string{"fix", "--write", "--lock", path(name), path("pod.yaml")}, online...)...)
		if want := "writing --lock \"" + path(name) + "\": " + want + "; no manifest was written"; got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: got %+v, want exit code %d and %q", name, got, exitUsage, want)
		}
		if load("pod.yaml") != manifest("") {
			t.Errorf("%s: the manifest was written", name)
		}
	}
	if err := os.Chmod(path("portcullis.lock"), 0o600); err != nil {
		t.Fatal(err)
	}
	save("pod.yaml", strings.Replace(want, first, second, 1))

	server.Close()
	if got := fix(append(online, "--write", "--update")...); got.code != exitFailed || !strings.Contains(got.stderr, "keeps its digest: ") || !strings.Contains(load("portcullis.lock"), second) {
		t.Errorf("update without a registry: got %+v, want exit code %d and the old digest", got, exitFailed)
	}
	save("pod.yaml", strings.Replace(manifest(""), "app:1", "other:1", 1))
	if got := fix(); got.code != 1 || !strings.Contains(got.stderr, "the lock has no digest of it, and a registry would have to be asked (--online)") {
		t.Errorf("not in the lock: got %+v, want it reported", got)
	}
	save("portcullis.lock", "apiVersion: portcullis.dev/v1alpha1\nkind: ImageLock\nimages:\n  nginx:1: sha256:0\n")
	if got := fix(); got.code != exitUsage || !strings.Contains(got.stderr, `portcullis.lock:4: images: got "nginx:1", want it in full: docker.io/library/nginx:1`) {
		t.Errorf("a bad lock: got %+v, want its line and what to write", got)
	}
}
