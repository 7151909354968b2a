package policies

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type imagePatternCase struct {
	pattern, canonical string
	match, not         []string
}

// imagePatternCases is the corpus of evasions (T45): names are canonical, as image.Reference.Name makes them.
func imagePatternCases() []imagePatternCase {
	return []imagePatternCase{
		{
			"nginx", "docker.io/library/nginx",
			[]string{"docker.io/library/nginx"},
			[]string{"docker.io/library/nginx-evil", "docker.io/evil/nginx", "docker.io/library/nginx/x", "quay.io/library/nginx", "docker.io.evil.io/library/nginx", "nginx", ""},
		},
		{"docker.io/nginx", "docker.io/library/nginx", []string{"docker.io/library/nginx"}, nil},
		{"index.docker.io/library/nginx", "docker.io/library/nginx", []string{"docker.io/library/nginx"}, nil},
		{"registry-1.docker.io/bitnami/redis", "docker.io/bitnami/redis", []string{"docker.io/bitnami/redis"}, nil},
		{"Docker.IO:443/bitnami/redis", "docker.io/bitnami/redis", []string{"docker.io/bitnami/redis"}, []string{"docker.io:5000/bitnami/redis"}},
		{"bitnami/redis", "docker.io/bitnami/redis", []string{"docker.io/bitnami/redis"}, []string{"docker.io/bitnami/redis-sentinel"}},
		{
			"docker.io/library/*", "docker.io/library/*",
			[]string{"docker.io/library/nginx"},
			[]string{"docker.io/library", "docker.io/library/a/b", "docker.io/libraryx/nginx", "docker.io/x/nginx"},
		},
		{
			"docker.io/**", "docker.io/**",
			[]string{"docker.io/library/nginx", "docker.io/a/b/c"},
			[]string{"docker.io", "docker.io/", "quay.io/a"},
		},
		{
			"registry.example.com/**", "registry.example.com/**",
			[]string{"registry.example.com/a", "registry.example.com/a/b/c"},
			[]string{
				"registry.example.com.evil.io/a", "evil.io/registry.example.com/a", "xregistry.example.com/a", "registry.example.com:5000/a",
				"registry-example.com/a", "registry.example.community/a", "sub.registry.example.com/a", "registry.example.com",
			},
		},
		{"registry.example.com:5000/team/*", "registry.example.com:5000/team/*", []string{"registry.example.com:5000/team/a"}, []string{"registry.example.com/team/a", "registry.example.com:50000/team/a"}},
		{"registry.example.com:0443/a", "registry.example.com/a", []string{"registry.example.com/a"}, nil},
		{"FOO.IO/team-*/app", "foo.io/team-*/app", []string{"foo.io/team-a/app"}, []string{"foo.io/team-a/b/app", "foo.io/team-a/app/x", "foo.io/team/app"}},
		{"FOO/app", "foo/app", []string{"foo/app"}, nil},
		{"quay.io/a/**", "quay.io/a/**", []string{"quay.io/a/b", "quay.io/a/b/c"}, []string{"quay.io/a", "quay.io/ab/c"}},
		{"*.example.com/app", "*.example.com/app", []string{"a.example.com/app", "b.example.com/app"}, []string{"example.com/app", "a.b.example.com/app", "evil.io/a.example.com/app", "a.example.com:5000/app"}},
		{"*.dkr.ecr.*.amazonaws.com/app", "*.dkr.ecr.*.amazonaws.com/app", []string{"123.dkr.ecr.eu-west-1.amazonaws.com/app"}, []string{"123.dkr.ecr.eu.west.amazonaws.com/app"}},
		{"*-docker.pkg.dev/acme/**", "*-docker.pkg.dev/acme/**", []string{"europe-docker.pkg.dev/acme/r/app"}, []string{"evil.io-docker.pkg.dev/acme/app"}},
		{"localhost/app", "localhost/app", []string{"localhost/app"}, []string{"docker.io/localhost/app"}},
		{"localhost:5000/app", "localhost:5000/app", []string{"localhost:5000/app"}, nil},
		{"[::0:1]:5000/app", "[::1]:5000/app", []string{"[::1]:5000/app"}, nil},
		{"**", "**", []string{"docker.io/library/nginx", "a.b/c"}, []string{""}},
	}
}

func TestImagePattern(t *testing.T) {
	for _, tc := range imagePatternCases() {
		pattern, err := ParseImagePattern(tc.pattern)
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
			continue
		}
		if got := pattern.String(); got != tc.canonical {
			t.Errorf("%s: got %s, want %s", tc.pattern, got, tc.canonical)
		}
		for _, name := range tc.match {
			if !pattern.Match(name) {
				t.Errorf("%s on %q: got no match, want one", tc.pattern, name)
			}
		}
		for _, name := range tc.not {
			if pattern.Match(name) {
				t.Errorf("%s on %q: got a match, want none", tc.pattern, name)
			}
		}
	}
	if (ImagePattern{}).Match("") || (ImagePattern{}).Match("docker.io/library/nginx") {
		t.Error("the zero ImagePattern matches, want nothing matched")
	}
}

