package policies

import (
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// platforms are the ENV of an image on each of its platforms.
func platforms(env ...[]string) iter.Seq[[]string] { return slices.Values(env) }

// TestShippedRuntimes holds the shipped catalog to what a policy's own has to
// keep, and to what its users rely on.
func TestShippedRuntimes(t *testing.T) {
	shipped := ShippedRuntimes()
	var entries []LoggingRuntime
	for _, r := range shipped {
		entries = append(entries, r.LoggingRuntime)
	}
	b, catalog := &builder{}, newRuntimeCatalog(withShipped(nil), LogFormatStructured)
	b.runtimes(field.NewPath("catalog"), entries)
	if err := b.problems.Err(); err != nil {
		t.Error(err)
	}
	if len(shipped) < 8 {
		t.Errorf("got %d entries, want 8 and more", len(shipped))
	}
	for _, r := range shipped {
		if !strings.HasPrefix(r.Source, "https://") {
			t.Errorf("%s: got source %q, want a link", r.Name, r.Source)
		}
		if !strings.HasSuffix(r.Why, ".") || strings.ContainsAny(r.Why, "|\n") {
			t.Errorf("%s: got %q, want a sentence that a table can hold", r.Name, r.Why)
		}
		// What is added to a container must not make it another runtime: the image's
		// ENV decides, and a user may copy such a variable into it.
		for _, v := range r.Env {
			if got := catalog.Recognise(nil, "", platforms([]string{v.Name + "=" + v.Value})); len(got) > 0 {
				t.Errorf("%s: got its variable %s recognised as %s, want none", r.Name, v.Name, got[0].Name)
			}
		}
	}
	for i, compiled := range withShipped(nil) {
		if len(compiled.images) != len(shipped[i].Images) {
			t.Errorf("%s: got %d of its %d images compiled", compiled.Name, len(compiled.images), len(shipped[i].Images))
		}
	}
}

func TestRecognise(t *testing.T) {
	const catalog = `catalog: [
		{name: own, images: ["registry.example.com/shop/**"], imageEnv: [SHOP], env: [{name: LOG_TO, value: stdout}]},
		{name: valued, imageEnv: ["APP_RUNTIME=ruby*"], env: [{name: A, value: b}]},
		{name: deno, images: ["registry.example.com/deno"], env: [{name: DENO, value: b}]}]`
	tests := []struct {
		name, settings, image string
		env                   [][]string
		want                  string
	}{
		{"by ENV", "", "registry.example.com/app", [][]string{{"PATH=/bin", "PYTHON_VERSION=3.12.4"}}, "python by PYTHON_VERSION"},
		{"by name", "", "docker.io/library/python", [][]string{{"PATH=/bin"}}, "python by its name"},
		{"by a pattern of names", "", "gcr.io/distroless/python3-debian12", [][]string{nil}, "python by its name"},
		{"by name and ENV", "", "docker.io/library/python", [][]string{{"PYTHON_VERSION=3"}}, "python by its name"},
		{"by the beginning of a name", "", "a.io/b", [][]string{{"SPRING_PROFILES_ACTIVE=prod"}}, "spring-boot by SPRING_PROFILES_ACTIVE"},
		{"by the value", "", "a.io/b", [][]string{{"KC_RUN_IN_CONTAINER=true"}}, "keycloak by KC_RUN_IN_CONTAINER"},
		{"not by another value", "", "a.io/b", [][]string{{"KC_RUN_IN_CONTAINER=false"}}, ""},
		{"not by another spelling", "", "a.io/b", [][]string{{"python_version=3", "PYTHON_VERSIONS=3", "XSPRING_=1"}}, ""},
		{"not by a longer name", "", "docker.io/library/pythonic", [][]string{nil}, ""},
		{"in the order of the catalog", "", "a.io/b", [][]string{{"RUBY_VERSION=3", "NODE_VERSION=20", "PYTHON_VERSION=3"}}, "python by PYTHON_VERSION, node by NODE_VERSION, rails by RUBY_VERSION"},
		{"once", "", "a.io/b", [][]string{{"ASPNET_VERSION=8", "DOTNET_VERSION=8", "DOTNET_RUNNING_IN_CONTAINER=true"}}, "dotnet by ASPNET_VERSION"},
		{"on all platforms", "", "a.io/b", [][]string{{"NODE_VERSION=20"}, {"NODE_VERSION=22"}}, "node by NODE_VERSION"},
		{"not where platforms disagree", "", "a.io/b", [][]string{{"NODE_VERSION=20"}, {"PATH=/bin"}}, ""},
		{"not without a platform", "", "docker.io/library/python", nil, ""},
		{"own entries first", catalog, "registry.example.com/shop/web", [][]string{{"PYTHON_VERSION=3"}}, "own by its name, python by PYTHON_VERSION"},
		{"own entry by value", catalog, "a.io/b", [][]string{{"APP_RUNTIME=ruby-3"}}, "valued by APP_RUNTIME"},
		{"own entry in place of a shipped one", catalog, "docker.io/denoland/deno", [][]string{{"DENO_VERSION=2"}}, ""},
		{"own entries alone", catalog + ", defaultCatalog: Exclude", "a.io/b", [][]string{{"PYTHON_VERSION=3", "SHOP=1"}}, "own by SHOP"},
		{"those in use", catalog + ", runtimes: [node, own]", "a.io/b", [][]string{{"PYTHON_VERSION=3", "NODE_VERSION=20", "SHOP=1"}}, "own by SHOP, node by NODE_VERSION"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, r := range loggingOf(t, tc.settings).Catalog.Recognise(nil, tc.image, platforms(tc.env...)) {
				by := r.By
				if by == "" {
					by = "its name"
				}
				got = append(got, r.Name+" by "+by)
			}
			if text := strings.Join(got, ", "); text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
		})
	}
}

