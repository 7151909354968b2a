package policies

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// TestFindProbes holds which entry counts.
func TestFindProbes(t *testing.T) {
	const own = `catalog: [
		{images: ["a.io/team/*"], readiness: {tcpSocket: {port: 1}}},
		{images: [a.io/team/web, docker.io/library/postgres], readiness: {tcpSocket: {port: 2}}},
		{images: ["a.io/**", a.io/other/web], readiness: {tcpSocket: {port: 3}}},
		{images: [b.io/x], startup: {tcpSocket: {port: 4}}},
		{images: ["b.io/*"], readiness: {tcpSocket: {port: 5}}}]`
	declares := func(port int32) *corev1.Container {
		return &corev1.Container{Ports: []corev1.ContainerPort{{ContainerPort: port}}}
	}
	prometheus := declares(9090)
	prometheus.Args = []string{"--config.file=/etc/p.yml"}
	moved := declares(9090)
	moved.Args = []string{"--web.route-prefix=/prometheus"}
	movedByCommand := declares(9090)
	movedByCommand.Command = []string{"/bin/prometheus", "--web.external-url=https://a.example/p"}
	udp := declares(6379)
	udp.Ports[0].Protocol = corev1.ProtocolUDP
	for _, tc := range []struct {
		settings, name string
		container      *corev1.Container
		want           string // "" for none
	}{
		{own, "a.io/team/web", declares(1), "1 the policy's catalog entry for a.io/team/*"},
		{own, "a.io/other/web", declares(1), "3 the policy's catalog entry for a.io/other/web"},
		{own, "a.io/other/api", declares(1), "3 the policy's catalog entry for a.io/**"},
		{own, "b.io/x", declares(1), "startup the policy's catalog entry for b.io/x"},
		{own, "b.io/y", declares(1), "5 the policy's catalog entry for b.io/*"},
		{own, "docker.io/library/postgres", declares(1), "2 the policy's catalog entry for docker.io/library/postgres"},
		{own, "c.io/x", declares(1), ""},
		{own, "docker.io/library/redis", declares(6379), "6379 the catalog entry for docker.io/library/redis"},
		{own + ", defaultCatalog: Exclude", "docker.io/library/redis", declares(6379), ""},
		{"", "public.ecr.aws/docker/library/redis", declares(6379), "6379 the catalog entry for public.ecr.aws/docker/library/redis"},
		{"", "docker.io/library/redis", declares(26379), ""},
		{"", "docker.io/library/redis", udp, ""},
		{"", "docker.io/library/redis", &corev1.Container{}, ""},
		{"", "docker.io/library/rediss", declares(6379), ""},
		{"", "quay.io/prometheus/prometheus", prometheus, "/-/ready the catalog entry for quay.io/prometheus/prometheus"},
		{"", "quay.io/prometheus/prometheus", moved, ""},
		{"", "quay.io/prometheus/prometheus", movedByCommand, ""},
	} {
		set, evidence, found := probesOf(t, tc.settings).Catalog.Find(tc.name, tc.container)
		got := ""
		switch {
		case !found:
		case set.Readiness == nil:
			got = "startup " + evidence
		case set.Readiness.HTTPGet != nil:
			got = set.Readiness.HTTPGet.Path + " " + evidence
		default:
			got = set.Readiness.TCPSocket.Port.String() + " " + evidence
		}
		if got != tc.want {
			t.Errorf("%s %.30s: got %q, want %q", tc.name, tc.settings, got, tc.want)
		}
	}
}

func TestCatalogRestarts(t *testing.T) {
	for settings, want := range map[string]bool{
		"": false,
		"catalog: [{images: [a], readiness: {grpc: {port: 1}}}]":                            false,
		"catalog: [{images: [a], startup: {grpc: {port: 1}}}]":                              true,
		"catalog: [{images: [a], liveness: {grpc: {port: 1}}, startup: {grpc: {port: 1}}}]": true,
	} {
		if got := probesOf(t, settings).Catalog.Restarts(); got != want {
			t.Errorf("%q: got %t, want %t", settings, got, want)
		}
	}
}

