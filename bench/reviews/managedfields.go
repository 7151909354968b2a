package reviews

import (
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// applied says that one manager has set, by server-side apply, every field that
// is not a default. Managed fields are a third of an object's bytes, which every
// webhook gets to read.
func applied(manager string, object runtime.Object, at time.Time) []metav1.ManagedFieldsEntry {
	return managedFields(object, at, metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationApply}, defaulted())
}

// updated says that one manager has set every field with a value.
func updated(manager string, object runtime.Object, at time.Time) []metav1.ManagedFieldsEntry {
	return managedFields(object, at, metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate}, nil)
}

func managedFields(object runtime.Object, at time.Time, entry metav1.ManagedFieldsEntry, without map[string]bool) []metav1.ManagedFieldsEntry {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		panic(fmt.Sprintf("reading the fields of a generated object: %v", err))
	}
	raw, err := json.Marshal(owned(prune(fields), "", without))
	if err != nil {
		panic(fmt.Sprintf("writing managed fields: %v", err))
	}
	when := metav1.NewTime(at)
	entry.Time, entry.APIVersion = &when, object.GetObjectKind().GroupVersionKind().GroupVersion().String()
	entry.FieldsType, entry.FieldsV1 = "FieldsV1", metav1.NewFieldsV1(string(raw))
	return []metav1.ManagedFieldsEntry{entry}
}

// defaulted are the fields that the API server fills in.
func defaulted() map[string]bool {
	names := map[string]bool{}
	for _, name := range []string{
		"terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "protocol", "scheme", "timeoutSeconds",
		"successThreshold", "failureThreshold", "restartPolicy", "dnsPolicy", "schedulerName", "terminationGracePeriodSeconds",
		"strategy", "revisionHistoryLimit", "progressDeadlineSeconds", "defaultMode",
	} {
		names[name] = true
	}
	return names
}

// prune takes away what the API server does not track.
func prune(object map[string]any) map[string]any {
	delete(object, "apiVersion")
	delete(object, "kind")
	delete(object, "status")
	metadata := object["metadata"].(map[string]any)
	for _, name := range []string{"name", "namespace", "uid", "creationTimestamp", "generation"} {
		delete(metadata, name)
	}
	return object
}

// owned writes a value as a set of field paths: structs and maps by name, lists
// that have a key by it, all else as a leaf.
func owned(value any, name string, without map[string]bool) map[string]any {
	out := map[string]any{}
	switch v := value.(type) {
	case map[string]any:
		if name == "selector" || name == "secretKeyRef" || name == "configMapKeyRef" {
			return out // atomic
		}
		for key, child := range v {
			if !without[key] {
				out["f:"+key] = owned(child, key, without)
			}
		}
	case []any:
		keys := listKeys(name)
		if keys == nil {
			return out
		}
		for _, element := range v {
			fields := owned(element, "", without)
			fields["."] = struct{}{}
			out[elementKey(element.(map[string]any), keys)] = fields
		}
	}
	return out
}

// listKeys are the fields that tell the elements of a list apart, from the
// listMapKey markers of k8s.io/api. A list without is owned as a whole.
func listKeys(name string) []string {
	switch name {
	case "containers", "initContainers", "env", "volumes":
		return []string{"name"}
	case "ports":
		return []string{"containerPort", "protocol"}
	case "volumeMounts":
		return []string{"mountPath"}
	case "ownerReferences":
		return []string{"uid"}
	}
	return nil
}

func elementKey(element map[string]any, keys []string) string {
	key := map[string]any{}
	for _, k := range keys {
		key[k] = element[k]
	}
	raw, err := json.Marshal(key)
	if err != nil {
		panic(fmt.Sprintf("writing a list key: %v", err))
	}
	return "k:" + string(raw)
}
