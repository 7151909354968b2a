package mutate

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/pod/podtest"
)

// loggingFacts are images by what they run.
func loggingFacts(t testing.TB) image.Facts {
	t.Helper()
	linux := func(arch string, env ...string) image.Platform {
		return image.Platform{OS: "linux", Architecture: arch, Selected: true, Env: append([]string{"PATH=/bin"}, env...)}
	}
	windows := func(env ...string) image.Platform {
		p := linux("amd64", env...)
		p.OS = "windows"
		return p
	}
	const python, node, dotnet = "PYTHON_VERSION=3.12.4", "NODE_VERSION=22.2.0", "DOTNET_VERSION=8.0.6"
	facts := image.Facts{}
	for name, platforms := range map[string][]image.Platform{
		"plain:1":          {linux("amd64")},
		"py:1":             {linux("amd64", python), linux("arm64", python)},
		"py-set:1":         {linux("amd64", python, "PYTHONUNBUFFERED=0")},
		"py-and-node:1":    {linux("amd64", node, python)},
		"py-on-arm64:1":    {linux("amd64"), linux("arm64", python)},
		"net:1":            {linux("amd64", dotnet)},
		"net-json:1":       {linux("amd64", dotnet, "Logging__Console__FormatterName=Json")},
		"net-on-windows:1": {linux("amd64"), windows(dotnet)},
		"grafana/grafana":  {linux("amd64")},
		"kong:3":           {linux("amd64")},
	} {
		ref, err := image.ParseReference(name)
		if err != nil {
			t.Fatal(err)
		}
		facts[name] = image.Fact{Image: name, Reference: ref, Platforms: platforms}
	}
	facts["away:1"] = image.Fact{Image: "away:1", Err: &image.Error{Reason: image.Timeout, Image: "away:1", Host: "docker.io"}}
	_, err := image.ParseReference("EVIL//x")
	facts["EVIL//x"] = image.Fact{Image: "EVIL//x", Err: err}
	return facts
}

func logging(t testing.TB, settings string, facts image.Facts) mutator {
	t.Helper()
	s := compile(t, "{logging: {"+settings+"}}").Logging
	return func(r *Recorder, w *pod.Workload) []pod.Finding { return Logging(r, w, s, facts) }
}

