package policies

import (
	"fmt"
	"strings"
	"testing"
)

// TestLongKeysOfJSON reads what the API server sends of a policy with long names in a list of type set: in managedFields each name is a key, which
// is longer than YAML allows.
func TestLongKeysOfJSON(t *testing.T) {
	for _, length := range []int{0, 990, 1014, 1024, 3000} {
		names := []string{"u" + strings.Repeat("a", length) + "1", "u" + strings.Repeat("a", length) + "2", `q\"` + strings.Repeat(`é`, length/2)}
		text := `{"apiVersion": "portcullis.dev/v1alpha1", "kind": "PodPolicy", "metadata": {"name": "p", "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec":{"f:match":{"f:excludeUsernames":{".":{}` +
			fmt.Sprintf(`, "v:\"%s\"": {}, "v:\"%s\"" : {}, "v:\"%s\"":{}`, names[0], names[1], names[2]) + `}}}}}]},` + "\n" +
			`"spec": {"match": {"excludeUsernames": ["` + strings.Join(names, `", "`) + `"]}, "mutate": {"digests": {}},` + "\n" +
			`"mod": "Warn"}}`
		list, err := Load([]byte(strings.Replace(text, `,`+"\n"+`"mod": "Warn"`, "", 1)), "p.json")
		if length <= 1014 && (err != nil || len(list[0].Spec.Match.ExcludeUsernames) != 3 || list[0].Spec.Match.ExcludeUsernames[1] != names[1]) {
			t.Errorf("%d: got %v, want the policy with its names", length, err)
		}
		if problems := ReviewPolicy([]byte(text)); strings.Contains(problems.Error(), "YAML") || !strings.Contains(problems.Error(), "spec.mod: unknown field; did you mean mode?") {
			t.Errorf("%d: got %.300s, want the unknown field", length, problems)
		}
		if _, err := Load([]byte(text), "p.json"); err == nil || !strings.Contains(err.Error(), "p.json: document 1, line 3: spec.mod: unknown field") {
			t.Errorf("%d: got %.300v, want the unknown field on its line", length, err)
		}
	}
	// Keys that are too long where it counts are told by their beginning, each.
	text := `{"apiVersion": "portcullis.dev/v1alpha1", "kind": "PodPolicy", "metadata": {"name": "p"}, "spec": {"mutate": {"digests": {}}, "` + strings.Repeat("b", 2000) + `": 1, "` + strings.Repeat("b", 2001) + `": 1}}`
	problems := ReviewPolicy([]byte(text))
	for _, p := range problems {
		if !strings.HasPrefix(p.Field, "spec[bbbb") || !strings.HasPrefix(p.Message, "unknown field") {
			t.Errorf("got %v, want an unknown field", p)
		}
	}
	if len(problems) != 2 {
		t.Errorf("got %v, want two unknown fields", problems)
	}
}

// TestSurrogatesOfJSON reads characters that a writer of JSON has escaped in two parts.
func TestSurrogatesOfJSON(t *testing.T) {
	const text = `{"apiVersion": "portcullis.dev/v1alpha1", "kind": "PodPolicy", "metadata": {"name": "p", "annotations": {"a": "\ud83d\uDE80 \\ud83d <\u00e9>"}}, "spec": {"mutate": {"digests": {}}}}`
	list, err := Load([]byte(text), "p.json")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := list[0].Annotations["a"], "🚀 \\ud83d <é>"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