// TestShippedProbes requires that each entry is valid, names images that no other
// names, asks the port that it makes a condition of, and restarts nothing.
func TestShippedProbes(t *testing.T) {
	b := &builder{}
	seen := map[string]bool{}
	for _, s := range ShippedProbes() {
		set := b.probeSet(field.NewPath(s.Images[0]), &s.ProbeCatalogEntry)
		for _, pattern := range b.images(field.NewPath("images"), s.Images) {
			if seen[pattern.String()] || strings.Contains(pattern.String(), "*") {
				t.Errorf("%s is named twice, or is no name", pattern)
			}
			seen[pattern.String()] = true
		}
		if set.Readiness == nil || set.Liveness != nil || set.Startup != nil {
			t.Errorf("%s: got %+v, want a readiness probe alone", s.Images[0], set)
			continue
		}
		if s.Port == 0 || s.Why == "" || !strings.HasPrefix(s.Source, "https://") {
			t.Errorf("%s: got port %d, why %q, source %q, want all", s.Images[0], s.Port, s.Why, s.Source)
		}
		if tcp := set.Readiness.TCPSocket; tcp != nil && tcp.Port.IntVal != s.Port {
			t.Errorf("%s: asks port %d, and makes %d the condition", s.Images[0], tcp.Port.IntVal, s.Port)
		}
		if get := set.Readiness.HTTPGet; get != nil && get.Port.IntVal != s.Port {
			t.Errorf("%s: asks port %d, and makes %d the condition", s.Images[0], get.Port.IntVal, s.Port)
		}
	}
	if err := b.problems.Err(); err != nil {
		t.Error(err)
	}
}

