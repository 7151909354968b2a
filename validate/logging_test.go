package validate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
)

// loggingFacts are the images of the logging cases.
func loggingFacts() image.Facts {
	const python = "PYTHON_VERSION=3.12.4"
	linux := func(arch string, env ...string) image.Platform {
		return image.Platform{OS: "linux", Architecture: arch, Selected: true, Env: append([]string{"PATH=/bin"}, env...)}
	}
	facts := image.Facts{}
	for name, platforms := range map[string][]image.Platform{
		"plain":             {linux("amd64")},
		"python":            {linux("amd64", python), linux("arm64", python)},
		"python-unbuffered": {linux("amd64", python, "PYTHONUNBUFFERED=1", "NO_COLOR=1")},
		"python-on-amd64":   {linux("amd64", python), linux("arm64")},
		"dotnet":            {{OS: "windows", Architecture: "amd64", Selected: true, Env: []string{"DOTNET_VERSION=8.0.6"}}, linux("amd64")},
	} {
		facts["registry.example.com/"+name+":1"] = image.Fact{Platforms: platforms}
	}
	gone := "registry.example.com/gone:1"
	facts[gone] = image.Fact{Err: &image.Error{Reason: image.NotFound, Image: gone, Host: "registry.example.com"}}
	return facts
}

