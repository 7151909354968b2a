package pod

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is one of the nine kinds that carry a pod template, the list that
// pod-security-admission keeps (k8s.io/pod-security-admission/admission,
// defaultPodSpecResources).
type Kind struct {
	Group, Version, Name string
	// Resource is the plural name in lower case, as admission rules and RBAC use it.
	Resource string
	// template is where the pod template lies in the object. For a Pod it is the
	// object itself, and template is empty.
	template []string
}

// kinds is never changed.
var kinds = []Kind{
	{Version: "v1", Name: "Pod", Resource: "pods"},
	{Version: "v1", Name: "PodTemplate", Resource: "podtemplates", template: []string{"template"}},
	{Version: "v1", Name: "ReplicationController", Resource: "replicationcontrollers", template: []string{"spec", "template"}},
	{Group: "apps", Version: "v1", Name: "Deployment", Resource: "deployments", template: []string{"spec", "template"}},
	{Group: "apps", Version: "v1", Name: "ReplicaSet", Resource: "replicasets", template: []string{"spec", "template"}},
	{Group: "apps", Version: "v1", Name: "StatefulSet", Resource: "statefulsets", template: []string{"spec", "template"}},
	{Group: "apps", Version: "v1", Name: "DaemonSet", Resource: "daemonsets", template: []string{"spec", "template"}},
	{Group: "batch", Version: "v1", Name: "Job", Resource: "jobs", template: []string{"spec", "template"}},
	{Group: "batch", Version: "v1", Name: "CronJob", Resource: "cronjobs", template: []string{"spec", "jobTemplate", "spec", "template"}},
}

// Kinds returns the nine kinds. The Pod comes first.
func Kinds() []Kind { return slices.Clone(kinds) }

// IsResource reports whether objects of a resource carry a pod template.
func IsResource(group, resource string) bool {
	for i := range kinds {
		if kinds[i].Group == group && kinds[i].Resource == resource {
			return true
		}
	}
	return false
}

// KindFor returns the kind for a group, version and kind, and whether it is one
// of the nine.
func KindFor(gvk schema.GroupVersionKind) (Kind, bool) {
	for i := range kinds {
		if k := &kinds[i]; k.Group == gvk.Group && k.Version == gvk.Version && k.Name == gvk.Kind {
			return *k, true
		}
	}
	return Kind{}, false
}

// IsPod tells a Pod from the eight kinds that only carry its template.
func (k Kind) IsPod() bool { return len(k.template) == 0 }

// APIVersion is the kind's group and version as a manifest writes them.
func (k Kind) APIVersion() string {
	return schema.GroupVersion{Group: k.Group, Version: k.Version}.String()
}

// Template is the path of the pod template; the zero Path for a Pod.
func (k Kind) Template() Path { return templates[k.Name] }

// templates are the paths of the kinds' templates, specs those of their pod specs.
// Neither is ever changed: each edit and each finding begins with one.
var templates, specs = paths()

func paths() (templates, specs map[string]Path) {
	templates, specs = map[string]Path{}, map[string]Path{}
	for _, k := range kinds {
		var p Path
		for _, name := range k.template {
			p = p.Child(name)
		}
		templates[k.Name], specs[k.Name] = p, p.Child("spec")
	}
	return templates, specs
}