// TestShippedProbesInDocs holds the table of docs/probes.md to the data.
func TestShippedProbesInDocs(t *testing.T) {
	data, err := os.ReadFile("../docs/probes.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)<!-- catalog -->\n(.*?)<!-- /catalog -->`).FindStringSubmatch(string(data))
	if found == nil {
		t.Fatal("docs/probes.md has no table between <!-- catalog --> and <!-- /catalog -->")
	}
	if diff := cmp.Diff(probeTable(), found[1]); diff != "" {
		t.Errorf("table (-data +docs/probes.md), this is the data:\n%s\n%s", diff, probeTable())
	}
}

// probeTable is the shipped catalog as a table of Markdown.
func probeTable() string {
	var b strings.Builder
	b.WriteString("| image | where it declares | and no argument begins with | readiness probe | why |\n|---|---|---|---|---|\n")
	for _, s := range ShippedProbes() {
		var images []string
		for _, name := range s.Images {
			mirrored := strings.HasPrefix(name, "mirror.gcr.io/") || strings.HasPrefix(name, "public.ecr.aws/docker/")
			if !mirrored {
				images = append(images, "`"+name+"`")
			}
		}
		unless := ""
		if len(s.UnlessArgs) > 0 {
			unless = "`" + strings.Join(s.UnlessArgs, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s | [%s](%s) |\n", strings.Join(images, ", "), s.Port, unless, probeInTable(s.Readiness), s.Why, s.Source)
	}
	return b.String()
}

func probeInTable(t *ProbeTemplate) string {
	switch {
	case t.Exec != nil:
		return "`" + strings.ReplaceAll(strings.Join(t.Exec.Command, " "), "|", `\|`) + "`"
	case t.HTTPGet != nil:
		return fmt.Sprintf("GET %s on %d", t.HTTPGet.Path, t.HTTPGet.Port)
	}
	return fmt.Sprintf("connection to %d", t.TCPSocket.Port)
}

func probeCatalogCases() []validationCase {
	const at = "spec.mutate.probes.catalog"
	spec := func(entry string) string { return `{mutate: {probes: {catalog: [` + entry + `]}}}` }
	const tcp = `{tcpSocket: {port: 1}}`
	return []validationCase{
		{name: "probe catalog", spec: spec(`{images: [a, "b.io/**"], readiness: ` + tcp + `}, {images: [c], liveness: ` + tcp + `, startup: ` + tcp + `}`)},
		{
			name: "probe catalog, no image", spec: spec(`{images: [], readiness: ` + tcp + `}`),
			want: []string{at + `[0].images: is empty; name the images that have these probes`},
		},
		{
			name: "probe catalog, no probe", spec: spec(`{images: [a]}`),
			want: []string{at + `[0]: names no probe; add readiness, liveness or startup`},
		},
		{
			name: "probe catalog, liveness alone", spec: spec(`{images: [a], liveness: ` + tcp + `}`),
			want: []string{at + `[0]: liveness without startup restarts a container that starts slowly; add startup`},
		},
		{
			name: "probe catalog, an image twice", spec: spec(`{images: [a, a], readiness: ` + tcp + `}`),
			want: []string{at + `[0].images[1]: "a" is listed twice`},
		},
		{
			name: "probe catalog, an image that is none", spec: spec(`{images: ["a:1"], readiness: ` + tcp + `}`), inGoOnly: "a tag looks like a port",
			want: []string{at + `[0].images[0]: "a:1" carries a tag or a digest; write "a", which stands for all of them`},
		},
		{
			name: "probe catalog, too many images", spec: spec(`{images: [` + numbered("i", 65) + `], readiness: ` + tcp + `}`),
			want: []string{at + `[0].images: has 65 entries; 64 is the limit`},
		},
		{
			name: "probe catalog, too many entries", spec: spec(strings.Repeat(`{images: [a], readiness: `+tcp+`}, `, 129)),
			want: []string{at + `: has 129 entries; 128 is the limit`},
		},
	}
}

// TestMayKnow holds that whatever a catalog finds it may know, however the image is
// written, and that little else is read.
func TestMayKnow(t *testing.T) {
	compiled := func(spec string) *ProbeCatalog {
		t.Helper()
		list, err := Load([]byte("apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: p}\nspec: {mutate: {probes: "+spec+"}}\n"), "test.yaml")
		if err != nil {
			t.Fatal(err)
		}
		set, err := Compile(list)
		if err != nil {
			t.Fatal(err)
		}
		return set.Matching(nil, Target{Namespace: "web", Kind: "Pod"})[0].Policy.Probes.Catalog
	}
	const probe = "readiness: {tcpSocket: {port: 80}}"
	for _, test := range []struct {
		spec, image string
		port        int32
		want        bool
	}{
		{"{}", "postgres", 5432, true},
		{"{}", "library/postgres:17", 5432, true},
		{"{}", "docker.io/library/postgres:17@sha256:" + strings.Repeat("0", 64), 5432, true},
		{"{}", "localhost:5000/postgres", 5432, true},
		{"{}", "postgres:17", 0, false},
		{"{}", "postgres:17", 81, false},
		{"{}", "shop/web:17", 5432, false},
		{"{}", "localhost:5432", 5432, false},
		{"{catalog: [{images: [registry.example.com/shop/web], " + probe + "}]}", "registry.example.com/shop/web:1", 0, true},
		{"{catalog: [{images: [registry.example.com/shop/web], " + probe + "}]}", "registry.example.com/shop/api:1", 0, false},
		{"{catalog: [{images: ['registry.example.com/shop/*'], " + probe + "}]}", "registry.example.com/shop/api:1", 0, true},
		{"{defaultCatalog: Exclude}", "postgres:17", 5432, false},
	} {
		container := &corev1.Container{Image: test.image, Ports: []corev1.ContainerPort{{ContainerPort: test.port}}}
		if got := compiled(test.spec).MayKnow(container); got != test.want {
			t.Errorf("%s, image %s, port %d: got %v, want %v", test.spec, test.image, test.port, got, test.want)
		}
	}
	catalog := compiled("{}")
	for name := range catalog.exact {
		for _, port := range catalog.ports {
			container := &corev1.Container{Image: name, Ports: []corev1.ContainerPort{{ContainerPort: port}}}
			if _, _, found := catalog.Find(name, container); found && !catalog.MayKnow(container) {
				t.Errorf("image %s, port %d: is found and may not be known", name, port)
			}
		}
	}
}
