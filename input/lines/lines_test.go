package lines

import (
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestMap(t *testing.T) {
	for _, test := range []struct {
		name, text   string
		line, column int // of key b as an editor shows it
	}{
		{"line feeds", "a: 1\nb: 2\n", 2, 1},
		{"carriage returns and line feeds", "a: 1\r\nb: 2\r\n", 2, 1},
		{"carriage returns alone", "a: 1\rb: 2\r", 2, 1},
		{"one carriage return among line feeds", "c: 0\na: 1\rb: 2\n", 2, 6},
		{"a line separator", "a: \"x\u2028y\"\nb: 2\n", 2, 1},
		{"a line separator before the key", "{a: \"x\u2028y\", b: 2}\n", 1, 12},
		{"a paragraph separator", "a: \"x\u2029y\"\nb: 2\n", 2, 1},
		{"a next line", "a: \"x\u0085y\"\nb: 2\n", 2, 1},
		{"a separator in a comment", "a: 1 # x\u2028# y\nb: 2\n", 2, 1},
		{"separators in a block of text", "a: |\n  x\u2028  y\u0085  z\nb: 2\n", 3, 1},
		{"characters of many bytes", "{a: \"ü\u2028ü\", b: 2}\n", 1, 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			var root yaml.Node
			if err := yaml.Unmarshal([]byte(test.text), &root); err != nil {
				t.Fatal(err)
			}
			Of([]byte(test.text)).Move(&root)
			content := root.Content[0].Content
			i := slices.IndexFunc(content, func(n *yaml.Node) bool { return n.Value == "b" })
			if got := content[i]; got.Line != test.line || got.Column != test.column {
				t.Errorf("got %d:%d, want %d:%d", got.Line, got.Column, test.line, test.column)
			}
		})
	}
}

func TestStarts(t *testing.T) {
	for _, test := range []struct {
		text string
		want []int
	}{
		{"", []int{0}},
		{"a\nb\n", []int{0, 2}},
		{"a\r\nb", []int{0, 3}},
		{"a\rb\r", []int{0, 2}},
		{"a\rb\nc", []int{0, 4}},
		{"a\u2028b\nc", []int{0, 6}},
	} {
		if got := Starts([]byte(test.text)); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %v, want %v", test.text, got, test.want)
		}
	}
}
