package image

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoadConfig(t *testing.T) {
	got, err := LoadConfig([]byte(`
apiVersion: portcullis.dev/v1alpha1
kind: RegistryConfig
allow: {hosts: ["Registry.corp.example", "r.example:443"], cidrs: ["10.20.0.0/16", "fd12::/32"]}
insecure: ["localhost:5000"]
mirrors:
- {from: "index.docker.io", to: ["mirror.corp.example/docker.io", "other:5000"]}
- {from: "ghcr.io/team", to: ["mirror.corp.example"]}
timeout: 5s
tagTTL: 2m
maxStale: 0s
`), "registries.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		AllowHosts: []string{"registry.corp.example", "r.example"},
		AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("fd12::/32")},
		Insecure:   []string{"localhost:5000"},
		Mirrors: []Mirror{
			{From: "docker.io", To: []string{"mirror.corp.example/docker.io", "other:5000"}},
			{From: "ghcr.io/team", To: []string{"mirror.corp.example"}},
		},
		Timeout: 5 * time.Second, TagTTL: 2 * time.Minute, MaxStale: -1,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigDefaults(t *testing.T) {
	got, err := LoadConfig([]byte(`{"apiVersion": "portcullis.dev/v1alpha1", "kind": "RegistryConfig", "allow": null, "mirrors": null}`), "x")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Config{Timeout: 3 * time.Second, TagTTL: time.Minute, MaxStale: 24 * time.Hour}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigProblems(t *testing.T) {
	_, err := LoadConfig([]byte(`apiVersion: v1
kind: RegistryConfig
alow: {}
allow:
  hosts: ["https://reg.example/", "*.corp.example", "reg:99999", 3, null]
  cidrs: ["10.20.0.1/16", "10.0.0.1", "0.0.0.0/0", "::ffff:10.0.0.0/104"]
  hosts: []
insecure: localhost
mirrors:
- from: docker.io
- {from: "a b", to: ["https://x"]}
- docker.io
- {from: docker.io, to: [mirror.example/UPPER]}
timeout: 3
tagTTL: 1ms
maxStale: [1h]
`), "r.yaml")
	want := []string{
		`r.yaml:3: unknown field "alow"`,
		`r.yaml:5: allow.hosts[0]: got "https://reg.example/", want a host with an optional port, such as registry.example.com:5000`,
		`r.yaml:5: allow.hosts[1]: got "*.corp.example", want a host with an optional port, such as registry.example.com:5000`,
		`r.yaml:5: allow.hosts[2]: got "reg:99999", want a host with an optional port, such as registry.example.com:5000`,
		`r.yaml:5: allow.hosts[4]: got nothing, want a text`,
		`r.yaml:6: allow.cidrs[0]: got "10.20.0.1/16", want 10.20.0.0/16`,
		`r.yaml:6: allow.cidrs[1]: got "10.0.0.1", want a CIDR, such as 10.20.0.0/16`,
		`r.yaml:6: allow.cidrs[2]: got "0.0.0.0/0", want only the ranges that registries are in`,
		`r.yaml:6: allow.cidrs[3]: got "::ffff:10.0.0.0/104", want a CIDR, such as 10.20.0.0/16`,
		`r.yaml:7: allow.hosts: is written twice`,
		`r.yaml:8: insecure: got "localhost", want a list`,
		`r.yaml:10: mirrors[0]: want from, and at least one valid mirror in to`,
		`r.yaml:11: mirrors[1].from: got "a b", want host or host/path, such as docker.io/library`,
		`r.yaml:11: mirrors[1].to[0]: got "https://x", want host or host/path, such as docker.io/library`,
		`r.yaml:11: mirrors[1]: want from, and at least one valid mirror in to`,
		`r.yaml:12: mirrors[2]: got "docker.io", want from and to`,
		`r.yaml:13: mirrors[3].to[0]: got "mirror.example/UPPER", want host or host/path, such as docker.io/library`,
		`r.yaml:13: mirrors[3]: want from, and at least one valid mirror in to`,
		`r.yaml:14: timeout: got "3", want a duration from 100ms to 1m0s, such as 3s or 1h30m`,
		`r.yaml:15: tagTTL: got "1ms", want a duration from 1s to 24h0m0s, such as 3s or 1h30m`,
		`r.yaml:16: maxStale: got a list, want a text`,
		`r.yaml:1: apiVersion: got "v1", want "portcullis.dev/v1alpha1"`,
	}
	if err == nil {
		t.Fatal("got no error")
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLoadConfigDocuments(t *testing.T) {
	const header = "apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\n"
	tests := []struct{ in, want string }{
		{"", "x: is empty, want apiVersion: portcullis.dev/v1alpha1, kind: RegistryConfig"},
		{"# nothing\n", "x: is empty, want apiVersion: portcullis.dev/v1alpha1, kind: RegistryConfig"},
		{header + "---\n" + header, "x: got more than one document, want one"},
		{"[]", "x:1: got a list, want an object\nx:1: apiVersion: got \"\", want \"portcullis.dev/v1alpha1\"\nx:1: kind: got \"\", want \"RegistryConfig\""},
		{header + "allow: *x\n", "x: reading YAML: yaml: unknown anchor 'x' referenced"},
	}
	for _, tt := range tests {
		if _, err := LoadConfig([]byte(tt.in), "x"); err == nil || err.Error() != tt.want {
			t.Errorf("%q: got %v, want %s", tt.in, err, tt.want)
		}
	}
}

func FuzzLoadConfig(f *testing.F) {
	f.Add([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: RegistryConfig\nmirrors: [{from: docker.io, to: [a/b]}]\ntimeout: 3s"))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("{{}: 1}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := LoadConfig(data, "x")
		if err == nil && (cfg.Timeout <= 0 || cfg.TagTTL <= 0 || cfg.MaxStale == 0) {
			t.Errorf("got %+v, want defaults in it", cfg)
		}
	})
}