func TestLogging(t *testing.T) {
	const (
		unchanged  = "terminationMessagePolicy: Unchanged"
		python     = ` from the catalog entry python, by PYTHON_VERSION of image `
		unbuffered = `{"name":"PYTHONUNBUFFERED","value":"1"}`
		noColor    = `{"name":"NO_COLOR","value":"1"}`
		env0       = "app: spec.containers[0].env "
		message    = "app: spec.containers[0].terminationMessagePolicy \"FallbackToLogsOnError\", from terminationMessagePolicy of the policy"
		format     = `{"name":"Logging__Console__FormatterName","value":"json"}`
	)
	for _, test := range []struct {
		name, settings, container string
		rest                      string // of the pod's spec
		want                      []string
	}{
		{name: "an image of which nothing is known to be read", container: "image: 'plain:1'", want: []string{message}},
		{name: "a runtime by its ENV", container: "image: 'py:1'", want: []string{message, env0 + "[" + unbuffered + "," + noColor + "]," + python + `"py:1"`}},
		{name: "a program by its name", settings: unchanged, container: "image: 'grafana/grafana'", want: []string{
			env0 + `[{"name":"GF_LOG_CONSOLE_FORMAT","value":"json"}], from the catalog entry grafana, by the name of image "grafana/grafana"`,
		}},
		{name: "after what is there", settings: unchanged, container: "image: 'py:1', env: [{name: B, value: b}, {name: A, value: $(B)}]", want: []string{
			"app: spec.containers[0].env[2] " + unbuffered + "," + python + `"py:1"`, "app: spec.containers[0].env[3] " + noColor + "," + python + `"py:1"`,
		}},
		{name: "never over a value", settings: unchanged, container: "image: 'py:1', env: [{name: PYTHONUNBUFFERED, value: ''}, {name: NO_COLOR, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]"},
		{name: "never over a value in another spelling", settings: unchanged, container: "image: 'net:1', env: [{name: logging__console__formattername, value: simple}]"},
		{name: "never over a decision under another name", settings: unchanged, container: "image: 'net:1', env: [{name: Logging__Console__FormatterOptions__SingleLine, value: 'true'}]"},
		{name: "never over the image's own value", settings: unchanged, container: "image: 'py-set:1'", want: []string{env0 + "[" + noColor + "]," + python + `"py-set:1"`}},
		{name: "two runtimes that read the same", settings: unchanged, container: "image: 'py-and-node:1'", want: []string{
			env0 + "[" + unbuffered + "," + noColor + "]," + python + `"py-and-node:1"`,
		}},
		{name: "platforms that disagree", settings: unchanged, container: "image: 'py-on-arm64:1'"},
		{name: "a Linux pod does not run what is for Windows", settings: unchanged, container: "image: 'net-on-windows:1'"},
		{name: "a Windows pod does", settings: unchanged, container: "image: 'net-on-windows:1'", rest: "os: {name: windows}", want: []string{
			env0 + "[" + format + `], from the catalog entry dotnet, by DOTNET_VERSION of image "net-on-windows:1"`,
		}},
		{name: "the format unchanged", settings: unchanged + ", format: Unchanged", container: "image: 'net:1'"},
		{name: "a container with envFrom", settings: unchanged + ", env: [{name: LOG_LEVEL, value: info}]", container: "image: 'py:1', envFrom: [{configMapRef: {name: x}}]"},
		{name: "a container with envFrom, all the same", settings: unchanged + ", envFrom: Add, env: [{name: LOG_LEVEL, value: info}]", container: "image: 'py:1', envFrom: [{configMapRef: {name: x}}]", want: []string{
			env0 + "[" + unbuffered + "," + noColor + "]," + python + `"py:1"`,
			`app: spec.containers[0].env[2] {"name":"LOG_LEVEL","value":"info"}, from env of the policy`,
		}},
		{name: "variables for every container", settings: unchanged + ", env: [{name: LOG_LEVEL, value: info}, {name: TZ, value: UTC}], defaultCatalog: Exclude", container: "image: 'py:1', env: [{name: TZ, value: CET}]", want: []string{
			`app: spec.containers[0].env[1] {"name":"LOG_LEVEL","value":"info"}, from env of the policy`,
		}},
		{name: "an entry of the policy before a shipped one", settings: unchanged + ", catalog: [{name: shop, imageEnv: [PYTHON_VERSION=3*], env: [{name: NO_COLOR, value: 'yes'}]}]", container: "image: 'py:1'", want: []string{
			env0 + `[{"name":"NO_COLOR","value":"yes"}], from the catalog entry shop, by PYTHON_VERSION of image "py:1"`,
			"app: spec.containers[0].env[1] " + unbuffered + "," + python + `"py:1"`,
		}},
		{name: "File, as the API server fills it in", container: "image: 'plain:1', terminationMessagePolicy: File, terminationMessagePath: /dev/termination-log", want: []string{message}},
		{name: "a message file of the user", container: "image: 'plain:1', terminationMessagePolicy: File, terminationMessagePath: /tmp/why"},
		{name: "a message file of the user, policy left out", container: "image: 'plain:1', terminationMessagePath: /tmp/why"},
		{name: "FallbackToLogsOnError", container: "image: 'plain:1', terminationMessagePolicy: FallbackToLogsOnError"},
		{name: "no image yet", settings: "env: [{name: LOG_LEVEL, value: info}]", container: "image: ''", want: []string{
			message, `app: spec.containers[0].env [{"name":"LOG_LEVEL","value":"info"}], from env of the policy`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifest := "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: app, " + test.container + "}\n  " + test.rest + "\n"
			_, edits, findings := prove(t, manifest, logging(t, test.settings, loggingFacts(t)))
			if diff := cmp.Diff(test.want, explained(edits)); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
			if len(findings) > 0 {
				t.Errorf("got findings %v, want none", findings)
			}
		})
	}
}

