package lock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
)

var (
	digestA = "sha256:" + strings.Repeat("a", 64)
	digestB = "sha256:" + strings.Repeat("b", 64)
	digestC = "sha256:" + strings.Repeat("c", 64)
)

const head = "apiVersion: portcullis.dev/v1alpha1\nkind: ImageLock\n"

func load(t *testing.T, images string) *Lock {
	t.Helper()
	l, err := Load([]byte(head+images), "portcullis.lock")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func reference(t *testing.T, written string) image.Reference {
	t.Helper()
	ref, err := image.ParseReference(written)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestBytes(t *testing.T) {
	l := New()
	if diff := cmp.Diff(header+head+"images: {}\n", string(l.Bytes())); diff != "" {
		t.Errorf("empty (-want +got):\n%s", diff)
	}
	for _, written := range []string{"web:2", "nginx", "localhost:5000/a:1", "[::1]:5000/a:1", "registry.example.com/a:1"} {
		l.Add(reference(t, written), digestA)
	}
	l.Add(reference(t, "nginx"), digestB) // what is there stays
	l.Add(reference(t, "other@"+digestA), digestB)
	want := header + head + "images:\n" +
		`  "[::1]:5000/a:1": ` + digestA + "\n" +
		"  docker.io/library/nginx:latest: " + digestA + "\n" +
		"  docker.io/library/web:2: " + digestA + "\n" +
		"  localhost:5000/a:1: " + digestA + "\n" +
		"  registry.example.com/a:1: " + digestA + "\n"
	if diff := cmp.Diff(want, string(l.Bytes())); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
	again, err := Load(l.Bytes(), "portcullis.lock")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(l.Bytes()), string(again.Bytes())); diff != "" {
		t.Errorf("read and written again (-first +second):\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "l: is empty, want apiVersion: portcullis.dev/v1alpha1, kind: ImageLock"},
		{"a list", "- a\n", "l:1: got a list, want an object with apiVersion, kind and images"},
		{"no header", "images: {}\n", "l:1: apiVersion: is missing, want portcullis.dev/v1alpha1\nl:1: kind: is missing, want ImageLock"},
		{"another version", "apiVersion: portcullis.dev/v2\nkind: ImageLock\nimages: {}\n", `l:1: apiVersion: got "portcullis.dev/v2", want portcullis.dev/v1alpha1`},
		{"no images", head, "l:1: images: is missing; write images: {} for a lock without entries"},
		{"images in a list", head + "images:\n- a\n", "l:4: images: got a list, want an object of digests by image and tag"},
		{"another field", head + "images: {}\nimage: {}\n", `l:4: "image": is not a field of a lock; want apiVersion, kind and images`},
		{"a short name", head + "images:\n  nginx:1: " + digestA + "\n", `l:4: images: got "nginx:1", want it in full: docker.io/library/nginx:1`},
		{"no tag", head + "images:\n  docker.io/library/nginx: " + digestA + "\n", `l:4: images: got "docker.io/library/nginx", want it in full: docker.io/library/nginx:latest`},
		{"a digest in the name", head + "images:\n  docker.io/library/nginx:1@" + digestA + ": " + digestA + "\n", `l:4: images: got "docker.io/library/nginx:1@` + digestA[:20]},
		{"no name", head + "images:\n  A B: " + digestA + "\n", `l:4: images: got "A B", want an image and its tag, such as docker.io/library/nginx:1.29`},
		{"a short digest", head + "images:\n  docker.io/library/nginx:1: sha256:abc\n", `l:4: images["docker.io/library/nginx:1"]: got "sha256:abc", want sha256: and 64 hex digits in lower case`},
		{"no digest", head + "images:\n  docker.io/library/nginx:1:\n", `l:4: images["docker.io/library/nginx:1"]: got nothing, want sha256: and 64 hex digits in lower case`},
		{"twice", head + "images:\n  docker.io/library/nginx:1: " + digestA + "\n  docker.io/library/nginx:1: " + digestB + "\n", `l:5: images: "docker.io/library/nginx:1" is on line 4 already; keep one of the two`},
		{"a merge", head + "images:\n<<<<<<< HEAD\n  docker.io/library/nginx:1: " + digestA + "\n=======\n>>>>>>> x\n", "l:4: has the marks of a merge that is not finished; keep one side of each, and delete the marks"},
		{"two documents", head + "images: {}\n---\n" + head + "images: {}\n", "l: got more than one document, want one"},
		{"no YAML", head + "images: [\n", "l: reading YAML: yaml: line 3: did not find expected node content"},
		{"too much", strings.Repeat("#", maxFile+1), "l: is larger than 4 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Load([]byte(test.text), "l")
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// registries answer with one digest, and note what they were asked.
type registries struct {
	digest string
	err    error
	asked  []string
}

func (r *registries) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		r.asked = append(r.asked, n.Image)
		ref, _ := image.ParseReference(n.Image)
		fact := image.Fact{Image: n.Image, Reference: ref, Digest: ref.Digest(), Err: r.err}
		if fact.Digest == "" && r.err == nil {
			fact.Digest = r.digest
		}
		if n.Config {
			fact.Platforms = []image.Platform{{User: "1000", UID: 1000}}
		}
		facts[n.Image] = fact
	}
	return facts
}

func TestGather(t *testing.T) {
	next := &registries{digest: digestB}
	l := load(t, "images:\n  docker.io/library/nginx:1: "+digestA+"\n")
	images := &Images{Lock: l, Next: next, Add: true}
	facts := images.Gather(t.Context(), []image.Need{
		{Image: "nginx:1", Digest: true, Fresh: true},
		{Image: "docker.io/nginx:1", Digest: true},
		{Image: "docker.io/nginx:1", Config: true},
		{Image: "web:2", Digest: true},
		{Image: "other:3", Config: true},
		{Image: "nginx:1@" + digestC, Config: true},
		{Image: "A B", Digest: true},
	}, image.Credentials{})
	got := map[string]string{}
	for name, fact := range facts {
		got[name] = fact.Image + " " + fact.Digest
		if len(fact.Platforms) > 0 {
			got[name] += " " + fact.Platforms[0].User
		}
	}
	want := map[string]string{
		"nginx:1":                      "nginx:1 " + digestA,
		"docker.io/nginx:1":            "docker.io/nginx:1 " + digestA + " 1000",
		"docker.io/nginx:1@" + digestA: "docker.io/nginx:1@" + digestA + " " + digestA + " 1000",
		"web:2":                        "web:2 " + digestB,
		"other:3":                      "other:3 " + digestB + " 1000",
		"nginx:1@" + digestC:           "nginx:1@" + digestC + " " + digestC + " 1000",
		"A B":                          "A B " + digestB,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("facts (-want +got):\n%s", diff)
	}
	if slices.Contains(next.asked, "nginx:1") || slices.Contains(next.asked, "docker.io/nginx:1") {
		t.Errorf("got %v asked, want no tag that is in the lock", next.asked)
	}
	// What was asked for its digest is in the lock now, what was looked at is not.
	added := header + head + "images:\n  docker.io/library/nginx:1: " + digestA + "\n  docker.io/library/web:2: " + digestB + "\n"
	if diff := cmp.Diff(added, string(l.Bytes())); diff != "" {
		t.Errorf("lock (-want +got):\n%s", diff)
	}
}

// TestGatherOffline has no answers but those of the lock.
func TestGatherOffline(t *testing.T) {
	images := &Images{Lock: load(t, "images:\n  docker.io/library/nginx:1: "+digestA+"\n"), Add: true}
	facts := images.Gather(t.Context(), []image.Need{{Image: "nginx:1", Config: true}, {Image: "web:2", Digest: true}}, image.Credentials{})
	if fact := facts["nginx:1"]; len(facts) != 1 || fact.Digest != digestA || fact.Platforms != nil {
		t.Errorf("got %v, want the digest of nginx:1 alone", facts)
	}
}

func TestRefresh(t *testing.T) {
	next := &registries{digest: digestB}
	l := load(t, "images:\n  docker.io/library/nginx:1: "+digestA+"\n  docker.io/library/web:2: "+digestB+"\n")
	if errs := l.Refresh(t.Context(), next); len(errs) > 0 {
		t.Fatal(errs)
	}
	for written, want := range map[string]string{
		"nginx:1@" + digestA: digestB,
		"nginx:1@" + digestC: digestB, // of before, or somebody else's
		"nginx:1":            "",
		"nginx:2@" + digestA: "",
		"nginx@" + digestA:   "",
		"web:2@" + digestB:   "", // it has not moved
	} {
		if got := l.Other(reference(t, written)); got != want {
			t.Errorf("%s: got the other digest %q, want %q", written, got, want)
		}
	}
	next.err = errors.New("away")
	before := string(l.Bytes())
	if errs := l.Refresh(t.Context(), next); len(errs) != 2 || errs[0].Error() != `"docker.io/library/nginx:1" keeps its digest: away` {
		t.Errorf("got %v, want one error of each image", errs)
	}
	if diff := cmp.Diff(before, string(l.Bytes())); diff != "" {
		t.Errorf("a registry that is away changes the lock (-before +after):\n%s", diff)
	}
}
