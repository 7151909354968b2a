package image

import (
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
)

const (
	hexA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	shaA = "sha256:" + hexA
	shaB = "sha256:" + hexB
)

func TestParseReference(t *testing.T) {
	type parts struct{ Registry, Repository, Tag, Digest, Pin string }
	tests := []struct {
		in   string
		want parts
	}{
		{"nginx", parts{"docker.io", "library/nginx", "latest", "", "nginx:latest@" + shaB}},
		{"nginx:1.27", parts{"docker.io", "library/nginx", "1.27", "", "nginx:1.27@" + shaB}},
		{"nginx@" + shaA, parts{"docker.io", "library/nginx", "", shaA, "nginx@" + shaB}},
		{"nginx:1.27@" + shaA, parts{"docker.io", "library/nginx", "1.27", shaA, "nginx:1.27@" + shaB}},
		{"bitnami/redis", parts{"docker.io", "bitnami/redis", "latest", "", "bitnami/redis:latest@" + shaB}},
		{"docker.io/nginx", parts{"docker.io", "library/nginx", "latest", "", "docker.io/nginx:latest@" + shaB}},
		{"index.docker.io/nginx", parts{"docker.io", "library/nginx", "latest", "", "index.docker.io/nginx:latest@" + shaB}},
		{"registry-1.docker.io/library/nginx", parts{"docker.io", "library/nginx", "latest", "", "registry-1.docker.io/library/nginx:latest@" + shaB}},
		{"FOO.IO/nginx:Latest", parts{"foo.io", "nginx", "Latest", "", "FOO.IO/nginx:Latest@" + shaB}},
		{"EVIL/nginx", parts{"evil", "nginx", "latest", "", "EVIL/nginx:latest@" + shaB}},
		{"ghcr.io:443/a/b", parts{"ghcr.io", "a/b", "latest", "", "ghcr.io:443/a/b:latest@" + shaB}},
		{"ghcr.io:0443/a/b", parts{"ghcr.io", "a/b", "latest", "", "ghcr.io:0443/a/b:latest@" + shaB}},
		{"reg:5000/a", parts{"reg:5000", "a", "latest", "", "reg:5000/a:latest@" + shaB}},
		{"localhost/a:b", parts{"localhost", "a", "b", "", "localhost/a:b@" + shaB}},
		{"[::1]:5000/a", parts{"[::1]:5000", "a", "latest", "", "[::1]:5000/a:latest@" + shaB}},
		{"[0:0:0:0:0:0:0:1]/a", parts{"[::1]", "a", "latest", "", "[0:0:0:0:0:0:0:1]/a:latest@" + shaB}},
		{"[FD00::A]:443/a", parts{"[fd00::a]", "a", "latest", "", "[FD00::A]:443/a:latest@" + shaB}},
		{"docker.io:443/nginx", parts{"docker.io", "nginx", "latest", "", "docker.io:443/nginx:latest@" + shaB}},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			ref, err := ParseReference(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			got := parts{ref.Registry(), ref.Repository(), ref.Tag(), ref.Digest(), ref.Pin(shaB)}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if ref.String() != tt.in {
				t.Errorf("got %q, want it as written, %q", ref, tt.in)
			}
			if ref.Name() != tt.want.Registry+"/"+tt.want.Repository {
				t.Errorf("got name %q, want %s/%s", ref.Name(), tt.want.Registry, tt.want.Repository)
			}
			pinned, err := ParseReference(ref.Pin(shaB))
			if err != nil || pinned.Name() != ref.Name() || pinned.Digest() != shaB {
				t.Errorf("got pin %+v, %v, want the same name with digest %s", pinned, err, shaB)
			}
		})
	}
}

func TestT42InvalidReference(t *testing.T) {
	record(t)
	const form = "; write [host/]repository[:tag][@sha256:<64 hex digits>]"
	long := strings.Repeat("a", 1025)
	tests := []struct{ in, want string }{
		{"", `image "" is empty` + form},
		{" ", `image " " has a space around it` + form},
		{" nginx", `image " nginx" has a space around it` + form},
		{"nginx:", `image "nginx:" is not an image reference` + form},
		{"nginx\n", `image "nginx\n" has a space around it` + form},
		{"Nginx", `image "Nginx" has upper case in its repository` + form},
		{"ghcr.io/Team/app", `image "ghcr.io/Team/app" has upper case in its repository` + form},
		{"nginx@sha256:abc", `image "nginx@sha256:abc" has a digest that is not sha256: and 64 lower-case hex digits` + form},
		{"nginx@md5:" + hexA[:32], `image "nginx@md5:` + hexA[:32] + `" has a digest that is not sha256: and 64 lower-case hex digits` + form},
		{"nginx@sha512:" + hexA + hexA, `image "nginx@sha512:` + hexA + hexA + `" has a digest that is not sha256: and 64 lower-case hex digits` + form},
		{"a@b@" + shaA, `image "a@b@` + shaA + `" has a digest that is not sha256: and 64 lower-case hex digits` + form},
		{hexA, `image "` + hexA + `" is not an image reference` + form},
		{"reg.example/" + strings.Repeat("a", 256), `image "reg.example/` + strings.Repeat("a", 244) + `"... has a repository of more than 255 bytes` + form},
		{long, `image "` + long[:256] + `"... is longer than 1024 bytes` + form},
		{"a\u202eb", `image "a\u202eb" is not an image reference` + form},
	}
	for _, tt := range tests {
		ref, err := ParseReference(tt.in)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q: got %v, want %s", tt.in, err, tt.want)
		}
		if reasonOf(err) != InvalidReference || ref != (Reference{}) {
			t.Errorf("%q: got %+v with reason %s, want none with InvalidReference", tt.in, ref, reasonOf(err))
		}
	}
}

