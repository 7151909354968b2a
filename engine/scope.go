package engine

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/portcullis-dev/portcullis/mutate"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// mutable reports whether a mutator may touch the workload at all. Judging it is
// never left out.
func (p *Plan) mutable(s *policies.CompiledMutator) bool {
	w := p.Workload
	if _, mirror := w.Metadata.Annotations[pod.MirrorAnnotation]; mirror {
		// A kubelet deletes a mirror pod that differs from its file.
		return false
	}
	owner := pod.ControllerOf(w)
	if owner == nil {
		return true
	}
	if w.Kind.IsPod() {
		// Another controller may compare the pod with what it wrote and replace it
		// for ever, https://github.com/cloudnative-pg/cloudnative-pg/issues/10872.
		gv, err := schema.ParseGroupVersion(owner.APIVersion)
		return err == nil && (pod.IsBuiltIn(owner) || s.OwnedBy(gv.Group, owner.Kind))
	}
	// A Deployment finds its ReplicaSet by comparing templates; were one changed,
	// the Deployment would make another, without end.
	return w.Kind.Name != "ReplicaSet"
}

// templateMutable reports whether more than images of the template may change:
// the API server must let it, and an update must ask for another template anyway,
// since every change starts the pods anew.
func (p *Plan) templateMutable() bool {
	if p.Old == nil {
		return p.Subresource == ""
	}
	return !p.Workload.Kind.IsPod() && p.Workload.Kind.Name != "Job" && !p.sameTemplate
}

// scope is what the API server lets a webhook change.
func (p *Plan) scope() mutate.Scope {
	s := mutate.Scope{Workload: p.Workload, Old: p.Old}
	if !p.Workload.Kind.IsPod() || p.Old == nil {
		s.StickyOnly = p.Old != nil && p.Workload.Kind.Name == "Job" // its template is immutable
		return s
	}
	// Of a pod that exists, images of containers can be replaced through the pod
	// itself, and ephemeral containers added through their subresource.
	before := map[string]string{}
	for c := range p.Old.Containers() {
		before[c.Name] = c.Image
	}
	s.Image = func(i pod.Image) bool {
		if i.Container == nil {
			return false
		}
		old, existed := before[i.Name]
		switch p.Subresource {
		case "":
			return existed && i.Container.Type != pod.Ephemeral && old != *i.Reference
		case "ephemeralcontainers":
			return !existed && i.Container.Type == pod.Ephemeral
		}
		return false
	}
	return s
}