// TestLoggingReplacesOneValue holds that the edit of the one value that may be
// replaced says so.
func TestLoggingReplacesOneValue(t *testing.T) {
	_, edits, _ := prove(t, "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, terminationMessagePolicy: File}, {name: b}]}\n", logging(t, "", nil))
	var got []any
	for _, e := range edits {
		got = append(got, e.Old)
	}
	if want := []any{corev1.TerminationMessageReadFile, nil}; !slices.Equal(got, want) {
		t.Errorf("got old values %v, want %v", got, want)
	}
}

func TestLoggingOfEveryListOfContainers(t *testing.T) {
	const manifest = `apiVersion: apps/v1
kind: Deployment
spec:
  template:
    spec:
      initContainers: [{name: init, image: "py:1"}, {name: side, image: "py:1", restartPolicy: Always}]
      containers: [{name: app, image: "py:1"}]
      ephemeralContainers: [{name: debug, image: "py:1"}]
`
	w, edits, _ := prove(t, manifest, logging(t, "terminationMessagePolicy: Unchanged, runtimes: [python], env: [{name: A, value: b}]", loggingFacts(t)))
	var got []string
	for _, e := range edits {
		got = append(got, e.Container+" "+e.Path.String())
	}
	want := []string{
		"init spec.template.spec.initContainers[0].env", "init spec.template.spec.initContainers[0].env[2]",
		"side spec.template.spec.initContainers[1].env", "side spec.template.spec.initContainers[1].env[2]",
		"app spec.template.spec.containers[0].env", "app spec.template.spec.containers[0].env[2]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("edits (-want +got):\n%s", diff)
	}
	if e := w.Spec.EphemeralContainers[0]; len(e.Env) > 0 || e.TerminationMessagePolicy != "" {
		t.Errorf("got the ephemeral container %+v, want it as it was", e)
	}
}

