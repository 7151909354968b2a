package policies

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// maxValues bounds what a document may unfold to: aliases of aliases grow without bound in few bytes (CVE-2019-11253).
const maxValues = 50_000

// maxProblems bounds what is said about a document, and after how many problems no further document is read.
const maxProblems = 1000

// document reads one document. It follows the Go type while it walks the YAML, because that is the only way to have the line, the path and the
// type that was wanted together in a message, and to go on after the first problem.
type document struct {
	source   string
	number   int
	offset   int            // lines of the source before this document
	kinds    []string       // those that it may be of
	lines    map[string]int // by field path
	values   int
	problems Problems
}

// refuse notes a problem, on the line of the field or of the nearest one around it.
func (d *document) refuse(field, message string) {
	at := field
	for at != "" && d.lines[at] == 0 {
		at = at[:max(0, strings.LastIndexAny(at, ".["))]
	}
	d.refuseLine(d.lines[at], field, message)
}

func (d *document) refuseLine(line int, field, message string) {
	switch {
	case len(d.problems) > maxProblems:
		return
	case len(d.problems) == maxProblems:
		line, field, message = 0, "", fmt.Sprintf("has more problems than these %d", maxProblems)
	}
	d.problems = append(d.problems, Problem{Source: d.source, Document: d.number, Line: line, Field: field, Message: message})
}

// decode returns a *PodPolicy or a *PolicyException, and nil when there is none to speak of: the document is empty, does not parse or is of
// another kind. One that comes back together with problems has only the fields that could be read.
func (d *document) decode(text string) metav1.Object {
	root := d.parse(text)
	if root == nil {
		return nil
	}
	switch d.kind(root) {
	case Kind:
		return decodeAs(d, root, &PodPolicy{})
	case ExceptionKind:
		return decodeAs(d, root, &PolicyException{})
	}
	return nil
}

// decodeAs reads the document into an object.
func decodeAs(d *document, root *yaml.Node, object metav1.Object) metav1.Object {
	fields := d.value(root, reflect.TypeOf(object), "")
	if d.values > maxValues {
		d.refuse("", fmt.Sprintf("has more than %d values, its aliases counted each time", maxValues))
		return nil
	}
	data, err := json.Marshal(fields)
	if err != nil {
		d.refuse("", err.Error())
		return nil
	}
	strict, err := kjson.UnmarshalStrict(data, object)
	if err := errors.Join(append(strict, err)...); err != nil {
		// The walk has looked at everything that there is; this is for what it may miss.
		d.refuse("", strings.ReplaceAll(err.Error(), "\n", "; "))
		return nil
	}
	return object
}

// parse returns nil for an empty document, and for one that is not YAML.
func (d *document) parse(text string) *yaml.Node {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var root, next yaml.Node
	err := decoder.Decode(&root)
	if err == nil {
		if err = decoder.Decode(&next); err == nil {
			d.refuseLine(d.line(&next), "", "begins a document without --- before it")
			return nil
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.refuseSyntax(err)
		return nil
	}
	if len(root.Content) == 0 || root.Content[0].ShortTag() == "!!null" {
		return nil
	}
	return root.Content[0]
}

var (
	lineOfError = regexp.MustCompile(`^line (\d+): `)
	// The parser counts lines from 0 and the scanner from 1, and both end up in the message as they are.
	parserError = regexp.MustCompile(`^did not find expected (<|node content|'-'|key|',' or)`)
)

func (d *document) refuseSyntax(err error) {
	message, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if found := lineOfError.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		line, _ = strconv.Atoi(found[1])
		line += d.offset
		if parserError.MatchString(message) {
			line++
		}
	}
	d.refuseLine(line, "", "is not YAML: "+strings.ReplaceAll(message, "\n", " "))
}