// TestLoggingMessages holds what a user reads: what is wrong, where, and what to
// write instead.
func TestLoggingMessages(t *testing.T) {
	const head = "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - "
	const volumes = "\n  volumes: [{name: v, emptyDir: {}}]\n"
	tests := []struct{ name, container, settings, want string }{
		{
			"log directory", `{name: app, volumeMounts: [{name: x, mountPath: /a}, {name: v, mountPath: /logs}]}` + volumes, `{}`,
			`logDirectory app spec.containers[0].volumeMounts[1].mountPath /logs: log collectors read what a container writes to stdout and stderr, and not this directory on an emptyDir. ` +
				`have the program log to stdout and remove the mount, or set readOnly to true if it only reads`,
		}, {
			"redirect in args", `{name: app, command: [sh], args: [-c, "run >> x.log"]}`, `{}`,
			`redirect app spec.containers[0].args[1] run >> x.log: it writes into "x.log", which no log collector reads and nobody rotates. ` +
				`write to stdout, or to /dev/stdout where the program asks for a file`,
		}, {
			"tail", `{name: app, args: [tail, -f, a.log]}`, `{}`,
			`tailSidecar app spec.containers[0].args[0] tail -f a.log: it turns the log file "a.log" into a stream, so that every line is kept twice and the file grows. ` +
				`have the program that writes the file log to stdout, or link the file to /dev/stdout, and remove this one`,
		}, {
			"both", `{name: app, command: [sh, -c, "(run > a.log &) ; tail -F a.log"]}`, `{}`,
			`redirect app spec.containers[0].command[2] (run > a.log &) ; tail -F a.log: it writes into "a.log", which no log collector reads and nobody rotates. ` +
				"write to stdout, or to /dev/stdout where the program asks for a file\n" +
				`tailSidecar app spec.containers[0].command[2] sh -c (run > a.log &) ; tail -F a.log: it turns the log file "a.log" into a stream, so that every line is kept twice and the file grows. ` +
				`have the program that writes the file log to stdout, or link the file to /dev/stdout, and remove this one`,
		}, {
			"environment", `{name: app, image: "registry.example.com/python:1"}`, `{require: [environment]}`,
			`environment app spec.containers[0].env <nil>: its log is not what a collector needs: its image has the runtime python, and PYTHONUNBUFFERED, NO_COLOR are not set. ` +
				`add to it {name: PYTHONUNBUFFERED, value: "1"}, {name: NO_COLOR, value: "1"}`,
		}, {
			"environment of a Windows pod", `{name: app, image: "registry.example.com/dotnet:1"}` + "\n  os: {name: windows}\n", `{require: [environment]}`,
			`environment app spec.containers[0].env <nil>: its log is not what a collector needs: its image has the runtime dotnet, and Logging__Console__FormatterName is not set. ` +
				`add to it {name: Logging__Console__FormatterName, value: "json"}`,
		}, {
			"environment of a Linux pod", `{name: app, image: "registry.example.com/dotnet:1"}`, `{require: [environment]}`, ``,
		}, {
			"no registry was asked", `{name: app, image: "a.io/b:1"}`, `{require: [environment]}`,
			`environment app spec.containers[0].env <nil>: it is not known which variables it lacks, and no registry was asked. set the variables of its runtime (no answer)`,
		}, {
			"an image that is not there", `{name: app, image: "registry.example.com/gone:1"}`, `{require: [environment]}`,
			`environment app spec.containers[0].env <nil>: it is not known which variables it lacks: image "registry.example.com/gone:1" does not exist in registry "registry.example.com"; check the name, the tag and the digest. ` +
				`set the variables of its runtime (no answer)`,
		}, {
			"termination message, which the API server fills in", `{name: app}`, `{require: [terminationMessagePolicy]}`,
			`terminationMessagePolicy app spec.containers[0].terminationMessagePolicy File: what a container says before it fails is kept in its log alone. set it to FallbackToLogsOnError`,
		}, {
			"termination message", `{name: app, terminationMessagePolicy: File}`, `{require: [terminationMessagePolicy]}`,
			`terminationMessagePolicy app spec.containers[0].terminationMessagePolicy File: what a container says before it fails is kept in its log alone. set it to FallbackToLogsOnError`,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w, err := pod.DecodeYAML([]byte(head + tc.container))
			if err != nil {
				t.Fatal(err)
			}
			s := compile(t, "{logging: "+tc.settings+"}").LoggingRequirement
			var got []string
			for _, f := range Logging(w, s, loggingFacts()) {
				got = append(got, textOf(f))
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, "\n")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoggingByTheMutator holds that environment requires what mutate.logging of the
// same policy sets: for all containers, by its own catalog, or not beside envFrom.
func TestLoggingByTheMutator(t *testing.T) {
	const spec = `{logging: {require: [environment]}}, mutate: {logging: {env: [{name: LOG_LEVEL, value: info}],
		catalog: [{name: own, imageEnv: [PYTHON_VERSION], env: [{name: OWN, value: x}]}], runtimes: [own]%}}`
	w, err := pod.DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: app, image: 'registry.example.com/python:1', envFrom: [{configMapRef: {name: x}}]}]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for setting, want := range map[string][]string{
		"": nil,
		", envFrom: Add": {`environment app spec.containers[0].env <nil>: its log is not what a collector needs: the policy sets it for every container, its image has the runtime own, and LOG_LEVEL, OWN are not set. ` +
			`add to it {name: LOG_LEVEL, value: "info"}, {name: OWN, value: "x"}`},
	} {
		var got []string
		for _, f := range Logging(w, compile(t, strings.Replace(spec, "%", setting, 1)).LoggingRequirement, loggingFacts()) {
			got = append(got, textOf(f))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: findings (-want +got):\n%s", setting, diff)
		}
	}
}

func TestLoggingNeeds(t *testing.T) {
	w, err := pod.DecodeYAML([]byte(`apiVersion: v1
kind: Pod
spec:
  initContainers: [{name: i, image: "i:1"}]
  containers: [{name: a, image: "a:1"}, {name: b, image: "b:1", envFrom: [{configMapRef: {name: x}}]}, {name: c}]
  ephemeralContainers: [{name: e, image: "e:1"}]
`))
	if err != nil {
		t.Fatal(err)
	}
	for settings, want := range map[string][]image.Need{
		`{}`:                                    nil,
		`{require: [terminationMessagePolicy]}`: nil,
		`{require: [environment]}`:              {{Image: "i:1", Config: true}, {Image: "a:1", Config: true}},
	} {
		if diff := cmp.Diff(want, LoggingNeeds(w, compile(t, "{logging: "+settings+"}").LoggingRequirement)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", settings, diff)
		}
	}
}

// TestLoggingPassesOverEphemeralContainers has one that would trip every check.
func TestLoggingPassesOverEphemeralContainers(t *testing.T) {
	const container = `{name: app, image: "registry.example.com/python:1", command: [sh, -c, "tail -f a.log > b.log"], volumeMounts: [{name: v, mountPath: /logs}]}`
	s := compile(t, "{logging: {require: [environment, terminationMessagePolicy]}}").LoggingRequirement
	for list, want := range map[string][]string{
		"containers":          {logDirectory, logRedirect, logTailSidecar, logEnvironment, logTerminationMessage},
		"ephemeralContainers": nil,
	} {
		w, err := pod.DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nspec: {" + list + ": [" + container + "], volumes: [{name: v, emptyDir: {}}]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range Logging(w, s, loggingFacts()) {
			got = append(got, f.Check)
		}
		if !slices.Equal(want, got) {
			t.Errorf("%s: got %v, want %v", list, got, want)
		}
	}
}

func BenchmarkLogging(b *testing.B) {
	w, err := pod.DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, image: 'registry.example.com/python-unbuffered:1', terminationMessagePolicy: FallbackToLogsOnError}, {name: b, image: 'registry.example.com/plain:1', terminationMessagePolicy: FallbackToLogsOnError}]}\n"))
	if err != nil {
		b.Fatal(err)
	}
	s := compile(b, "{logging: {require: [environment, terminationMessagePolicy]}}").LoggingRequirement
	facts := loggingFacts()
	b.ReportAllocs()
	for b.Loop() {
		if findings := Logging(w, s, facts); len(findings) > 0 {
			b.Fatal(findings)
		}
	}
}

// textOf is a finding in one line.
func textOf(f pod.Finding) string {
	text := fmt.Sprintf("%s %s %s %v: %s. %s", f.Check, f.Container, f.Path, f.Value, f.Message, f.Fix)
	if f.NoAnswer {
		text += " (no answer)"
	}
	return text
}