// loggingOf compiles a policy with settings of mutate.logging.
func loggingOf(t testing.TB, settings string) *CompiledLogging {
	t.Helper()
	set := compileText(t, head("p")+"spec: {mutate: {logging: {"+settings+"}}}")
	return set.Matching(nil, Target{Namespace: "a"})[0].Policy.Logging
}

func TestLacking(t *testing.T) {
	const dotnet, python = "DOTNET_VERSION=8", "PYTHON_VERSION=3"
	fromField := corev1.EnvVar{Name: "PYTHONUNBUFFERED", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}
	tests := []struct {
		name, settings string
		container      []corev1.EnvVar
		image          [][]string
		want           string
	}{
		{"all", "", nil, [][]string{{python}}, "PYTHONUNBUFFERED=1 NO_COLOR=1"},
		{"what the container sets to nothing", "", []corev1.EnvVar{{Name: "PYTHONUNBUFFERED"}}, [][]string{{python}}, "NO_COLOR=1"},
		{"what the container takes from elsewhere", "", []corev1.EnvVar{fromField}, [][]string{{python}}, "NO_COLOR=1"},
		{"what the image sets", "", nil, [][]string{{python, "PYTHONUNBUFFERED="}}, "NO_COLOR=1"},
		{"what the image sets on one platform", "", nil, [][]string{{python}, {python, "PYTHONUNBUFFERED=1"}}, "NO_COLOR=1"},
		{"what the container decides by another name", "", []corev1.EnvVar{{Name: "FORCE_COLOR", Value: "1"}}, [][]string{{python}}, "PYTHONUNBUFFERED=1"},
		{"what the image decides by another name", "", nil, [][]string{{python, "FORCE_COLOR=1"}}, "PYTHONUNBUFFERED=1"},
		{"structured", "", nil, [][]string{{dotnet}}, "Logging__Console__FormatterName=json"},
		{"structured, format unchanged", "format: Unchanged", nil, [][]string{{dotnet}}, ""},
		{"in another spelling", "", []corev1.EnvVar{{Name: "LOGGING__CONSOLE__FORMATTERNAME", Value: "simple"}}, [][]string{{dotnet}}, ""},
		{"decided by the beginning of a name", "", []corev1.EnvVar{{Name: "logging__console__FormatterOptions__SingleLine", Value: "true"}}, [][]string{{dotnet}}, ""},
		{"not decided by a shorter name", "", []corev1.EnvVar{{Name: "Logging__Console", Value: "x"}}, [][]string{{dotnet}}, "Logging__Console__FormatterName=json"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			image := platforms(tc.image...)
			var got []string
			for _, r := range loggingOf(t, tc.settings).Catalog.Recognise(nil, "a.io/b", image) {
				for _, v := range r.Lacking(nil, tc.container, image) {
					got = append(got, v.Name+"="+v.Value)
				}
			}
			if text := strings.Join(got, " "); text != tc.want {
				t.Errorf("got %q, want %q", text, tc.want)
			}
		})
	}
	l := loggingOf(t, `env: [{name: LOG_LEVEL, value: info}, {name: TZ, value: UTC}]`)
	want := []corev1.EnvVar{{Name: "TZ", Value: "UTC"}}
	if diff := cmp.Diff(want, l.Lacking(nil, []corev1.EnvVar{{Name: "log_level"}})); diff != "" {
		t.Errorf("variables for every container (-want +got):\n%s", diff)
	}
}

