package pod

import (
	"strconv"
	"testing"

	"github.com/go-json-experiment/json"
)

// pointers are those of all values of a document, each with whether it is null.
func pointers(value any, at string, found map[string]bool) {
	found[at] = value == nil
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			pointers(field, at+"/"+escape(name), found)
		}
	case []any:
		for i, element := range v {
			pointers(element, at+"/"+strconv.Itoa(i), found)
		}
	}
}

// FuzzIndex holds that of any document that Decode could read everything is found
// and nothing else, and that what it does not read is no way into an endless loop.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{
		`{"spec":{"containers":[{"name":"a"},{"name":"b","env":[]}],"x":null},"metadata":{}}`,
		` { "a" : [ 1 , -2.5e3 , true , null , "x,]}\\\"" , [ ] , { } ] , "b\u0063~/" : { "\\" : "\\\\" } } `,
		`[[1,2],[[]],{"":{"":0}}]`, `{"spec":`, `{"a":"`, `[,]`, `{"a" 1}`, `[1 2]`, `}`, `"x`, `{"\`, ``,
	} {
		f.Add([]byte(seed), "/spec/containers/1/env")
	}
	f.Fuzz(func(t *testing.T, raw []byte, pointer string) {
		if pointer == "" || pointer[0] != '/' {
			pointer = "/" + pointer
		}
		_, err := (&index{raw: raw}).has(pointer)
		var document any
		if json.Unmarshal(raw, &document) != nil {
			return // found or not, it has come to an end
		}
		if err != nil {
			t.Fatalf("%s in %q: %v", pointer, raw, err)
		}
		found := map[string]bool{}
		pointers(document, "", found)
		x := &index{raw: raw}
		for at, null := range found {
			if at == "" {
				continue
			}
			if has, err := x.has(at); err != nil || has == null {
				t.Fatalf("%s in %q: got found: %v (%v), want %v", at, raw, has, err, !null)
			}
			if has, err := x.has(at + "/nothing"); err != nil || has && !known(found, at+"/nothing") {
				t.Fatalf("%s/nothing in %q: got found: %v (%v), want nothing", at, raw, has, err)
			}
		}
	})
}

func known(found map[string]bool, pointer string) bool {
	null, ok := found[pointer]
	return ok && !null
}
