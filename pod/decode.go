package pod

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

// metadata is what rules read of metav1.ObjectMeta. Managed fields are often
// half of an object's bytes, and passing over them is most of what makes
// decoding here fast.
type metadata struct {
	Name            string                  `json:"name"`
	GenerateName    string                  `json:"generateName"`
	Namespace       string                  `json:"namespace"`
	UID             types.UID               `json:"uid"`
	Labels          map[string]string       `json:"labels"`
	Annotations     map[string]string       `json:"annotations"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
}

func (m metadata) objectMeta() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, GenerateName: m.GenerateName, Namespace: m.Namespace, UID: m.UID,
		Labels: m.Labels, Annotations: m.Annotations, OwnerReferences: m.OwnerReferences,
	}
}

type template struct {
	Metadata metadata       `json:"metadata"`
	Spec     corev1.PodSpec `json:"spec"`
}

func (t *template) into(w *Workload) {
	if t == nil {
		return
	}
	meta := t.Metadata.objectMeta()
	w.Template, w.Spec = &meta, &t.Spec
}

// The three shapes of objects with a template. A pointer tells a template that
// is absent from one that is empty.
type (
	withTemplate struct { // PodTemplate
		Metadata metadata  `json:"metadata"`
		Template *template `json:"template"`
	}
	withSpec struct { // the apps kinds, Job, ReplicationController
		Metadata metadata `json:"metadata"`
		Spec     struct {
			Template *template `json:"template"`
		} `json:"spec"`
	}
	withJobTemplate struct { // CronJob
		Metadata metadata `json:"metadata"`
		Spec     struct {
			JobTemplate struct {
				Spec struct {
					Template *template `json:"template"`
				} `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
)

// Decode reads an object of the given kind from JSON. Names are case-sensitive
// and may not be repeated, as in the API server's strict decoding; a name that
// is unknown is passed over, since it may belong to a newer API. The error names
// the path of the field that cannot be read.
func Decode(kind Kind, data []byte) (*Workload, error) {
	w := &Workload{Kind: kind}
	var err error
	switch len(kind.template) {
	case 0:
		var t template
		err = json.Unmarshal(data, &t)
		w.Metadata = t.Metadata.objectMeta()
		w.Template, w.Spec = &w.Metadata, &t.Spec
	case 1:
		var o withTemplate
		err = json.Unmarshal(data, &o)
		w.Metadata = o.Metadata.objectMeta()
		o.Template.into(w)
	case 2:
		var o withSpec
		err = json.Unmarshal(data, &o)
		w.Metadata = o.Metadata.objectMeta()
		o.Spec.Template.into(w)
	default:
		var o withJobTemplate
		err = json.Unmarshal(data, &o)
		w.Metadata = o.Metadata.objectMeta()
		o.Spec.JobTemplate.Spec.Template.into(w)
	}
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", kind.Name, fieldError(err))
	}
	return w, nil
}

// DecodeYAML reads one object of any of the nine kinds from YAML or JSON as a
// person writes it, and completes it as the API server would: see Default.
func DecodeYAML(data []byte) (*Workload, error) {
	data, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("decoding YAML: %w", err)
	}
	var object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("decoding apiVersion and kind: %w", fieldError(err))
	}
	kind, ok := KindFor(schema.FromAPIVersionAndKind(object.APIVersion, object.Kind))
	if !ok {
		return nil, fmt.Errorf("apiVersion %q, kind %q carries no pod template", object.APIVersion, object.Kind)
	}
	w, err := Decode(kind, data)
	if err != nil {
		return nil, err
	}
	Default(w)
	return w, nil
}

// Default sets what the API server sets before admission and rules judge by: a
// volume without a source is an emptyDir, and in a Pod with hostNetwork, though
// not in a template, a container port is a host port (SetDefaults_Volume and
// SetDefaults_Pod in k8s.io/kubernetes/pkg/apis/core/v1/defaults.go).
func Default(w *Workload) {
	if w.Spec == nil {
		return
	}
	for i := range w.Spec.Volumes {
		if v := &w.Spec.Volumes[i]; v.VolumeSource == (corev1.VolumeSource{}) {
			v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	if !w.Spec.HostNetwork || !w.Kind.IsPod() {
		return
	}
	for c := range w.Containers() {
		if c.Type == Ephemeral { // may not have ports
			continue
		}
		for i := range c.Ports {
			if p := &c.Ports[i]; p.HostPort == 0 {
				p.HostPort = p.ContainerPort
			}
		}
	}
}

// FieldError is what is wrong with one field of an object that cannot be decoded.
type FieldError struct {
	// Path is the field; the zero Path is the object itself.
	Path Path
	Err  error
}

// Error leads with the path.
func (e *FieldError) Error() string {
	path := e.Path.String()
	if path == "" {
		path = "the object"
	}
	return path + ": " + e.Err.Error()
}

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// fieldError rewrites the decoder's error so that it leads with the field's path
// and speaks of JSON, not of Go types.
func fieldError(err error) error {
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		e := &FieldError{Path: fromPointer(string(semantic.JSONPointer)), Err: semantic.Err}
		if e.Err == nil {
			e.Err = fmt.Errorf("got %s, expected %s", got(semantic.JSONKind), expected(semantic.GoType.Kind()))
		}
		return e
	}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		if path := fromPointer(string(syntactic.JSONPointer)); path != (Path{}) {
			return &FieldError{Path: path, Err: syntactic.Err}
		}
		return fmt.Errorf("at byte %d: %w", syntactic.ByteOffset, syntactic.Err)
	}
	return err
}

func got(kind jsontext.Kind) string {
	switch kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	default:
		return "a " + kind.String()
	}
}

func expected(kind reflect.Kind) string {
	switch kind {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	default:
		return kind.String()
	}
}