func TestStructured(t *testing.T) {
	const name = "Logging__Console__FormatterName"
	for _, tc := range []struct {
		name      string
		container []corev1.EnvVar
		image     [][]string
		want      bool
	}{
		{"nobody says so", nil, [][]string{nil}, false},
		{"the container", []corev1.EnvVar{{Name: name, Value: "json"}}, [][]string{nil}, true},
		{"the container, in upper case", []corev1.EnvVar{{Name: name, Value: "Json"}}, [][]string{nil}, true},
		{"the container says otherwise", []corev1.EnvVar{{Name: name, Value: "simple"}}, [][]string{{name + "=json"}}, false},
		{"the container says something unknown", []corev1.EnvVar{{Name: name, Value: "json", ValueFrom: &corev1.EnvVarSource{}}}, [][]string{nil}, false},
		{"the image", nil, [][]string{{name + "=Json"}, {name + "=json"}}, true},
		{"the image on one platform", nil, [][]string{{name + "=json"}, nil}, false},
		{"the image, and the container decides otherwise", []corev1.EnvVar{{Name: "Logging__Console__FormatterOptions__SingleLine"}}, [][]string{{name + "=json"}}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var with [][]string
			for _, env := range tc.image {
				with = append(with, append([]string{"DOTNET_VERSION=8"}, env...))
			}
			image := platforms(with...)
			runtimes := loggingOf(t, "").Catalog.Recognise(nil, "a.io/b", image)
			if got := runtimes[0].Structured(tc.container, image); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// TestShippedRuntimesInDocs holds the table of docs/logging.md to the data.
func TestShippedRuntimesInDocs(t *testing.T) {
	data, err := os.ReadFile("../docs/logging.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?s)<!-- catalog -->\n(.*?)<!-- /catalog -->`).FindStringSubmatch(string(data))
	if found == nil {
		t.Fatal("docs/logging.md has no table between <!-- catalog --> and <!-- /catalog -->")
	}
	if diff := cmp.Diff(runtimeTable(), found[1]); diff != "" {
		t.Errorf("table (-data +docs/logging.md):\n%s", diff)
	}
}

// runtimeTable is the shipped catalog as a table of Markdown.
func runtimeTable() string {
	code := func(texts []string) string {
		for i, text := range texts {
			texts[i] = "`" + text + "`"
		}
		return strings.Join(texts, ", ")
	}
	var b strings.Builder
	b.WriteString("| entry | recognised by | sets | unless there is | why |\n|---|---|---|---|---|\n")
	for _, r := range ShippedRuntimes() {
		var by, sets, unless []string
		if len(r.ImageEnv) > 0 {
			by = append(by, "ENV "+code(r.ImageEnv))
		}
		if len(r.Images) > 0 {
			by = append(by, "image "+code(r.Images))
		}
		for _, v := range r.Env {
			set := "`" + v.Name + "=" + v.Value + "`"
			if v.Structured {
				set += " (JSON)"
			}
			sets = append(sets, set)
			unless = append(unless, v.Unless...)
		}
		b.WriteString("| [" + r.Name + "](" + r.Source + ") | " + strings.Join(by, "; ") + " | " + strings.Join(sets, ", ") +
			" | " + code(unless) + " | " + r.Why + " |\n")
	}
	return b.String()
}

func BenchmarkRecognise(b *testing.B) {
	catalog := loggingOf(b, "").Catalog
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305",
		"PYTHON_VERSION=3.12.4", "PYTHON_SHA256=f6d419a6d8743ab26700801b4908d26d97e8b986e14f95de31b32de2b0e79554",
	}
	image := platforms(env, env)
	b.ReportAllocs()
	for b.Loop() {
		var buffer [4]Runtime
		if len(catalog.Recognise(buffer[:0], "docker.io/library/python", image)) != 1 {
			b.Fatal("not recognised")
		}
	}
}
