package image

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// one is the fact about one image.
func (w *world) one(r *Registries, n Need) Fact { return w.gather(r, n)[n.Image] }

func TestContents(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.image("app", "v1", built{config: map[string]any{
		"User": "1000:2000", "Env": []string{"A=b", "PATH=/bin"}, "Labels": map[string]string{"org.opencontainers.image.source": "x"},
		"ExposedPorts": map[string]any{"8080/tcp": struct{}{}, "53/udp": struct{}{}, "8080": struct{}{}, "443/TCP": struct{}{}, "0/tcp": struct{}{}, "x/tcp": struct{}{}, "70000/tcp": struct{}{}, "1/icmp": struct{}{}},
		"Entrypoint":   []string{"sudo", "-E"},
		"Cmd":          []string{"serve"},
		"Healthcheck":  map[string]any{"Test": []string{"CMD-SHELL", "curl -f localhost"}, "Interval": 5e9, "Timeout": 1e9, "StartPeriod": 2e9, "StartInterval": 3e9, "Retries": 4},
	}})
	fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
	if fact.Err != nil {
		t.Fatal(fact.Err)
	}
	want := []Platform{{
		OS: "linux", Architecture: "amd64", User: "1000:2000", UID: 1000, Env: []string{"A=b", "PATH=/bin"},
		Entrypoint: []string{"sudo", "-E"}, Cmd: []string{"serve"},
		Labels:       map[string]string{"org.opencontainers.image.source": "x"},
		ExposedPorts: []Port{{53, "UDP"}, {443, "TCP"}, {8080, "TCP"}},
		Healthcheck: &Healthcheck{
			Command:  []string{"/bin/sh", "-c", "curl -f localhost"},
			Interval: 5 * time.Second, Timeout: time.Second, StartPeriod: 2 * time.Second, StartInterval: 3 * time.Second, Retries: 4,
		},
	}}
	if diff := cmp.Diff(want, fact.Platforms); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(reg.requests()); n != 3 {
		t.Errorf("got %d requests for a cold look inside, want 3", n)
	}
}

func TestT16User(t *testing.T) {
	record(t)
	tests := []struct {
		user   string
		uid    int64
		name   string
		reason Reason
	}{
		{"", 0, "", ""},
		{"0", 0, "", ""},
		{"00", 0, "", ""},
		{"+0", 0, "", ""},
		{"-0", 0, "", ""},
		{"0:0", 0, "", ""},
		{"root", 0, "", ""},
		{"root:root", 0, "", ""},
		{":1000", 0, "", ""},
		{"1000", 1000, "", ""},
		{"1000:0", 1000, "", ""},
		{"2147483647", 2147483647, "", ""},
		{"2147483648", UnknownUID, "", InvalidUser},
		{"4294967296", UnknownUID, "", InvalidUser}, // 0 in 32 bits: CVE-2024-40635
		{"18446744073709551616", UnknownUID, "", InvalidUser},
		{"-1", UnknownUID, "", InvalidUser},
		{"app", UnknownUID, "app", ""},
		{"app:app", UnknownUID, "app", ""},
		{"toor", UnknownUID, "toor", ""},
		{"0x0", UnknownUID, "0x0", ""},
		{"0 ", UnknownUID, "0 ", ""},
		{"Root", UnknownUID, "Root", ""},
		{strings.Repeat("a", 64), UnknownUID, strings.Repeat("a", 64), ""},
		{strings.Repeat("a", 65), UnknownUID, "", InvalidUser},
		{strings.Repeat("0", 65), UnknownUID, "", InvalidUser},
		{"1000:" + strings.Repeat("a", 60), UnknownUID, "", InvalidUser},
		{"1000\n", UnknownUID, "", InvalidUser},
		{"app\x1b[2K", UnknownUID, "", InvalidUser},
		{"app:\u0085", UnknownUID, "", InvalidUser},
	}
	for _, tt := range tests {
		uid, name, f := parseUser(tt.user)
		reason := Reason("")
		if f != nil {
			reason = f.reason
		}
		if uid != tt.uid || name != tt.name || reason != tt.reason {
			t.Errorf("%q: got %d, %q, %s, want %d, %q, %s", tt.user, uid, name, reason, tt.uid, tt.name, tt.reason)
		}
	}
}

func TestT16InvalidUserIsSaid(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", "4294967296")
	reg.user("app", "copy", "4294967296")
	r := w.registries(Config{})
	for _, image := range []string{"reg.example/app:v1", "reg.example/app:copy"} { // of the same bytes
		fact := w.one(r, configNeed(image))
		want := `image "` + image + `" has a USER whose uid is outside 0 to 2147483647; set a numeric USER`
		if fact.Err != nil || len(fact.Platforms) != 1 || fact.Platforms[0].UID != UnknownUID || fmt.Sprint(fact.Platforms[0].UIDErr) != want {
			t.Errorf("got %+v, %v, want %s", fact.Platforms, fact.Err, want)
		}
	}
}

// What an image is given for a USER does not fill a message.
func TestT16LongUserIsCut(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "v1", strings.Repeat("long", 100_000))
	fact := w.one(w.registries(Config{}), uidNeed("reg.example/app:v1"))
	if fact.Err != nil || len(fact.Platforms) != 1 {
		t.Fatalf("got %d platforms, %v, want 1", len(fact.Platforms), fact.Err)
	}
	p := fact.Platforms[0]
	want := `image "reg.example/app:v1" has a USER that is longer than 64 bytes or has control characters; set a numeric USER`
	if p.User != strings.Repeat("long", 16) || p.UID != UnknownUID || reasonOf(p.UIDErr) != InvalidUser || p.UIDErr.Error() != want {
		t.Errorf("got USER %s, %d, %v, want 64 bytes of it and %s", p.User, p.UID, p.UIDErr, want)
	}
}

