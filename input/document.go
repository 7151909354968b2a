package input

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/portcullis-dev/portcullis/pod"
)

// Document is one object: a document of a file, or an item of a List in one.
type Document struct {
	// Source is the path as given plus what the walk added, "-" for standard input.
	// For what a chart or a kustomization renders it is the template or the folder.
	Source string
	// Index is the place of the document in Source, from 1.
	Index int
	// Item is the path of the object in the document: items[2] of a List; the zero
	// Path where the document is the object.
	Item pod.Path

	// APIVersion and Kind are empty for what is not a Kubernetes object.
	APIVersion, Kind string
	// Namespace is the object's, or Options.Namespace where it has none.
	Namespace string
	// Name is the object's, or its generateName.
	Name string
	// Labels are the object's own.
	Labels map[string]string
	// Workload is nil for what carries no pod template. It is completed as the API
	// server would, see pod.Default.
	Workload *pod.Workload

	text *text
}

// Raw is the text of the whole document as it stands in the file, its --- line
// included. The items of a List share it. Do not modify it.
func (d *Document) Raw() []byte { return d.text.raw }

// Offset is the place of Raw in the file, in bytes.
func (d *Document) Offset() int { return d.text.offset }

// Line is the line of the file on which Raw begins, from 1.
func (d *Document) Line() int { return d.text.line + 1 }

// Rendered reports whether the text is what a chart or a kustomization made, so
// that its lines are those of no file.
func (d *Document) Rendered() bool { return d.text.rendered }

// Path is a field of the object as a path in the document.
func (d *Document) Path(field pod.Path) pod.Path { return d.Item.Join(field) }

// JSON is the object as JSON, with nothing defaulted or left out.
func (d *Document) JSON() ([]byte, error) {
	data := jsontext.Value(d.text.raw)
	if !d.text.json {
		var err error
		if data, err = d.text.toJSON(); err != nil {
			return nil, err
		}
	}
	for _, token := range d.Item.Tokens() {
		if index, err := strconv.Atoi(token); err == nil {
			var elements []jsontext.Value
			if err := json.Unmarshal(data, &elements); err != nil {
				return nil, err
			}
			data = elements[index]
			continue
		}
		var fields map[string]jsontext.Value
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, err
		}
		data = fields[token]
	}
	return data, nil
}

// header is what is read of any object before its kind is known.
type header struct {
	APIVersion jsontext.Value `json:"apiVersion"`
	Kind       jsontext.Value `json:"kind"`
	Metadata   jsontext.Value `json:"metadata"`
	Items      jsontext.Value `json:"items"`
}

// text reads a value of the header; what is no string is none.
func (h *header) string(v jsontext.Value) string {
	var s string
	if v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// metadata is what every kind has.
type metadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Namespace    string            `json:"namespace"`
	Labels       map[string]string `json:"labels"`
}

// maxNested bounds lists in lists.
const maxNested = 4

// reader turns the text of one document into objects.
type reader struct {
	file  *File
	index int
	text  *text
	yield func(*Document, *Problem) bool
	// outside is set while the caller has an object: a panic then is not about the text.
	outside bool
}

// give yields to the caller.
func (r *reader) give(d *Document, p *Problem) bool {
	r.outside = true
	more := r.yield(d, p)
	r.outside = false
	return more
}

// guard makes a problem of what the reader does not cope with, so that one document
// does not hide the others. It is to be deferred.
func (r *reader) guard(more *bool) {
	if r.outside {
		return
	}
	if reason := recover(); reason != nil {
		*more = r.give(nil, &Problem{
			Source: r.file.Name, Document: r.index, Line: r.text.lineOf(1),
			Message: "cannot be read because of a mistake in portcullis, please report it: " + quote(fmt.Sprint(reason)),
		})
	}
}

// read yields the objects in data, the JSON of the document or of an item of it.
// It returns false where the caller wants no more.
func (r *reader) read(data jsontext.Value, item pod.Path, inherited header, depth int) bool {
	if data.Kind() != '{' {
		return r.notKubernetes(item, "is "+describe(data.Kind())+", and not a Kubernetes object")
	}
	var h header
	if err := json.Unmarshal(data, &h); err != nil {
		return r.refuse(item, err)
	}
	if h.Kind == nil && h.APIVersion == nil { // an item of a PodList, as the API server writes it
		h.Kind, h.APIVersion = inherited.Kind, inherited.APIVersion
	}
	d := &Document{
		Source: r.file.Name, Index: r.index, Item: item, text: r.text,
		APIVersion: h.string(h.APIVersion), Kind: h.string(h.Kind),
	}
	if d.Kind == "" {
		return r.notKubernetes(item, "is not a Kubernetes object: it has no kind")
	}
	if list, ok := strings.CutSuffix(d.Kind, "List"); ok && h.Items.Kind() == '[' {
		return r.list(h, list, item, depth)
	}
	if err := r.object(d, data, h); err != nil {
		return r.refuse(item, err)
	}
	return r.give(d, nil)
}

