package expression

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// Template is what pod stands for.
type Template struct {
	Metadata *metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec     *corev1.PodSpec    `json:"spec,omitempty"`
}

// typeOf is the type of what common.SchemalessTypedToVal makes of a Go value: the
// fields are those of its JSON.
func typeOf[T any]() *apiservercel.DeclType {
	return declare(reflect.TypeFor[T]())
}

func templateType() *apiservercel.DeclType { return typeOf[Template]() }

// workloadType has the fields of all nine kinds, since one expression serves them
// all: what no kind has is a mistake, and what only some have is read after has().
// A field that has another type in another kind has any.
func workloadType() *apiservercel.DeclType {
	var union *apiservercel.DeclType
	for _, kind := range []*apiservercel.DeclType{
		typeOf[corev1.Pod](), typeOf[corev1.PodTemplate](), typeOf[corev1.ReplicationController](),
		typeOf[appsv1.Deployment](), typeOf[appsv1.ReplicaSet](), typeOf[appsv1.StatefulSet](), typeOf[appsv1.DaemonSet](),
		typeOf[batchv1.Job](), typeOf[batchv1.CronJob](),
	} {
		union = merge("workload", union, kind)
	}
	return union
}

// requestType is that of ValidatingAdmissionPolicy, which leaves out what it has
// under other names.
func requestType() *apiservercel.DeclType {
	return without(typeOf[admissionv1.AdmissionRequest](), "uid", objectName, oldObjectName)
}

// namespaceType leaves out what ValidatingAdmissionPolicy leaves out.
func namespaceType() *apiservercel.DeclType {
	t := typeOf[corev1.Namespace]()
	without(t.Fields["metadata"].Type, "managedFields", "ownerReferences", "selfLink")
	return t
}

func without(t *apiservercel.DeclType, fields ...string) *apiservercel.DeclType {
	for _, name := range fields {
		delete(t.Fields, name)
	}
	return t
}

// merge is a type with the fields of both, under a name of its own where they
// differ.
func merge(name string, a, b *apiservercel.DeclType) *apiservercel.DeclType {
	switch {
	case a == nil || a.TypeName() == b.TypeName() && !a.IsList() && !a.IsMap():
		return b
	case !a.IsObject() || !b.IsObject():
		if a.CelType().IsExactType(b.CelType()) {
			return a
		}
		return apiservercel.DynType
	}
	fields := map[string]*apiservercel.DeclField{}
	for key, field := range a.Fields {
		fields[key] = field
	}
	for key, field := range b.Fields {
		t := field.Type
		if other, both := fields[key]; both {
			t = merge(name+"."+key, other.Type, t)
		}
		fields[key] = apiservercel.NewDeclField(key, t, false, nil, nil)
	}
	return apiservercel.NewObjectType(name, fields)
}

// declare is the type of a Go type of the Kubernetes API.
func declare(t reflect.Type) *apiservercel.DeclType {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[resource.Quantity](), reflect.TypeFor[[]byte]():
		return apiservercel.StringType // as JSON has them
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]()) {
		return apiservercel.DynType
	}
	switch t.Kind() {
	case reflect.String:
		return apiservercel.StringType
	case reflect.Bool:
		return apiservercel.BoolType
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return apiservercel.IntType
	case reflect.Float32, reflect.Float64:
		return apiservercel.DoubleType
	case reflect.Slice:
		return apiservercel.NewListType(declare(t.Elem()), -1)
	case reflect.Map:
		return apiservercel.NewMapType(apiservercel.StringType, declare(t.Elem()), -1)
	case reflect.Struct:
		fields := map[string]*apiservercel.DeclField{}
		addFields(fields, t)
		return apiservercel.NewObjectType(nameOf(t), fields)
	}
	return apiservercel.DynType
}

// addFields adds the fields that a struct has in JSON.
func addFields(fields map[string]*apiservercel.DeclField, t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && (name == "" || strings.Contains(options, "inline")):
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			addFields(fields, embedded)
		case name != "" && name != "-" && f.IsExported():
			// A word that CEL reserves is written as it is after a dot; the type provider
			// knows it by its escaped form.
			if escaped, ok := apiservercel.Escape(name); ok {
				fields[escaped] = apiservercel.NewDeclField(escaped, declare(f.Type), false, nil, nil)
			}
		}
	}
}

// nameOf is what messages call a type: core.v1.Container.
func nameOf(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	if last := len(parts) - 1; last > 0 && strings.HasPrefix(parts[last], "v") {
		return strings.Join(append(slices.Clone(parts[last-1:]), t.Name()), ".")
	}
	return strings.ToLower(t.Name()[:1]) + t.Name()[1:]
}
