package rewrite

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/pod"
)

var (
	spec      = pod.Path{}.Child("spec")
	container = spec.Child("containers").Index(0)
	context   = container.Child("securityContext")
)

// TestApply changes single fields of texts, and requires every other byte to
// stay.
func TestApply(t *testing.T) {
	drop := pod.Edit{Path: context.Child("capabilities").Child("drop"), New: []string{"ALL"}}
	privilege := pod.Edit{Path: context.Child("allowPrivilegeEscalation"), New: false}
	for _, test := range []struct {
		name      string
		old, want string
		edits     []pod.Edit
	}{
		{
			name:  "a text is replaced in its line",
			old:   "spec: # the spec\n  containers:\n    # the app\n    - image:   nginx:1   # pinned later\n      name: app\n",
			want:  "spec: # the spec\n  containers:\n    # the app\n    - image:   nginx:1@sha256:1   # pinned later\n      name: app\n",
			edits: []pod.Edit{{Path: container.Child("image"), Old: "nginx:1", New: "nginx:1@sha256:1"}},
		},
		{
			name:  "quotes stay",
			old:   "spec:\n  containers:\n  - {name: app, image: 'nginx:1', args: [\"it's, fine\"]}\n",
			want:  "spec:\n  containers:\n  - {name: app, image: 'nginx:2', args: [\"it's, fine\"]}\n",
			edits: []pod.Edit{{Path: container.Child("image"), Old: "nginx:1", New: "nginx:2"}},
		},
		{
			name: "missing objects are made after the last field, before comments that follow",
			old:  "spec:\n  containers:\n  - name: app\n    image: nginx\n    args:\n    - a\n\n    # nothing more\n  restartPolicy: Always\n",
			want: "spec:\n  containers:\n  - name: app\n    image: nginx\n    args:\n    - a\n    securityContext:\n      capabilities:\n        drop:\n        - ALL\n" +
				"      allowPrivilegeEscalation: false\n\n    # nothing more\n  restartPolicy: Always\n",
			edits: []pod.Edit{drop, privilege},
		},
		{
			name:  "lists are indented as the others",
			old:   "spec:\n  containers:\n    - name: app",
			want:  "spec:\n  containers:\n    - name: app\n      securityContext:\n        capabilities:\n          drop:\n            - ALL",
			edits: []pod.Edit{drop},
		},
		{
			name:  "a key without a value is filled",
			old:   "spec:\n  containers:\n  - name: app\n    securityContext: # later\n    image: a\n",
			want:  "spec:\n  containers:\n  - name: app\n    securityContext: # later\n      allowPrivilegeEscalation: false\n    image: a\n",
			edits: []pod.Edit{privilege},
		},
		{
			name:  "JSON stays JSON",
			old:   "{\n  \"spec\": {\n    \"containers\": [\n      {\n        \"name\": \"app\"\n      }\n    ]\n  }\n}\n",
			want:  "{\n  \"spec\": {\n    \"containers\": [\n      {\n        \"name\": \"app\",\n        \"securityContext\": {\"allowPrivilegeEscalation\":false}\n      }\n    ]\n  }\n}\n",
			edits: []pod.Edit{privilege},
		},
		{
			name:  "JSON with tabs and half characters stays as it is",
			old:   "{\n\t\"a\": \"\\ud83d\\ude00 \\u00e9\",\n\t\"spec\": {\n\t\t\"containers\": [{\n\t\t\t\"name\": \"app\"\n\t\t}]\n\t}\n}\n",
			want:  "{\n\t\"a\": \"\\ud83d\\ude00 \\u00e9\",\n\t\"spec\": {\n\t\t\"containers\": [{\n\t\t\t\"name\": \"app\",\n\t\t\t\"securityContext\": {\"allowPrivilegeEscalation\":false}\n\t\t}]\n\t}\n}\n",
			edits: []pod.Edit{privilege},
		},
		{
			name:  "an empty object is filled",
			old:   "spec:\n  containers:\n  - securityContext: {}\n    name: app\n",
			want:  "spec:\n  containers:\n  - securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}\n    name: app\n",
			edits: []pod.Edit{privilege, drop},
		},
		{
			name:  "elements are appended",
			old:   "spec:\r\n  containers:\r\n  - name: app\r\n    env:\r\n    - name: A\r\n      value: \"1\"\r\n    image: a\r\n",
			want:  "spec:\r\n  containers:\r\n  - name: app\r\n    env:\r\n    - name: A\r\n      value: \"1\"\r\n    - name: NO_COLOR\r\n      value: \"1\"\r\n    image: a\r\n",
			edits: []pod.Edit{{Path: container.Child("env").Index(1), New: corev1.EnvVar{Name: "NO_COLOR", Value: "1"}}},
		},
		{
			name:  "what YAML 1.1 reads as a boolean is quoted",
			old:   "spec:\n  containers:\n  - name: app\n",
			want:  "spec:\n  containers:\n  - name: app\n    env:\n    - name: A\n      value: \"yes\"\n",
			edits: []pod.Edit{{Path: container.Child("env"), New: []corev1.EnvVar{{Name: "A", Value: "yes"}}}},
		},
		{
			name:  "an element goes, and the comments of the others stay",
			old:   "spec:\n  containers:\n  - securityContext:\n      capabilities:\n        add:\n        - NET_BIND_SERVICE # port 80\n        - SYS_ADMIN\n    name: app\n",
			want:  "spec:\n  containers:\n  - securityContext:\n      capabilities:\n        add:\n        - NET_BIND_SERVICE # port 80\n    name: app\n",
			edits: []pod.Edit{{Path: context.Child("capabilities").Child("add"), Old: []string{"NET_BIND_SERVICE", "SYS_ADMIN"}, New: []string{"NET_BIND_SERVICE"}}},
		},
		{
			name:  "the first field of an element goes",
			old:   "spec:\n  containers:\n  - ports:\n    - hostPort: 80\n      containerPort: 80 # web\n",
			want:  "spec:\n  containers:\n  - ports:\n    - containerPort: 80 # web\n",
			edits: []pod.Edit{{Path: container.Child("ports").Index(0).Child("hostPort"), Old: 80}},
		},
		{
			name:  "the last field of an object goes",
			old:   "spec:\n  containers:\n  - name: app\n    securityContext: # no\n      privileged: true\n    image: a\n",
			want:  "spec:\n  containers:\n  - name: app\n    securityContext: {} # no\n    image: a\n",
			edits: []pod.Edit{{Path: context.Child("privileged"), Old: true}},
		},
		{
			name:  "fields go from objects in the style of JSON",
			old:   "spec: {hostPID: true, containers: [{name: a}], hostIPC: true}\n",
			want:  "spec: {containers: [{name: a}]}\n",
			edits: []pod.Edit{{Path: spec.Child("hostPID"), Old: true}, {Path: spec.Child("hostIPC"), Old: true}},
		},
		{
			name:  "a list is replaced",
			old:   "spec:\n  containers:\n  - securityContext:\n      capabilities:\n        drop:\n        - NET_RAW\n    name: app\n",
			want:  "spec:\n  containers:\n  - securityContext:\n      capabilities:\n        drop:\n        - ALL\n    name: app\n",
			edits: []pod.Edit{{Path: context.Child("capabilities").Child("drop"), Old: []string{"NET_RAW"}, New: []string{"ALL"}}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, refused := Apply([]byte(test.old), test.edits)
			if len(refused) > 0 {
				t.Fatalf("got refused %v, want none", refused)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// TestApplyRefuses has edits that would change more than their field.
func TestApplyRefuses(t *testing.T) {
	privilege := []pod.Edit{{Path: context.Child("allowPrivilegeEscalation"), New: false}}
	for _, test := range []struct {
		name, text, want string
		edits            []pod.Edit
	}{
		{"an alias", "x: &c {privileged: true}\nspec: {containers: [{securityContext: *c}]}\n", "it is in the alias *c, which other fields may share", privilege},
		{"an anchor", "spec: {containers: [{securityContext: &c {privileged: true}}], x: *c}\n", "it is in the anchor &c, which other fields may share", privilege},
		{"a merge key", "x: &c {securityContext: {privileged: true}}\nspec:\n  containers:\n  - <<: *c\n    name: a\n", "it may come from a merge key (<<), which other fields share", privilege},
		{"a text of several lines", "spec:\n  containers:\n  - image: >-\n      nginx\n", "its value is written over several lines", []pod.Edit{{Path: container.Child("image"), New: "a"}}},
		{"no list", "spec: {}\n", "the list it belongs to is missing", privilege},
		{"no object", "spec: text\n", `"text" is neither an object nor a list`, privilege},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, refused := Apply([]byte(test.text), test.edits)
			if string(got) != test.text || len(refused) != 1 || refused[0].Err.Error() != test.want {
				t.Errorf("got %q, refused %v, want the text as it was and %q", got, refused, test.want)
			}
		})
	}
}

// FuzzApply requires that no text makes an edit panic, and that what comes out
// reads as the old object with the field changed: Apply proves that itself, so a
// refused edit must leave the text.
func FuzzApply(f *testing.F) {
	f.Add("spec:\n  containers:\n  - name: a\n", "securityContext")
	f.Add("spec: {containers: [{'a': \"b\"}]}", "x")
	f.Add("- a\n-\n", "")
	f.Fuzz(func(t *testing.T, text, field string) {
		got, refused := Apply([]byte(text), []pod.Edit{{Path: container.Child(field), New: "x"}})
		if len(refused) > 0 && string(got) != text {
			t.Errorf("got %q from a refused edit, want the text as it was", got)
		}
		if len(refused) == 0 && !strings.Contains(string(got), "x") {
			t.Errorf("got %q, want the value in it", got)
		}
	})
}