// object completes d.
func (r *reader) object(d *Document, data jsontext.Value, h header) error {
	kind, ok := pod.KindFor(schema.FromAPIVersionAndKind(d.APIVersion, d.Kind))
	if !ok {
		if err := misspelt(d.APIVersion, d.Kind); err != nil {
			return err
		}
	}
	if ok {
		w, err := pod.Decode(kind, data)
		if err != nil {
			return err
		}
		pod.Default(w)
		d.Workload = w
		d.Name, d.Namespace, d.Labels = w.DisplayName(), w.Metadata.Namespace, w.Metadata.Labels
	} else if h.Metadata.Kind() == '{' {
		var m metadata
		if err := json.Unmarshal(h.Metadata, &m); err == nil { // whose kind we do not judge need not be right
			d.Name, d.Namespace, d.Labels = m.Name, m.Namespace, m.Labels
			if d.Name == "" {
				d.Name = m.GenerateName
			}
		}
	}
	if d.Namespace == "" {
		d.Namespace = r.file.namespace
	}
	return nil
}

// list yields the items of a List, or of a PodList, whose items need not say
// their kind.
func (r *reader) list(h header, element string, item pod.Path, depth int) bool {
	if depth == maxNested {
		return r.refuse(item, errors.New("has lists in lists in lists; write the objects as documents of their own"))
	}
	var items []jsontext.Value
	if err := json.Unmarshal(h.Items, &items); err != nil {
		return r.refuse(item, err)
	}
	inherited := header{APIVersion: h.APIVersion}
	if element != "" {
		inherited.Kind = jsontext.Value(`"` + element + `"`)
	}
	for i, data := range items {
		if !r.read(data, item.Child("items").Index(i), inherited, depth+1) {
			return false
		}
	}
	return true
}

// notKubernetes passes over what a folder has beside manifests, and refuses it
// where somebody names the file.
func (r *reader) notKubernetes(item pod.Path, message string) bool {
	if r.file.named || item != (pod.Path{}) {
		return r.refuse(item, errors.New(message+"; give objects with apiVersion and kind"))
	}
	return r.give(&Document{Source: r.file.Name, Index: r.index, text: r.text}, nil)
}

// refuse yields a problem, on the line of the field that the error is about.
func (r *reader) refuse(item pod.Path, err error) bool {
	p := &Problem{Source: r.file.Name, Document: r.index, Message: err.Error()}
	field := item
	if at := (*pod.FieldError)(nil); errors.As(err, &at) {
		field = item.Join(at.Path)
		p.Message = at.Err.Error()
	}
	p.Field = field.String()
	p.Line, p.Column = r.text.position(field)
	return r.give(nil, p)
}

// misspelt is the error of an object that is meant for one of the nine kinds and
// that no API server takes as such. To count it as something else would be a
// silent pass.
func misspelt(apiVersion, kind string) error {
	kinds := pod.Kinds()
	i := slices.IndexFunc(kinds, func(k pod.Kind) bool { return strings.EqualFold(k.Name, kind) })
	if i < 0 {
		return unserved(apiVersion, kind)
	}
	want := kinds[i]
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err == nil && gv.Group != want.Group && gv.Group != "extensions" && gv.Group != "" {
		return nil // somebody's own kind, such as batch.volcano.sh Job
	}
	if kind != want.Name && gv.Group != want.Group {
		return nil
	}
	return fmt.Errorf("apiVersion %s, kind %s is nothing that Kubernetes serves; write apiVersion: %s, kind: %s",
		quote(apiVersion), quote(kind), want.APIVersion(), want.Name)
}

// unserved is the error of a kind that is almost one of the nine, in a group that is
// Kubernetes' own, and in which no version has a kind of that name.
func unserved(apiVersion, kind string) error {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil || apiVersion == "" || len(scheme.Scheme.VersionsForGroupKind(gv.WithKind(kind).GroupKind())) > 0 {
		return nil
	}
	var names []string
	for _, k := range pod.Kinds() {
		if k.Group == gv.Group {
			names = append(names, k.Name)
		}
	}
	near := pod.Nearest(kind, names)
	if near == "" {
		return nil
	}
	return fmt.Errorf("apiVersion %s, kind %s is nothing that Kubernetes serves; did you mean %s?", quote(apiVersion), quote(kind), near)
}

func describe(kind jsontext.Kind) string {
	switch kind {
	case '[':
		return "a list"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 'n':
		return "null"
	default:
		return kind.String()
	}
}
