package pod

import (
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// UnknownField is a field of an object that the API does not have.
type UnknownField struct {
	Path Path
	// Meant is the field that the name is nearly that of, the zero Path where there is
	// none.
	Meant Path
}

// Strict holds the whole of an object against the type that the API has of its kind,
// as the API server does, where Decode reads what rules need. It returns the fields
// that there are not, in the order of their names. The error, a *FieldError, names the
// first field whose value is of another type than the API's.
//
// An API server that is newer than k8s.io/api here may know a field that this does
// not.
func Strict(kind Kind, data []byte) ([]UnknownField, error) {
	typed, _ := newObject(kind)
	if json.Unmarshal(data, typed, json.RejectUnknownMembers(true)) == nil {
		return nil, nil
	}
	// The decoder stops at the first thing that is wrong.
	unknown, err := UnknownFields(data, typed)
	if err != nil {
		return nil, err
	}
	again, _ := newObject(kind)
	if err := json.Unmarshal(data, again); err != nil {
		return unknown, fieldError(err)
	}
	return unknown, nil
}

// UnknownFields are the fields of JSON that the type of like, a struct or a pointer to
// one, does not have.
func UnknownFields(data []byte, like any) ([]UnknownField, error) {
	var object any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fieldError(err)
	}
	return unknownFields(object, reflect.TypeOf(like), Path{}, nil), nil
}

// decodesItself is what types do that are written as something else than their
// fields, such as a quantity.
var decodesItself = reflect.TypeFor[interface{ UnmarshalJSON([]byte) error }]()

// unknownFields adds what of a value its type does not have.
func unknownFields(value any, t reflect.Type, at Path, found []UnknownField) []UnknownField {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(decodesItself) {
		return found
	}
	switch value := value.(type) {
	case []any:
		if t.Kind() != reflect.Slice {
			return found
		}
		for i, element := range value {
			found = unknownFields(element, t.Elem(), at.Index(i), found)
		}
	case map[string]any:
		if t.Kind() != reflect.Struct { // the keys of a map are free
			return found
		}
		fields := map[string]reflect.Type{}
		fieldsOf(t, fields)
		for _, name := range sortedKeys(value) {
			if fieldType, ok := fields[name]; ok {
				found = unknownFields(value[name], fieldType, at.Child(name), found)
				continue
			}
			f := UnknownField{Path: at.Child(name)}
			if meant := Nearest(name, sortedKeys(fields)); meant != "" {
				f.Meant = at.Child(meant)
			}
			found = append(found, f)
		}
	}
	return found
}

// fieldsOf are the fields of a struct by their names in JSON, those of embedded
// structs included.
func fieldsOf(t reflect.Type, fields map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			fieldsOf(f.Type, fields)
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// FieldNames are the names of all fields that the nine kinds have, on all levels, with
// whether what is inside has names of somebody's own, as labels have.
func FieldNames() map[string]bool {
	names, seen := map[string]bool{}, map[reflect.Type]bool{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || seen[t] || reflect.PointerTo(t).Implements(decodesItself) {
			return
		}
		seen[t] = true
		fields := map[string]reflect.Type{}
		fieldsOf(t, fields)
		for name, fieldType := range fields {
			free, known := names[name]
			names[name] = fieldType.Kind() == reflect.Map && (free || !known)
			visit(fieldType)
		}
	}
	for _, kind := range kinds {
		object, _ := newObject(kind)
		visit(reflect.TypeOf(object))
	}
	return names
}
