package validate

import (
	"reflect"
	"strings"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies/expression"
)

// locate completes a finding with the field that it is about, which is the one that
// all fields lie in which the expression reads, and with the value of the field, by
// which a finding on an update is known to be an old one.
func (e *Expressions) locate(f *pod.Finding, reads expression.Reads) {
	w := e.in.Workload
	fields, ofObject := reads.Field()
	var root any = expression.Template{Metadata: w.Template, Spec: w.Spec}
	if !ofObject {
		f.Path = w.TemplatePath()
	} else if e.in.Object != nil {
		root, _ = e.object() // one that cannot be decoded has no value to show
	}
	if len(fields) == 0 && f.Path == (pod.Path{}) {
		f.Path = w.SpecPath() // the object as a whole has no path that can be read
	}
	value := reflect.ValueOf(root)
	for _, name := range fields {
		f.Path = f.Path.Child(name)
		value = fieldOf(value, name)
	}
	value = dereference(value)
	if !value.IsValid() || value.IsZero() {
		return
	}
	f.Value = value.Interface()
	switch value.Kind() {
	case reflect.Struct, reflect.Map, reflect.Slice:
		f.Whole = true
		if labels, ok := f.Value.(map[string]string); ok && strings.HasSuffix(f.Path.String(), "labels") && len(labels) > 0 {
			f.Whole = false
		}
	}
}

// fieldOf is the field of a struct that has a name in JSON, or the entry of a map;
// the zero Value where there is none.
func fieldOf(v reflect.Value, name string) reflect.Value {
	switch v = dereference(v); v.Kind() {
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return v.MapIndex(reflect.ValueOf(name).Convert(v.Type().Key()))
		}
	case reflect.Struct:
		for field, value := range v.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == name {
				return value
			}
			if field.Anonymous && key == "" {
				if inner := fieldOf(value, name); inner.IsValid() {
					return inner
				}
			}
		}
	}
	return reflect.Value{}
}

func dereference(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}