func TestT17EveryPlatform(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	attestation := reg.image("app", "", built{os: "unknown", arch: "unknown"})
	attestation["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	disguised := reg.image("app", "", built{os: "linux", arch: "s390x", config: map[string]any{"User": "0"}})
	disguised["annotations"] = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	unnamed := reg.image("app", "", built{os: "windows", arch: "amd64", config: map[string]any{"User": "7"}})
	delete(unnamed, "platform")
	arm := reg.image("app", "", built{os: "linux", arch: "arm", config: map[string]any{"User": "root"}})
	arm["platform"] = map[string]any{"os": "linux", "architecture": "arm", "variant": "v7"}
	digest := reg.index("app", "v1",
		reg.image("app", "", built{os: "linux", arch: "amd64", config: map[string]any{"User": "1000"}}), attestation, arm, disguised, unnamed)

	fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
	if fact.Err != nil || fact.Digest != digest {
		t.Fatalf("got %q, %v, want %q", fact.Digest, fact.Err, digest)
	}
	var got []string
	for _, p := range fact.Platforms {
		got = append(got, fmt.Sprintf("%s USER %s %t", p, p.User, p.Selected))
	}
	want := []string{"linux/amd64 USER 1000 true", "linux/arm/v7 USER root true", "linux/s390x USER 0 true", "windows/amd64 USER 7 false"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestT38Lies(t *testing.T) {
	other := []byte(`{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}`)
	body := func(b []byte) fault {
		return func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(b); return true }
	}
	truncated := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write(other)
		return true
	}
	tests := []struct {
		name  string
		fault fault
		want  Reason
	}{
		{"another manifest", on("GET", "/manifests/", body(other)), DigestMismatch},
		{"another configuration", on("GET", "/blobs/", body([]byte(`{"config":{"User":"1000"}}`))), DigestMismatch},
		{"header of a digest that is not there", on("HEAD", "", answer(200, "Content-Type", string(types.OCIImageIndex), "Docker-Content-Digest", shaA)), NotFound},
		{"truncated", on("GET", "/manifests/", truncated), Misbehaving},
		{"compressed", on("GET", "/manifests/", answer(200, "Content-Encoding", "gzip")), DigestMismatch},
		{"nothing", on("GET", "/manifests/", answer(204)), Misbehaving},
		{"part", on("GET", "/blobs/", answer(206)), Misbehaving},
	}
	for _, tt := range tests {
		w := newWorld(t)
		reg := w.registry("reg.example")
		reg.user("app", "v1", "0")
		reg.script(tt.fault)
		fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
		if got := reasonOf(fact.Err); got != tt.want || fact.Platforms != nil {
			t.Errorf("%s: got %s (%v) and %v, want %s and no platforms", tt.name, got, fact.Err, fact.Platforms, tt.want)
		}
	}
}

// The registry says another thing each time: what is pinned is what was looked into.
func TestT39SplitView(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digests := []string{reg.user("app", "clean", "1000"), reg.user("app", "root", "0")}
	var n atomic.Int64
	reg.script(on("", "/manifests/v1", func(rw http.ResponseWriter, r *http.Request) bool {
		r.URL.Path = "/v2/app/manifests/" + []string{"clean", "root"}[n.Add(1)%2]
		return false
	}))
	for i := range 4 {
		fact := w.one(w.registries(Config{}), configNeed("reg.example/app:v1"))
		if fact.Err != nil {
			t.Fatal(fact.Err)
		}
		want := map[string]string{digests[0]: "1000", digests[1]: "0"}[fact.Digest]
		if got := fact.Platforms[0].User; got != want {
			t.Errorf("%d: got USER %s with %s, want %s", i, got, fact.Digest, want)
		}
	}
}

// With the tag still remembered, it is the remembered digest that is looked into and pinned; then both move.
func TestT41MovedTag(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	clean := reg.user("app", "v1", "1000")
	r := w.registries(Config{})
	w.one(r, configNeed("reg.example/app:v1"))
	root := reg.user("app", "v1", "0")
	for _, want := range []struct{ digest, user string }{{clean, "1000"}, {root, "0"}} {
		fact := w.one(r, configNeed("reg.example/app:v1"))
		if fact.Err != nil || fact.Digest != want.digest || fact.Platforms[0].User != want.user {
			t.Errorf("got %+v, want %v", fact, want)
		}
		w.pass(2 * time.Minute)
	}
}

func TestT43DigestWinsOverTag(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	reg.user("app", "good", "1000")
	bad := reg.user("app", "bad", "0")
	fact := w.one(w.registries(Config{}), configNeed("reg.example/app:good@"+bad))
	if fact.Err != nil || fact.Digest != bad || fact.Platforms[0].User != "0" {
		t.Errorf("got %+v, want what the digest says", fact)
	}
	for _, r := range reg.requests() {
		if strings.Contains(r.URI, "/good") {
			t.Errorf("got %v, want the tag not asked for", r)
		}
	}
}

// Contents are kept by digest: another tag of the same bytes costs its HEAD, and pinned references nothing.
func TestContentsAreKeptByDigest(t *testing.T) {
	w := newWorld(t)
	reg := w.registry("reg.example")
	digest := reg.user("app", "v1", "1000")
	reg.user("app", "v2", "1000")
	r := w.registries(Config{})
	w.one(r, configNeed("reg.example/app:v1"))
	reg.requests()
	w.pass(1000 * time.Hour)
	w.one(r, configNeed("reg.example/app:v2"))
	w.one(r, configNeed("reg.example/app@"+digest))
	w.one(r, configNeed("reg.example/other:x@"+digest))
	if diff := cmp.Diff([]request{{"HEAD", "/v2/app/manifests/v2", ""}}, reg.requests()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