func TestLoggingWithoutFacts(t *testing.T) {
	const object = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: '%'}]\n"
	for _, test := range []struct {
		name, settings, image, message string
		noAnswer                       bool
	}{
		{"no registry was asked", "", "nobody:1", "no variable is set for what it runs, since no registry was asked what that is", true},
		{"the registry does not answer", "", "away:1", `no variable is set for what it runs, since that is not known: image "away:1" cannot be looked up: registry "docker.io" did not answer in time`, true},
		{"no reference", "", "EVIL//x", `no variable is set for what it runs, since that is not known: image "EVIL//x" is not an image reference`, false},
		{"nothing depends on it", "defaultCatalog: Exclude", "away:1", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, edits, findings := prove(t, strings.ReplaceAll(object, "%", test.image), logging(t, test.settings, loggingFacts(t)))
			for _, e := range edits {
				if strings.Contains(e.Path.String(), "env") {
					t.Errorf("got the edit %v, want none of env", e)
				}
			}
			if test.message == "" {
				if len(findings) > 0 {
					t.Errorf("got findings %v, want none", findings)
				}
				return
			}
			if len(findings) != 1 || !strings.HasPrefix(findings[0].Message, test.message) {
				t.Fatalf("got findings %+v, want one that begins %q", findings, test.message)
			}
			want := pod.Finding{
				Rule: LoggingRule, Container: "app", Path: w.SpecPath().Child("containers").Index(0).Child("image"), Value: test.image,
				Message: findings[0].Message, Fix: "set the variables of its runtime in env", NoAnswer: test.noAnswer, Advisory: true,
			}
			if diff := cmp.Diff(want, findings[0], cmp.AllowUnexported(pod.Path{})); diff != "" {
				t.Errorf("finding (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoggingNeeds(t *testing.T) {
	const manifest = `apiVersion: v1
kind: Pod
spec:
  initContainers: [{name: i, image: "i:1"}]
  containers: [{name: a, image: "a:1"}, {name: b, image: "b:1", envFrom: [{configMapRef: {name: x}}]}, {name: c}]
  ephemeralContainers: [{name: e, image: "e:1"}]
`
	for settings, want := range map[string][]string{
		"":                        {"i:1", "a:1"},
		"envFrom: Add":            {"i:1", "a:1", "b:1"},
		"collector: FluentBit":    {"i:1", "a:1", "b:1"},
		"defaultCatalog: Exclude": nil,
	} {
		var got []string
		for _, need := range LoggingNeeds(decode(t, manifest), compile(t, "{logging: {"+settings+"}}").Logging) {
			if !need.Config || need.UID || need.Fresh {
				t.Errorf("got %+v, want the need of a configuration alone", need)
			}
			got = append(got, need.Image)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", settings, diff)
		}
	}
}

// TestLoggingKeepsEveryValue mutates random pods with everything on: what a user set
// stays, in its place, but for the one value that may be replaced.
func TestLoggingKeepsEveryValue(t *testing.T) {
	facts := loggingFacts(t)
	g := podtest.New(23, imagesOf(facts)...)
	added := 0
	for _, collector := range []string{"FluentBit", "Datadog", "Elastic"} {
		mutate := logging(t, "envFrom: Add, env: [{name: LOG_LEVEL, value: info}], collector: "+collector, facts)
		for _, kind := range pod.Kinds() {
			for range 40 {
				raw := g.Object(kind)
				before, err := pod.Decode(kind, raw)
				if err != nil {
					t.Fatal(err)
				}
				after, edits, _ := proveRaw(t, kind, raw, mutate)
				for _, e := range edits {
					if e.Old != nil && (e.Old != corev1.TerminationMessageReadFile || e.New != corev1.TerminationMessageFallbackToLogsOnError) {
						t.Fatalf("got the edit %+v of something that was set", e)
					}
				}
				added += undo(t, before, after)
				if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
					t.Fatalf("what was there (-before +after):\n%s", diff)
				}
			}
		}
	}
	if added == 0 {
		t.Error("got no variable added to any pod, want some")
	}
}

// undo takes what Logging may add out of a workload, holds its metadata to the one
// before, and returns the number of variables.
func undo(t *testing.T, before, after *pod.Workload) (added int) {
	t.Helper()
	for key, value := range before.Template.Annotations {
		if after.Template.Annotations[key] != value {
			t.Fatalf("got annotation %s changed to %q, want %q", key, after.Template.Annotations[key], value)
		}
	}
	was := slices.Collect(before.Containers())
	for i, c := range slices.Collect(after.Containers()) {
		if len(c.Env) < len(was[i].Env) {
			t.Fatalf("container %s: got %d variables, want %d and more", c.Name, len(c.Env), len(was[i].Env))
		}
		added += len(c.Env) - len(was[i].Env)
		c.Env = c.Env[:len(was[i].Env):len(was[i].Env)]
		if len(c.Env) == 0 {
			c.Env = was[i].Env
		}
		c.TerminationMessagePolicy = was[i].TerminationMessagePolicy
	}
	return added
}

func BenchmarkLogging(b *testing.B) {
	const manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: 'py:1', %s}, {name: proxy, image: 'plain:1', terminationMessagePolicy: FallbackToLogsOnError}]\n"
	facts := loggingFacts(b)
	s := compile(b, "{logging: {}}").Logging
	for name, set := range map[string]string{
		"nothing to do": "terminationMessagePolicy: FallbackToLogsOnError, env: [{name: PYTHONUNBUFFERED, value: '1'}, {name: NO_COLOR, value: '1'}]",
		"all":           "terminationMessagePolicy: File",
	} {
		w := decode(b, strings.ReplaceAll(manifest, "%s", set))
		before := *w.Spec.Containers[0].DeepCopy()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.Spec.Containers[0] = before
				var r Recorder
				Logging(&r, w, s, facts)
				if edits := len(r.Edits()); (edits > 0) != (name == "all") {
					b.Fatalf("got %d edits", edits)
				}
			}
		})
	}
}