// kind looks at apiVersion and kind first: to read a Deployment as a policy would give a page of unknown fields. It is empty where the document
// is of none of the kinds.
func (d *document) kind(root *yaml.Node) string {
	if root.Kind != yaml.MappingNode {
		d.refuseLine(d.line(root), "", fmt.Sprintf("is %s, want a %s object", describe(root), either(d.kinds)))
		return ""
	}
	got := map[string]string{}
	d.lines = map[string]int{"": d.line(root)}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		got[key.Value], d.lines[key.Value] = value.Value, d.line(key)
	}
	for _, field := range []string{"apiVersion", "kind"} {
		want := d.kinds
		if field == "apiVersion" {
			want = []string{GroupVersion().String()}
		}
		if slices.Contains(want, got[field]) {
			continue
		}
		text := fmt.Sprintf("is not set, want %s", either(want))
		if got[field] != "" {
			text = fmt.Sprintf("is %s, want %s", quote(got[field]), either(want))
		}
		d.refuse(field, text)
	}
	if len(d.problems) > 0 {
		return ""
	}
	return got["kind"]
}

func (d *document) line(n *yaml.Node) int { return n.Line + d.offset }

// value returns what n holds as JSON has it, and nil where it is not what t wants.
func (d *document) value(n *yaml.Node, t reflect.Type, path string) any {
	if d.values++; d.values > maxValues {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.ShortTag() == "!!null" {
		d.null(t, path)
		return nil
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		// Times and durations, which are text. Of the structured ones metadata has only managedFields, and a policy is not read for those.
		if n.Kind == yaml.ScalarNode {
			return d.moment(n, t, path)
		}
		return nil
	}
	switch {
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		return d.object(n, fieldsOf(t), path)
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		return d.table(n, t.Elem(), path)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, element := range n.Content {
			at := fmt.Sprintf("%s[%d]", path, i)
			d.lines[at] = d.line(element)
			list[i] = d.value(element, t.Elem(), at)
		}
		return list
	case n.Kind == yaml.ScalarNode:
		return d.scalar(n, t, path)
	}
	d.wrongType(n, t, path)
	return nil
}

// null is an error in spec: who writes "digests:" and nothing after it wants the rule on, and would get it off.
func (d *document) null(t reflect.Type, path string) {
	if !strings.HasPrefix(path, "spec") {
		return
	}
	message := "is empty; write a value, or leave it out"
	if t.Kind() == reflect.Struct {
		message = "is empty; write {} for its defaults, or leave it out"
	}
	d.refuse(path, message)
	if last := &d.problems[len(d.problems)-1]; last.Field == path {
		last.Empty = true
	}
}

func (d *document) object(n *yaml.Node, fields map[string]reflect.Type, path string) any {
	values := map[string]any{}
	d.pairs(n, path, func(key, value *yaml.Node, at string) {
		t, known := fields[key.Value]
		if !known {
			d.refuse(at, unknownField(key.Value, fields))
			return
		}
		values[key.Value] = d.value(value, t, at)
	})
	return values
}

func (d *document) table(n *yaml.Node, t reflect.Type, path string) any {
	values := map[string]any{}
	d.pairs(n, path, func(key, value *yaml.Node, at string) { values[key.Value] = d.value(value, t, at) })
	return values
}

// pairs visits the fields of a mapping; a key that comes twice, or is no text, is a problem and not visited.
func (d *document) pairs(n *yaml.Node, path string, visit func(key, value *yaml.Node, at string)) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if d.values++; d.values > maxValues {
			return // unknown fields count too
		}
		if key.ShortTag() == "!!merge" {
			d.refuseLine(d.line(key), path, `has the merge key "<<", which is not supported; write the fields out`)
			continue
		}
		if key.Kind != yaml.ScalarNode {
			d.refuseLine(d.line(key), path, fmt.Sprintf("has %s as a key; write a name in its place", describe(key)))
			continue
		}
		at := join(path, key.Value)
		if line, seen := first[key.Value]; seen {
			d.refuseLine(d.line(key), at, fmt.Sprintf("is set twice, first on line %d", line))
			continue
		}
		first[key.Value] = d.line(key)
		d.lines[at] = d.line(key)
		visit(key, value, at)
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// join writes paths as k8s.io/apimachinery's field.Path does; keys of labels go into brackets, since they have dots.
func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + strings.Trim(quote(key), `"`) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}
