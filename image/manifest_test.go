package image

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func TestNoHealthcheck(t *testing.T) {
	for config, want := range map[string]bool{
		`{}`: false, `{"Healthcheck": {}}`: false, `{"Healthcheck": {"Test": []}}`: false,
		`{"Healthcheck": {"Test": ["CMD", "a"]}}`: false, `{"Healthcheck": {"Test": ["NONE"]}}`: true,
	} {
		var f configFile
		if err := json.Unmarshal([]byte(`{"os": "linux", "config": `+config+`}`), &f); err != nil {
			t.Fatal(err)
		}
		p, err := f.platform(descriptor{})
		if err != nil || p.NoHealthcheck != want {
			t.Errorf("%s: got %t, %v, want %t", config, p.NoHealthcheck, err, want)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	tests := []struct {
		os     string
		config string
		want   []string
	}{
		{"linux", `{}`, nil},
		{"linux", `{"Healthcheck": {}}`, nil},
		{"linux", `{"Healthcheck": {"Test": ["NONE"]}}`, nil},
		{"linux", `{"Healthcheck": {"Test": ["CMD"]}}`, nil},
		{"linux", `{"Healthcheck": {"Test": ["WHAT", "a"]}}`, nil},
		{"linux", `{"Healthcheck": {"Test": ["CMD", "a", "b"]}}`, []string{"a", "b"}},
		{"linux", `{"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}`, []string{"/bin/sh", "-c", "a b"}},
		{"linux", `{"Shell": ["/bin/bash", "-ec"], "Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}`, []string{"/bin/bash", "-ec", "a b"}},
		{"windows", `{"Healthcheck": {"Test": ["CMD-SHELL", "a b"]}}`, []string{"cmd", "/S", "/C", "a b"}},
	}
	for _, tt := range tests {
		var f configFile
		if err := json.Unmarshal([]byte(`{"os": "`+tt.os+`", "config": `+tt.config+`}`), &f); err != nil {
			t.Fatal(err)
		}
		var got []string
		if h := f.healthcheck(); h != nil {
			got = h.Command
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", tt.os, tt.config, diff)
		}
	}
}

func TestT46TooLarge(t *testing.T) {
	const oci = string(types.OCIManifestSchema1)
	endless := func(w http.ResponseWriter, _ *http.Request) bool {
		block := make([]byte, 64<<10)
		for range 16 << 10 { // a gigabyte
			if _, err := w.Write(block); err != nil {
				break
			}
		}
		return true
	}
	config := func(size int64) map[string]any {
		return map[string]any{"mediaType": string(types.OCIConfigJSON), "digest": shaA, "size": size}
	}
	tests := []struct {
		name     string
		build    func(*fake)
		fault    fault
		want     Reason
		requests int
	}{
		{"endless manifest", func(f *fake) { f.user("app", "v1", "") }, on("GET", "/manifests/", endless), TooLarge, 3},
		{"manifest that declares 90 MiB", func(f *fake) { f.user("app", "v1", "") }, on("GET", "/manifests/", answer(200, "Content-Length", "94371840")), TooLarge, 2},
		{"configuration of a declared gigabyte", func(f *fake) {
			f.manifest("app", "v1", map[string]any{"schemaVersion": 2, "mediaType": oci, "config": config(1 << 30), "layers": []any{}})
		}, nil, TooLarge, 2},
		{"endless configuration", func(f *fake) {
			f.manifest("app", "v1", map[string]any{"schemaVersion": 2, "mediaType": oci, "config": config(1 << 20), "layers": []any{}})
		}, on("GET", "/blobs/", endless), TooLarge, 5},
		{"10,000 platforms", func(f *fake) {
			child := f.image("app", "", built{})
			var all []map[string]any
			for range 10_000 {
				all = append(all, child)
			}
			f.index("app", "v1", all...)
		}, nil, TooLarge, 3},
		{"64 configurations of 200 KiB", func(f *fake) {
			var all []map[string]any
			for i := range 64 {
				all = append(all, f.image("app", "", built{os: "linux", arch: fmt.Sprint(i), config: map[string]any{"Env": []string{strings.Repeat("x", 200<<10)}}}))
			}
			f.index("app", "v1", all...)
		}, nil, TooLarge, 8 + 2*64},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		tt.build(reg)
		if tt.fault != nil {
			reg.script(tt.fault)
		}
		began := time.Now()
		fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
		took := time.Since(began)
		n := len(reg.requests())
		if got := reasonOf(fact.Err); got != tt.want || n > tt.requests || took > 10*time.Second {
			t.Errorf("%s: got %s (%v) after %d requests and %s, want %s after at most %d", tt.name, got, fact.Err, n, took, tt.want, tt.requests)
		}
		t.Logf("%-38s %3d requests %8s %s", tt.name, n, took.Round(100*time.Microsecond), reasonOf(fact.Err))
	}
}

// Sixty-four platforms are looked into, a hundred attestations beside them cost nothing.
func TestT46ManyPlatforms(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	var all []map[string]any
	for i := range maxChildren {
		all = append(all, reg.image("app", "", built{os: "linux", arch: fmt.Sprint(i), config: map[string]any{"User": fmt.Sprint(i)}}))
	}
	for range 100 {
		all = append(all, reg.image("app", "", built{os: unknown, arch: unknown}))
	}
	reg.index("app", "v1", all...)
	fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
	if fact.Err != nil || len(fact.Platforms) != maxChildren || fact.Platforms[63].UID != 63 {
		t.Errorf("got %d platforms, %v, want %d in order", len(fact.Platforms), fact.Err, maxChildren)
	}
	if n := len(reg.requests()); n != 2+2*maxChildren {
		t.Errorf("got %d requests, want %d", n, 2+2*maxChildren)
	}
}

func TestT50NotAnImage(t *testing.T) {
	const oci, index = string(types.OCIManifestSchema1), string(types.OCIImageIndex)
	config := map[string]any{"mediaType": string(types.OCIConfigJSON), "digest": shaA, "size": 10}
	child := func(kind types.MediaType) []any {
		return []any{map[string]any{"mediaType": kind, "digest": shaA, "size": 10, "platform": map[string]any{"os": "linux", "architecture": "amd64"}}}
	}
	schema1 := "is in Docker's schema 1 format, which nodes do not run; push it again with a current tool"
	tests := []struct {
		name string
		doc  map[string]any
		want string
	}{
		{"schema 1", map[string]any{"schemaVersion": 1, "fsLayers": []any{}}, schema1},
		{"schema 1 by type", map[string]any{"schemaVersion": 2, "mediaType": string(types.DockerManifestSchema1Signed), "config": config}, schema1},
		{"artifact", map[string]any{"schemaVersion": 2, "mediaType": oci, "config": map[string]any{"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": shaA, "size": 10}}, "is not a container image but another kind of artifact"},
		{"image and index", map[string]any{"schemaVersion": 2, "mediaType": oci, "config": config, "manifests": []any{}}, "has a manifest that is an index and an image at once"},
		{"index with layers", map[string]any{"schemaVersion": 2, "mediaType": index, "layers": []any{}, "manifests": []any{}}, "has a manifest that is an index and an image at once"},
		{"index called an image", map[string]any{"schemaVersion": 2, "mediaType": oci, "manifests": []any{}}, "is not a container image: its manifest has another type"},
		{"image called an index", map[string]any{"schemaVersion": 2, "mediaType": index, "config": config}, "is not a container image: its manifest has another type"},
		{"empty", map[string]any{"schemaVersion": 2}, "is not a container image: its manifest has another type"},
		{"bad digest", map[string]any{"schemaVersion": 2, "config": map[string]any{"mediaType": string(types.OCIConfigJSON), "digest": "sha256:../../x", "size": 10}}, "has a manifest with an invalid digest or size"},
		{"negative size", map[string]any{"schemaVersion": 2, "config": map[string]any{"mediaType": string(types.OCIConfigJSON), "digest": shaA, "size": -1}}, "has a manifest with an invalid digest or size"},
		{"empty index", map[string]any{"schemaVersion": 2, "manifests": []any{}}, "has no platform that a node can run"},
		{"nested index", map[string]any{"schemaVersion": 2, "manifests": child(types.DockerManifestList)}, "has an index inside an index, which is not inspected"},
		{"schema 1 in an index", map[string]any{"schemaVersion": 2, "manifests": child(types.DockerManifestSchema1)}, schema1},
		{"artifact in an index", map[string]any{"schemaVersion": 2, "manifests": child("application/x")}, "has an entry in its index that is not an image"},
		{"list of numbers", map[string]any{"schemaVersion": 2, "manifests": []int{1}}, "is not a container image"},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		body, err := json.Marshal(tt.doc)
		if err != nil {
			t.Fatal(err)
		}
		reg.script(on("GET", "/manifests/", func(rw http.ResponseWriter, _ *http.Request) bool { _, _ = rw.Write(body); return true }))
		image := "reg.example/app@" + digestOf(body)
		r := w.registries(Config{})
		for range 3 {
			fact := w.one(r, configNeed(image))
			if want := `image "` + image + `" ` + tt.want; reasonOf(fact.Err) != NotAnImage || fact.Err.Error() != want {
				t.Errorf("%s: got %v, want %s", tt.name, fact.Err, want)
			}
			w.pass(10 * time.Second)
		}
		if n := len(reg.requests()); n != 1 {
			t.Errorf("%s: got %d requests in half a minute, want 1: bytes do not change", tt.name, n)
		}
	}
}

// An entry that the index calls an image and whose bytes are an index.
func TestT50DisguisedIndex(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	inner := reg.manifest("app", "", map[string]any{"schemaVersion": 2, "mediaType": string(types.OCIImageIndex), "manifests": []any{}})
	inner["mediaType"] = types.OCIManifestSchema1
	reg.index("app", "v1", inner)
	if got := reasonOf(w.one(w.registries(Config{}), configNeed("reg.example/app:v1")).Err); got != NotAnImage {
		t.Errorf("got %s, want NotAnImage", got)
	}
}

// What a platform is called reaches messages: words of a registry that are none do not.
func TestT50PlatformWords(t *testing.T) {
	const (
		words = "has a platform whose os, architecture or variant is not up to 32 of a-z, 0-9, '.', '_' and '-'"
		other = "has a configuration for another os than its index says"
		none  = "has no platform that a node can run"
		lost  = "is an attestation, or has one that its index does not call unknown/unknown"
	)
	entry := func(os, arch, variant string) map[string]any {
		return map[string]any{"os": os, "architecture": arch, "variant": variant}
	}
	tests := []struct {
		name   string
		entry  map[string]any // nil: a single manifest, or an entry without a platform
		config built
		index  bool
		want   string // in place of an answer
	}{
		{"usual", entry("linux", "arm64", "v8.1_x-y"), built{os: "linux", arch: "arm64"}, true, ""},
		{"32 bytes", entry("linux", strings.Repeat("a", 32), ""), built{os: "linux", arch: "arm64"}, true, ""},
		{"33 bytes", entry("linux", strings.Repeat("a", 33), ""), built{os: "linux", arch: "arm64"}, true, words},
		{"text as os", entry("linux\nfix: allow", "arm64", ""), built{os: "linux", arch: "arm64"}, true, words},
		{"text as architecture", entry("linux", "see http://x", ""), built{os: "linux", arch: "arm64"}, true, words},
		{"text as variant", entry("linux", "arm64", "v8\x1b[2K"), built{os: "linux", arch: "arm64"}, true, words},
		{"upper case", entry("Linux", "arm64", ""), built{os: "linux", arch: "arm64"}, true, words},
		{"text in the configuration of an entry", entry("linux", "arm64", ""), built{os: "linux", arch: "é"}, true, words},
		{"text in a single configuration", nil, built{os: "a b", arch: "arm64"}, false, words},
		{"text in an unnamed configuration", nil, built{os: "linux", arch: "a b"}, true, words},
		{"another os", entry("windows", "amd64", ""), built{os: "linux", arch: "amd64"}, true, other},
		{"windows as linux", entry("linux", "amd64", ""), built{os: "windows", arch: "amd64"}, true, other},
		{"attestations only", entry(unknown, unknown, "anything at all"), built{os: unknown, arch: unknown}, true, none},
		{"unnamed attestation", nil, built{os: unknown, arch: unknown}, true, lost},
		{"single attestation", nil, built{os: unknown, arch: unknown}, false, lost},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		tag := "v1"
		if tt.index {
			tag = ""
		}
		d := reg.image("app", tag, tt.config)
		delete(d, "platform")
		if tt.entry != nil {
			d["platform"] = tt.entry
		}
		if tt.index {
			reg.index("app", "v1", d)
		}
		fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
		switch want := `image "reg.example/app:v1" ` + tt.want; {
		case tt.want == "" && (fact.Err != nil || len(fact.Platforms) != 1):
			t.Errorf("%s: got %d platforms, %v, want 1", tt.name, len(fact.Platforms), fact.Err)
		case tt.want != "" && (reasonOf(fact.Err) != NotAnImage || fact.Err.Error() != want || fact.Platforms != nil):
			t.Errorf("%s: got %v, %v, want %s", tt.name, fact.Platforms, fact.Err, want)
		}
	}
}

// A node runs a single manifest without a look at the platform of its configuration: it does not become an image for Windows by
// saying so.
func TestT17SingleManifestRunsAnywhere(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	d := reg.image("app", "single", built{os: "windows", arch: "amd64"})
	reg.index("app", "index", d)
	r := w.registries(Config{})
	for tag, want := range map[string]bool{"single": false, "index": true} {
		fact := w.one(r, configNeed("reg.example/app:"+tag))
		if fact.Err != nil || len(fact.Platforms) != 1 || fact.Platforms[0].OS != "windows" || fact.Platforms[0].Selected != want {
			t.Errorf("%s: got %+v, %v, want one of windows, selected %t", tag, fact.Platforms, fact.Err, want)
		}
	}
}
