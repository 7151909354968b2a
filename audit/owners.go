package audit

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/portcullis-dev/portcullis/pod"
)

// maxOwners bounds how many owners one scan asks for by name.
const maxOwners = 50

// owners reads the owners that no list had: those created after their kind had been
// listed, and before what they own was. Without them the Pods of a new Deployment
// would stand alone, and be told about as something that the next scan does not know.
func (c *scanning) owners(ctx context.Context) error {
	asked := map[types.UID]bool{}
	for young := c.order; len(young) > 0; {
		listed := len(c.order)
		for _, e := range young {
			kind, ok := kindOf(e.owner)
			if !ok || c.unlisted[kind.Name] || c.entities[string(e.owner.UID)] != nil || asked[e.owner.UID] || len(asked) == maxOwners {
				continue
			}
			asked[e.owner.UID] = true
			named := fields.OneTermEqualSelector("metadata.name", e.owner.Name).String()
			if err := c.kind(ctx, kind, e.namespace, named); err != nil {
				return err
			}
		}
		young = slices.Clone(c.order[listed:])
		c.order = slices.Concat(young, c.order[:listed]) // owners before what they own
	}
	return nil
}

// kindOf is the kind of an owner, where it is one that is scanned, and for others.
// Pods stand for nothing but themselves.
func kindOf(owner metav1.OwnerReference) (pod.Kind, bool) {
	gv, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return pod.Kind{}, false
	}
	kind, ok := pod.KindFor(gv.WithKind(owner.Kind))
	return kind, ok && !kind.IsPod()
}