// TestLoggingLeavesCommandsAsTheyAre holds that what the kubelet makes of $(NAME) is
// the same with the variables that are added as without them, T68.
func TestLoggingLeavesCommandsAsTheyAre(t *testing.T) {
	for _, test := range []struct {
		name, container string
		want            []string // names of variables that are added
		findings        []string
	}{
		{name: "none is mentioned", container: "command: [sh, -c, 'echo $NO_COLOR ${NO_COLOR} $$(NO_COLOR) $(OTHER)']", want: []string{"PYTHONUNBUFFERED", "NO_COLOR", "LOG_LEVEL"}},
		{
			name: "command", container: "command: [sh, -c, 'echo $(NO_COLOR)']", want: []string{"PYTHONUNBUFFERED", "LOG_LEVEL"},
			findings: []string{"NO_COLOR is not set, since the kubelet would put its value in for the $(NO_COLOR) that the container has"},
		},
		{
			name: "args, and a variable of the policy", container: "args: ['--level=$(LOG_LEVEL)', $(PYTHONUNBUFFERED)]", want: []string{"NO_COLOR"},
			findings: []string{
				"PYTHONUNBUFFERED is not set, since the kubelet would put its value in for the $(PYTHONUNBUFFERED) that the container has",
				"LOG_LEVEL is not set, since the kubelet would put its value in for the $(LOG_LEVEL) that the container has",
			},
		},
		{name: "one that is set is none that is added", container: "env: [{name: NO_COLOR, value: x}], args: [$(NO_COLOR)]", want: []string{"PYTHONUNBUFFERED", "LOG_LEVEL"}},
		{name: "env sees what is before it alone", container: "env: [{name: A, value: $(NO_COLOR)}], args: [$(A)]", want: []string{"PYTHONUNBUFFERED", "NO_COLOR", "LOG_LEVEL"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifest := "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: app, image: 'py-and-node:1', " + test.container + "}\n"
			before := decode(t, manifest).Spec.Containers[0]
			w, _, findings := prove(t, manifest, logging(t, "env: [{name: LOG_LEVEL, value: info}]", loggingFacts(t)))
			after := w.Spec.Containers[0]
			var got, said []string
			for _, v := range after.Env[len(before.Env):] {
				got = append(got, v.Name)
			}
			for _, f := range findings {
				said = append(said, f.Message)
				if !f.Advisory || f.Fix == "" || f.Path.String() != "spec.containers[0].env" {
					t.Errorf("got finding %+v, want an advisory one about env with a fix", f)
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("added variables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.findings, said); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(started(before), started(after)); diff != "" {
				t.Errorf("what the kubelet starts (-before +after):\n%s", diff)
			}
		})
	}
}

// started is the command and args of a container, and its variables that were there
// before, as the kubelet hands them to the runtime. What is not set is as written.
func started(c corev1.Container) map[string]string {
	known := map[string]string{}
	expanded := func(text string) string {
		var b strings.Builder
		for i := 0; i < len(text); i++ {
			rest := text[i+1:]
			closing := strings.IndexByte(rest, ')')
			switch {
			case text[i] == '$' && strings.HasPrefix(rest, "$"):
				b.WriteByte('$')
				i++
			case text[i] == '$' && strings.HasPrefix(rest, "(") && closing > 0:
				value, ok := known[rest[1:closing]]
				if !ok {
					value = "$" + rest[:closing+1]
				}
				b.WriteString(value)
				i += closing + 1
			default:
				b.WriteByte(text[i])
			}
		}
		return b.String()
	}
	result := map[string]string{}
	for _, v := range c.Env {
		if known[v.Name] = expanded(v.Value); v.Name == "A" || v.Name == "B" {
			result["env "+v.Name] = known[v.Name]
		}
	}
	for _, word := range slices.Concat(c.Command, c.Args) {
		result["started"] += expanded(word) + "\n"
	}
	return result
}