// corpus is table 6.2 of the threat model, with what else has been used to make two parsers disagree.
func corpus() []string {
	return []string{
		"nginx", "nginx:1", "nginx:", ":nginx", "@", "/", "//", "a//b", "foo//bar", "foo/bar/", "foo/../bar", "foo/./bar", "../a", "foo.io/.bar",
		"EVIL/nginx", "FOO.IO/nginx:Latest", "foo.io/NGINX", "index.docker.io/nginx", "registry-1.docker.io/nginx", "docker.io/nginx", "Docker.io/nginx",
		"ｇhcr.io/x", "ghcr.io./x", "ghcr.io/x.", "ghcr..io/x", "-ghcr.io/x", "[::ffff:127.0.0.1]:5000/x", "[::1]:5000/x", "[::1/x", "[fe80::1%eth0]/x",
		hexA, hexA + "/a", "a/" + hexA, "127.1/x", "2130706433:80/x", "0x7f000001:80/x", "169.254.169.254/latest/meta-data", "10.0.0.1/x", "127.0.0.1:6443/x",
		"x.localhost:5000/y", "evil.io:99999/x", "evil.io:0/x", "evil.io:/x", "nginx@sha256:abc", "nginx@" + shaA, "nginx@" + strings.ToUpper(shaA),
		"nginx@md5:" + hexA[:32], "nginx@sha512:" + hexA + hexA, "a@b@" + shaA, " nginx", "nginx ", "nginx\t", "ng inx", "", " ", "a_b", "a__b", "a___b", "a--b",
		"a.b/c", "a..b", "a:b:c", "a:5000", "a:5000/b", "user:pass@reg.example/x", "https://reg.example/x", "reg.example/x?y=z", "reg.example/x#y", "reg.example/x%2f..",
		"host/a/../../../api/v1/namespaces/x/secrets:t", "kubernetes.default.svc/api", "a\x00b", "a\nb", "nginx:" + strings.Repeat("t", 128), "nginx:" + strings.Repeat("t", 129),
		strings.Repeat("a/", 120) + "a", "reg.example/" + strings.Repeat("a", 255), "reg.example/" + strings.Repeat("a", 256), "localhost/a", "LOCALHOST/a", "sha256:" + hexA,
	}
}

// requireKubelet checks that s means here what it means to the kubelet, or is refused here.
func requireKubelet(t *testing.T, s string) {
	t.Helper()
	named, kubeletErr := reference.ParseNormalizedNamed(s)
	ref, err := ParseReference(s)
	if kubeletErr != nil {
		if err == nil {
			t.Errorf("%q: got %+v, want an error: the kubelet says %v", s, ref, kubeletErr)
		}
		return
	}
	digest, tag := "", ""
	if d, ok := named.(reference.Digested); ok {
		digest = d.Digest().String()
	}
	if d, ok := named.(reference.Tagged); ok {
		tag = d.Tag()
	}
	if err != nil {
		if len(s) <= maxReference && (digest == "" || strings.HasPrefix(digest, "sha256:")) {
			t.Errorf("%q: got %v, want none: the kubelet takes it", s, err)
		}
		return
	}
	if tag == "" && digest == "" {
		tag = "latest" // kubernetes: pkg/util/parsers/parsers.go
	}
	if ref.Tag() != tag || ref.Digest() != digest || ref.Repository() != reference.Path(named) {
		t.Errorf("%q: got %s %s %s, want %s %s %s", s, ref.Repository(), ref.Tag(), ref.Digest(), reference.Path(named), tag, digest)
	}
	if ref.Registry() != CanonicalRegistry(reference.Domain(named)) || ref.Registry() != CanonicalRegistry(ref.Registry()) {
		t.Errorf("%q: got registry %s, want the canonical form of %s", s, ref.Registry(), reference.Domain(named))
	}
}

func TestT44ParserDifferential(t *testing.T) {
	record(t)
	for _, s := range corpus() {
		requireKubelet(t, s)
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range corpus() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		requireKubelet(t, s)
		ref, err := ParseReference(s)
		if err != nil {
			return
		}
		pinned, err := ParseReference(ref.Pin(shaB))
		if err != nil || pinned.Name() != ref.Name() || pinned.Digest() != shaB || pinned.Pin(shaB) != pinned.String() {
			t.Errorf("%q: got pin %q, %v, want the same image with %s", s, ref.Pin(shaB), err, shaB)
		}
	})
}

func TestT45CanonicalRegistry(t *testing.T) {
	record(t)
	tests := []struct{ want, spellings string }{
		{"docker.io", "docker.io DOCKER.IO Index.Docker.io registry-1.docker.io docker.io:443 index.docker.io:443"},
		{"foo.io", "foo.io FOO.IO foo.io:443 Foo.io:0443"},
		{"foo.io:80", "foo.io:80 FOO.io:080"},
		{"[::1]:5000", "[::1]:5000 [0:0:0:0:0:0:0:1]:5000 [0::1]:05000"},
		{"[fd00::a]", "[fd00::a] [FD00::A]:443 [fd00:0::a]"},
		{"10.0.0.1:5000", "10.0.0.1:5000"},
		{"docker.io:5000", "docker.io:5000"},
	}
	for _, tt := range tests {
		for _, s := range strings.Fields(tt.spellings) {
			if got := CanonicalRegistry(s); got != tt.want {
				t.Errorf("%s: got %s, want %s", s, got, tt.want)
			}
		}
	}
}

func BenchmarkParseReference(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseReference("registry.corp.example/team/app:v1.2.3@" + shaA); err != nil {
			b.Fatal(err)
		}
	}
}
