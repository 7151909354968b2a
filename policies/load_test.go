package policies

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// head is the first three lines of a policy, up to its spec.
func head(name string) string {
	return "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata: {name: " + name + "}\n"
}

func TestLoadReadsEveryDocument(t *testing.T) {
	jsonPolicy := "{\n\t\"apiVersion\": \"portcullis.dev/v1alpha1\",\n\t\"kind\": \"PodPolicy\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"mutate\": {\"digests\": {}}}\n}"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"one", head("a") + "spec: {mutate: {digests: {}}}\n", []string{"a"}},
		{"two, empty ones between", "# about\n---\n" + head("b") + "spec: {mutate: {digests: {}}}\n---\n---\n# nothing\n--- # a\r\n" + head("a") + "spec: {mutate: {digests: {}}}\n...\n", []string{"b", "a"}},
		{"directive", "%YAML 1.1\n---\n" + head("a") + "spec: {mutate: {digests: {}}}\n", []string{"a"}},
		{"byte order mark", "\uFEFF" + head("a") + "spec: {mutate: {digests: {}}}\n", []string{"a"}},
		{"JSON with tabs", jsonPolicy, []string{"a"}},
		{"aliases", head("a") + "spec: {match: {namespaces: &n [x]}, modeOverrides: [{namespaces: *n, mode: Warn}], mutate: {digests: {}}}\n", []string{"a"}},
		{"three dashes in a text", head("a") + "spec: {mutate: {digests: {}}}\n", []string{"a"}},
		{"quoted words", head("a") + "spec: {match: {objectSelector: {matchLabels: {a: \"on\", b: 'yes', c: !!str no}}}, mutate: {digests: {}}}\n", []string{"a"}},
		{"what kubectl get -o yaml adds", "apiVersion: portcullis.dev/v1alpha1\nkind: PodPolicy\nmetadata:\n  name: a\n  creationTimestamp: null\n  generation: 2\n  uid: 1f\n  labels: {since: 2024-01-01}\n" +
			"  managedFields: [{manager: kubectl, time: 2024-01-01T00:00:00Z, fieldsV1: {f:spec: {}}}]\n  ownerReferences: [{apiVersion: v1, kind: X, name: x, uid: u, controller: true}]\nspec: {mutate: {digests: {}}}\n", []string{"a"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			list, err := Load([]byte(tc.text), "p.yaml")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range list {
				got = append(got, p.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadDecodesEveryField(t *testing.T) {
	text := head("all") + `spec:
  match:
    namespaces: [a]
    excludeNamespaces: [b]
    namespaceSelector: {matchLabels: {c: d}}
    objectSelector: {matchExpressions: [{key: e, operator: In, values: [f]}]}
    kinds: [Pod]
  mode: Warn
  modeOverrides: [{namespaces: [g], mode: Audit}]
  onRegistryError: Allow
  existingViolations: Deny
  exceptions: {allowed: false, maxDuration: 1h30m}
  mutate:
    digests: {mode: Audit, owners: [j.k/L], skipAnnotation: Honor}
    probes:
      mode: Audit
      sources: [Catalog]
      livenessSources: []
      grpcPorts: TCPSocket
      catalog:
      - images: [xa]
        readiness: {exec: {command: [z]}, initialDelaySeconds: 1, periodSeconds: 2, timeoutSeconds: 2, successThreshold: 3, failureThreshold: 4}
        liveness: {httpGet: {port: 5, path: /z, scheme: HTTPS}}
        startup: {grpc: {port: 6, service: z}}
      - {images: [z], readiness: {tcpSocket: {port: 7}}}
      defaultCatalog: Exclude
      imagesWithoutShell: [za]
    logging:
      mode: Warn
      catalog: [{name: p, images: [q], imageEnv: [R=s], env: [{name: T, value: u, unless: [V], structured: True}]}]
      defaultCatalog: Exclude
      runtimes: [p]
      format: Unchanged
      env: [{name: W, value: x}]
      envFrom: Add
      terminationMessagePolicy: Unchanged
      collector: Elastic
    hardening: {mode: Warn, fields: [runAsUser]}
  validate:
    rootUser: {mode: Warn, version: v1.34}
    digests: {mode: Audit, require: False, forbidTags: [m]}
    registries: {mode: Warn, allow: [na], deny: [o]}
    probes: {mode: Warn, require: [startup]}
    logging: {mode: Audit, require: [environment]}
    podSecurity:
      mode: Enforce
      level: restricted
      version: v1.36
      namespaceLabels: Ignore
      templates: Warn
      exemptions: [{checks: [hostPorts], containers: [h], images: [i]}]
`
	audit, warn, enforce, require, allowed := ModeAudit, ModeWarn, ModeEnforce, false, false
	want := PodPolicySpec{
		Match: MatchSpec{
			Namespaces: []string{"a"}, ExcludeNamespaces: []string{"b"},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"c": "d"}},
			ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "e", Operator: metav1.LabelSelectorOpIn, Values: []string{"f"}},
			}},
			Kinds: []WorkloadKind{KindPod},
		},
		Mode: ModeWarn, ModeOverrides: []ModeOverride{{Namespaces: []string{"g"}, Mode: ModeAudit}},
		OnRegistryError: RegistryErrorAllow, ExistingViolations: ExistingViolationsDeny,
		Exceptions: ExceptionSettings{Allowed: &allowed, MaxDuration: &metav1.Duration{Duration: 90 * time.Minute}},
		Mutate: MutateSpec{
			Digests: &DigestPinning{MutatorSettings{Mode: &audit, Owners: []string{"j.k/L"}, SkipAnnotation: SkipAnnotationHonor}},
			Probes: &ProbeInjection{
				MutatorSettings: MutatorSettings{Mode: &audit, SkipAnnotation: SkipAnnotationIgnore},
				Sources:         []ProbeSource{ProbeFromCatalog}, LivenessSources: []LivenessSource{}, GRPCPorts: GRPCPortConnect,
				Catalog: []ProbeCatalogEntry{{
					Images: []string{"xa"},
					Readiness: &ProbeTemplate{
						Exec: &ExecProbe{Command: []string{"z"}}, InitialDelaySeconds: 1, PeriodSeconds: 2, TimeoutSeconds: 2, SuccessThreshold: 3, FailureThreshold: 4,
					},
					Liveness: &ProbeTemplate{HTTPGet: &HTTPProbe{Port: 5, Path: "/z", Scheme: ProbeHTTPS}},
					Startup:  &ProbeTemplate{GRPC: &GRPCProbe{Port: 6, Service: "z"}},
				}, {
					Images: []string{"z"}, Readiness: &ProbeTemplate{TCPSocket: &TCPProbe{Port: 7}},
				}},
				DefaultCatalog: CatalogExclude, ImagesWithoutShell: []string{"za"},
			},
			Logging: &LoggingInjection{
				MutatorSettings: MutatorSettings{Mode: &warn, SkipAnnotation: SkipAnnotationIgnore},
				Catalog: []LoggingRuntime{{
					Name: "p", Images: []string{"q"}, ImageEnv: []string{"R=s"},
					Env: []RuntimeVariable{{Name: "T", Value: "u", Unless: []string{"V"}, Structured: true}},
				}},
				DefaultCatalog: CatalogExclude, Runtimes: []string{"p"}, Format: LogFormatUnchanged,
				Env: []LoggingVariable{{Name: "W", Value: "x"}}, EnvFrom: EnvFromAdd,
				TerminationMessagePolicy: TerminationMessagesUnchanged, Collector: LogCollectorElastic,
			},
			Hardening: &Hardening{
				MutatorSettings: MutatorSettings{Mode: &warn, SkipAnnotation: SkipAnnotationIgnore},
				Fields:          []HardeningField{HardenUser},
			},
		},
		Validate: ValidateSpec{
			RootUser:   &RootUser{Mode: &warn, Version: "v1.34"},
			Digests:    &DigestRequirement{Mode: &audit, Require: &require, ForbidTags: []string{"m"}},
			Registries: &Registries{Mode: &warn, Allow: []string{"na"}, Deny: []string{"o"}},
			Probes:     &ProbeRequirement{Mode: &warn, Require: []ProbeKind{Startup}},
			Logging:    &LoggingRequirement{Mode: &audit, Require: []LoggingCheck{LoggingEnvironment}},
			PodSecurity: &PodSecurity{
				Mode: &enforce, Level: "restricted", Version: "v1.36", NamespaceLabels: NamespaceLabelsIgnore, Templates: TemplatesWarn,
				Exemptions: []PodSecurityExemption{{Checks: []string{"hostPorts"}, Containers: []string{"h"}, Images: []string{"i"}}},
			},
		},
	}
	list, err := Load([]byte(text), "p.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list[0].Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
}

