package webhook

import (
	"encoding/json"
	"reflect"

	"github.com/portcullis-dev/portcullis/policies"
)

// maxStoredSpec bounds the spec of a last valid version in bytes, as the CRD does. A
// policy that is longer is remembered by the replicas that run alone.
const maxStoredSpec = 256 << 10

// stored is the last valid version of a policy as its status keeps it for replicas
// that start later. It is nil for a policy that is valid, or never was.
func (v policyVersion) stored() *policies.ValidVersion {
	if v.lastValid == nil {
		return nil
	}
	spec, err := json.Marshal(v.lastValid.Spec)
	if err != nil || len(spec) > maxStoredSpec {
		return nil
	}
	return &policies.ValidVersion{Generation: v.lastValid.Generation, Spec: string(spec)}
}

// storedVersion is the last valid version that the status of an invalid policy
// keeps, nil for none, or for one that this build does not take.
func storedVersion(p *policies.PodPolicy) *policies.PodPolicy {
	if p.Status.LastValid == nil {
		return nil
	}
	former := &policies.PodPolicy{TypeMeta: p.TypeMeta, ObjectMeta: p.ObjectMeta}
	former.Generation = p.Status.LastValid.Generation
	if err := json.Unmarshal([]byte(p.Status.LastValid.Spec), &former.Spec); err != nil {
		return nil
	}
	policies.Default(former)
	if len(policies.Validate(former)) > 0 {
		return nil
	}
	return former
}

// sameLastValid reports whether two policies keep the same last valid version. Other
// objects keep none.
func sameLastValid(old, updated any) bool {
	a, ok := old.(*policies.PodPolicy)
	b, both := updated.(*policies.PodPolicy)
	return !ok || !both || reflect.DeepEqual(a.Status.LastValid, b.Status.LastValid)
}
