package input

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// FuzzBlock requires that the block reader, of what it takes, understands what
// the YAML library understands, and puts each field where the library puts it.
func FuzzBlock(f *testing.F) {
	for _, pattern := range []string{"../validate/testdata/*/*.yaml", "../examples/*.yaml", "../policies/presets/*.yaml", "../manifests/*/*.yaml", "../manifests/*/*/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if len(data) < 8<<10 {
				f.Add(data)
			}
		}
	}
	for _, text := range blockTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range split(data) {
			compareBlock(t, p.text)
		}
	})
}

// compareBlock reports whether the block reader takes a text.
func compareBlock(t *testing.T, text []byte) bool {
	t.Helper()
	got, places, ok := readBlock(text)
	if !ok {
		return false
	}
	want, err := sigsyaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("the block reader takes %q, and the library says %v", text, err)
	}
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatalf("the block reader makes %q of %q: %v", got, text, err)
	}
	if err := json.Unmarshal(want, &b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b, a); diff != "" {
		t.Fatalf("of %q (-library +block reader):\n%s", text, diff)
	}
	comparePlaces(t, text, places)
	return true
}

func comparePlaces(t *testing.T, text []byte, places placeTree) {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil || len(root.Content) == 0 {
		return
	}
	var walk func(node *yaml.Node, path []string)
	walk = func(node *yaml.Node, path []string) {
		for i := range node.Content {
			var next []string
			child := node.Content[i]
			switch {
			case node.Kind == yaml.MappingNode && i%2 == 1:
				next = append(path[:len(path):len(path)], node.Content[i-1].Value)
			case node.Kind == yaml.SequenceNode:
				next = append(path[:len(path):len(path)], itoa(i))
			default:
				continue
			}
			wantLine, wantColumn := yamlTree{root.Content[0]}.position(next)
			line, column := places.position(next)
			if line != wantLine || column != wantColumn && child.ShortTag() != "!!null" {
				t.Fatalf("%v in %q: got line %d, column %d, want %d, %d", next, text, line, column, wantLine, wantColumn)
			}
			walk(child, next)
		}
	}
	walk(root.Content[0], nil)
}

func itoa(i int) string { return string(mustJSON(i)) }

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// blockTexts are texts at the edge of what the block reader takes.
var blockTexts = []string{
	"a: b\n", "a:\n- b\n- c: d\n  e: f\n", "a: {b: c, d: [e, 'f', \"g\"]}\n", "a: |\n  x\n\n   y\n\nb: |-\n  z\n",
	"a: yes\nb: on\nc: ~\nd: 012\ne: 1.5\nf: 1e3\ng: 0x1F\nh: 2001-01-01\ni: 1_000\nj: +5\nk: .5\nl: 1.27.0\nm: 10.0.0.1\n",
	"on: a\n", "1: a\n", "a: b: c\n", "a: b #c\nd: e#f\n", "a: b\n  c\n", "a:\n  b\n", "- - a\n", "a: &x b\nc: *x\n", "<<: {a: b}\n",
	"a: !!str 1\n", "a: 'it''s'\nb: \"x\\ny\"\n", "? a\n: b\n", "a: [b, c,]\n", "a: [b: c]\n", "a: {b}\n", "a: [\n  b]\n", "a: >\n  b\n",
	"a: |2\n  b\n", "a: |\n\n  b\n", "a: |\n  b", "a: |\n  # b\n# c\nd: e\n", "a: -\n", "a: - b\n", "a: --b\n", "-\n  a: b\n-\n", "- a\n-b\n",
	"\"a\": b\n'c': d\n", "a: b\na: c\n", "  a: b\n", "a:b\n", "a: é # ü\n", "a: {é: b}\n", "a:\n  - b\n  c: d\n", "- a: b\n  c:\n  - d\n- e\n",
	"---\na: b\n", "--- # x\na: b\n", "--- a\n", "a: b\n...\n", "a: ---\n", "a: ...\n", "a: 12:30\n", "a: [12:30]\n", "a: 'x' 'y'\n", "a: \"x\"y\n", "a: [x]y\n",
}