// makeFolders goes to a new folder with policies in it, good and bad.
func makeFolders(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	policy := func(name string) string { return head(name) + "spec: {mutate: {digests: {}}}\n" }
	write("z.yaml", policy("z"))
	write("d/c.json", `{"apiVersion": "portcullis.dev/v1alpha1", "kind": "PodPolicy", "metadata": {"name": "c"}, "spec": {"mutate": {"digests": {}}}}`)
	write("d/b.yml", policy("b"))
	write("d/a.yaml", policy("a"))
	write("d/README.md", "no policy")
	write("d/below/x.yaml", policy("x"))
	write("d/folder.yaml/y.yaml", policy("y"))
	write("none/README.md", "no policy")
	write("bad.yaml", "kind: Pod\n")
	if err := os.Symlink("../z.yaml", "none/link.txt"); err != nil {
		t.Fatal(err)
	}
	write("mounted/..data/m.yaml", policy("m"))
	if err := os.Symlink("..data/m.yaml", "mounted/m.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("gone.yaml", "mounted2.yaml"); err != nil {
		t.Fatal(err)
	}
}

func TestLoadFiles(t *testing.T) {
	makeFolders(t)
	tests := []struct {
		name  string
		paths []string
		want  string
		err   string
	}{
		{"files and folders in order", []string{"z.yaml", "d", "mounted"}, "z a b c m", ""},
		{"none given", nil, "", `no policy file is given`},
		{
			"all problems of all files",
			[]string{"gone", "none", "bad.yaml", "d", "mounted2.yaml", "d/a.yaml"},
			"",
			`gone: cannot be read: no such file or directory` + "\n" +
				`none: has no *.yaml, *.yml or *.json in it` + "\n" +
				`bad.yaml: document 1, line 1: apiVersion: is not set, want portcullis.dev/v1alpha1` + "\n" +
				`bad.yaml: document 1, line 1: kind: is "Pod", want PodPolicy` + "\n" +
				`mounted2.yaml: cannot be read: no such file or directory` + "\n" +
				`d/a.yaml: document 1, line 3: metadata.name: "a" is the name of another policy too (d/a.yaml, document 1)`,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			list, err := LoadFiles(tc.paths...)
			var text string
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(tc.err, text); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			var names []string
			for _, p := range list {
				names = append(names, p.Name)
			}
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("policies: got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLoadStopsAtTooManyProblems(t *testing.T) {
	_, err := Load([]byte(strings.Repeat("---\nnothing\n", 2*maxProblems)), "p.yaml")
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := "p.yaml: is read no further than document 1000: there are too many problems"
	if got := lines[len(lines)-1]; got != want || len(lines) != maxProblems+1 {
		t.Errorf("got %d lines that end in %q, want %d that end in %q", len(lines), got, maxProblems+1, want)
	}
}

func FuzzLoad(f *testing.F) {
	for _, name := range PresetNames() {
		data, err := presetFiles.ReadFile("presets/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(head("a") + "spec: &s {match: *s, modeOverrides: [{namespaces: [a, \"*\"], mode: Warn}], validate: {podSecurity: {exemptions: [{checks: [x], images: [a/b]}]}}}\n---\n- *s"))
	f.Add([]byte(head("a") + "spec: {mutate: {digests: {owners: [a.b/C, \"*/*\"]}}, validate: {rootUser: {version: v1.34}, digests: {require: False, forbidTags: [latest]}, registries: {allow: [a/*], deny: [a/b, \"**\"]}}}"))
	f.Add([]byte("{\"kind\":\t\"PodPolicy\"}"))
	f.Add([]byte("a: &a [*a]\n<<: x\n? [b]\n: !!binary x\n...\n%TAG"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Load(data, "fuzz")
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("got %d policies and error %v, want one of them", len(list), err)
		}
		if err != nil && strings.Count(err.Error(), "\n")+1 != len(err.(Problems)) {
			t.Fatalf("got %q, want one line a problem", err)
		}
		if _, err := Compile(list); err != nil {
			t.Fatalf("loaded and does not compile: %v", err)
		}
	})
}
