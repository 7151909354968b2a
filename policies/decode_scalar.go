package policies

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scalar is as strict as the API server: it converts nothing, so that a version of 1.30 does not become v1.3.
func (d *document) scalar(n *yaml.Node, t reflect.Type, path string) any {
	switch tag := n.ShortTag(); {
	case t.Kind() == reflect.String && (tag == "!!str" || tag == "!!timestamp") && !isOldBool(n):
		return n.Value
	case t.Kind() == reflect.Bool && tag == "!!bool":
		var flag bool
		if n.Decode(&flag) == nil {
			return flag // True and TRUE are booleans too
		}
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64 && tag == "!!int":
		var number int64
		if n.Decode(&number) == nil && !reflect.Zero(t).OverflowInt(number) {
			return number
		}
		d.refuse(path, fmt.Sprintf("is %s, which is out of range; want a whole number of at most %d", describe(n), uint64(1)<<(t.Bits()-1)-1))
		return nil
	}
	d.wrongType(n, t, path)
	return nil
}

// durationForm is what the CRD takes, and less than Go does: 1.5h and 100ms are refused there.
var durationForm = regexp.MustCompile(`^([0-9]{1,6}h([0-9]{1,6}m)?([0-9]{1,6}s)?|[0-9]{1,6}m([0-9]{1,6}s)?|[0-9]{1,6}s)$`)

// moment is the text of a time or of a duration.
func (d *document) moment(n *yaml.Node, t reflect.Type, path string) any {
	switch t {
	case reflect.TypeFor[metav1.Time]():
		if _, err := time.Parse(time.RFC3339, n.Value); err != nil {
			d.refuse(path, fmt.Sprintf("is %s, want a time such as 2026-12-31T23:59:59Z", describe(n)))
			return nil
		}
	case reflect.TypeFor[metav1.Duration]():
		if !durationForm.MatchString(n.Value) {
			d.refuse(path, fmt.Sprintf("is %s, want a duration such as 720h or 1h30m", describe(n)))
			return nil
		}
	}
	return n.Value
}

// wrongType says what is there, what is wanted, and the way from one to the other where it is short.
func (d *document) wrongType(n *yaml.Node, t reflect.Type, path string) {
	want, hint := "a whole number", ""
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		want = "an object"
	case reflect.Slice:
		want = "a list"
		if n.Kind == yaml.ScalarNode {
			hint = fmt.Sprintf(": write [%s]", strings.Trim(quote(n.Value), `"`))
		}
	case reflect.Bool:
		want = "true or false"
	case reflect.String:
		want = "a string"
		if n.Kind == yaml.ScalarNode {
			hint = ": put it in quotes"
		}
	}
	d.refuse(path, fmt.Sprintf("is %s, want %s%s", describe(n), want, hint))
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "an object"
	case yaml.SequenceNode:
		return "a list"
	}
	value := strings.Trim(quote(n.Value), `"`)
	switch tag := n.ShortTag(); {
	case tag == "!!int" || tag == "!!float":
		return "the number " + value
	case tag == "!!bool":
		return "the boolean " + value
	case isOldBool(n):
		return "the boolean " + value + " of YAML 1.1, which Kubernetes reads"
	}
	return "the string " + quote(n.Value)
}

// isOldBool finds the words that kubectl, which reads YAML 1.1, takes for booleans and this parser for text. Without it a file would pass here
// and fail there.
func isOldBool(n *yaml.Node) bool {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle | yaml.TaggedStyle
	return n.Style&quoted == 0 && slices.Contains([]string{"y", "n", "yes", "no", "on", "off"}, strings.ToLower(n.Value))
}

// fieldsOf returns the fields of a struct by their JSON names; those of an inlined struct are its own.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && field.Anonymous {
			maps.Copy(fields, fieldsOf(field.Type))
			continue
		}
		fields[name] = field.Type
	}
	return fields
}

func unknownField(key string, fields map[string]reflect.Type) string {
	known := slices.Sorted(maps.Keys(fields))
	if near := nearest(key, known); near != "" {
		return fmt.Sprintf("unknown field; did you mean %s?", near)
	}
	return "unknown field; the fields here are " + strings.Join(known, ", ")
}