func TestParseImagePatternRefuses(t *testing.T) {
	const parts = ` can match nothing: the parts of a name are lower-case letters, digits, and . _ - between them`
	tests := map[string]string{
		"":                         `is empty; write an image name, or ** for every image`,
		"nginx:1.27":               `"nginx:1.27" carries a tag or a digest; write "nginx", which stands for all of them`,
		"quay.io:443/a:latest":     `"quay.io:443/a:latest" carries a tag or a digest; write "quay.io:443/a", which stands for all of them`,
		"quay.io/a:*":              `"quay.io/a:*" carries a tag or a digest; write "quay.io/a", which stands for all of them`,
		"a@sha256:00":              `"a@sha256:00" carries a tag or a digest; write "a", which stands for all of them`,
		"*":                        `"*" does not say which registry; write "docker.io/library/*" for Docker Hub, or ** for every image`,
		"**/a":                     `"**/a" has ** elsewhere than as its last part; begin with a registry, as in docker.io/library/*`,
		"quay.io":                  `"quay.io" is a registry, and as an image it would be one of Docker Hub; write "quay.io/**", which stands for all that it has`,
		"*.example.com":            `"*.example.com" is a registry, and as an image it would be one of Docker Hub; write "*.example.com/**", which stands for all that it has`,
		"quay.io:5000":             `"quay.io:5000" is a registry, and as an image it would be one of Docker Hub; write "quay.io:5000/**", which stands for all that it has`,
		"localhost":                `"localhost" is a registry, and as an image it would be one of Docker Hub; write "localhost/**", which stands for all that it has`,
		"a.b:c":                    `"a.b:c" carries a tag or a digest; write "a.b", which stands for all of them`,
		"*/app":                    `"*/app" does not say which registry; write "docker.io/*/app" for Docker Hub, or ** for every image`,
		"registry*/app":            `"registry*/app" does not say which registry; write "docker.io/registry*/app" for Docker Hub, or ** for every image`,
		"docker.io/*":              `"docker.io/*" is ambiguous; write "docker.io/library/*" for official images, or "docker.io/**" for all of Docker Hub`,
		"registry.example.com*/a":  `"registry.example.com*/a" leaves the end of the registry's host open; write it out, as in *.example.com`,
		"*:5000/a":                 `"*:5000/a" leaves the end of the registry's host open; write it out, as in *.example.com`,
		"quay.io./a":               `"quay.io./a" can match nothing: "quay.io." is not a registry host`,
		"quay..io/a":               `"quay..io/a" can match nothing: "quay..io" is not a registry host`,
		"https://quay.io/a":        `"https://quay.io/a" is a URL; write "quay.io/a"`,
		"quay.io:*/a":              `"quay.io:*/a" can match nothing: "quay.io" is followed by a colon and no port number`,
		"[::x]/a":                  `"[::x]/a" can match nothing: "[::x]" is not an address`,
		"quay.io/a/**/b":           `"quay.io/a/**/b" has ** elsewhere than as its last part; use * within a part`,
		"quay.io/a**":              `"quay.io/a**" has ** elsewhere than as its last part; use * within a part`,
		"quay.io/Team/app":         `"quay.io/Team/app" can match nothing: repositories are lower case`,
		"Nginx":                    `"Nginx" can match nothing: repositories are lower case`,
		"quay.io/":                 `"quay.io/"` + parts,
		"quay.io//a":               `"quay.io//a"` + parts,
		"quay.io/a/":               `"quay.io/a/"` + parts,
		" nginx":                   `" nginx"` + parts,
		"quay.io/-a":               `"quay.io/-a"` + parts,
		"quay.io/a?":               `"quay.io/a?"` + parts,
		"docker.io/library/ngіnx":  `"docker.io/library/ngіnx"` + parts,
		string(make([]byte, 1000)): `"` + zeros(80) + `..." is longer than 255 characters`,
	}
	for pattern, want := range tests {
		_, err := ParseImagePattern(pattern)
		if err == nil {
			t.Errorf("%q: got no error, want %s", pattern, want)
		} else if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", pattern, diff)
		}
	}
}

// TestImagePatternCovers compares every two of many small patterns on every small name: one covers the other if, and only if, it matches all
// that the other does.
func TestImagePatternCovers(t *testing.T) {
	parts := func(words ...string) []string {
		list := slices.Clone(words)
		for _, a := range words {
			for _, b := range words {
				list = append(list, a+"/"+b)
			}
		}
		return list
	}
	var patterns []ImagePattern
	for _, host := range []string{"a.io", "a*.io", "*.io", "*.a.io", "a.io:5000"} {
		for _, path := range parts("a", "a*", "*b", "a*b", "*") {
			patterns = append(patterns, mustParse(t, host+"/"+path), mustParse(t, host+"/"+path+"/**"))
		}
		patterns = append(patterns, mustParse(t, host+"/**"))
	}
	patterns = append(patterns, mustParse(t, "**"))
	var names []string
	for _, host := range []string{"a.io", "ax.io", "x.io", "x.a.io", "a.io:5000", "b.com"} {
		for _, path := range parts("a", "ax", "xb", "axb", "x") {
			names = append(names, host+"/"+path, host+"/"+path+"/x", host+"/"+path+"/x/x")
		}
	}
	for _, p := range patterns {
		for _, other := range patterns {
			want := !slices.ContainsFunc(names, func(name string) bool { return other.Match(name) && !p.Match(name) })
			if got := p.Covers(other); got != want {
				t.Errorf("%s covers %s: got %v, want %v", p, other, got, want)
			}
		}
	}
	if every := mustParse(t, "**"); every.Covers(ImagePattern{}) || (ImagePattern{}).Covers(every) {
		t.Error("the zero ImagePattern covers or is covered, want neither")
	}
}

func mustParse(t *testing.T, pattern string) ImagePattern {
	t.Helper()
	parsed, err := ParseImagePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func zeros(n int) string {
	var text string
	for range n {
		text += `\x00`
	}
	return text
}

func TestImagePatternAllocatesNothing(t *testing.T) {
	pattern, err := ParseImagePattern("*.example.com/team/**")
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { pattern.Match("a.example.com/team/b/c") }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
