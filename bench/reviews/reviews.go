// Package reviews makes the admission reviews that a benchmark sends: Pods and
// Deployments with defaults, probes, volumes and managed fields, as an API
// server writes them.
//
// A bench that repeats one small object measures a cache, and one whose objects
// all pass never pays for a refusal. Half of these violate exactly one check of
// the restricted level. The same seed makes the same bytes.
package reviews

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"

	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// Review is one AdmissionReview, and what the right answers to it depend on.
type Review struct {
	// Body is what the API server posts.
	Body []byte
	UID  types.UID
	// Kind is Pod or Deployment.
	Kind string
	// Object is the JSON of the object under review, a part of Body.
	Object []byte
	// Violates is upstream's id of the one check that the object does not pass,
	// empty where it passes all.
	Violates string
	// Images are the references by tag, by JSON Pointer into the object.
	Images map[string]string
}

// Namespaces are those that the objects are in.
func Namespaces() []string { return []string{"shop", "billing", "search", "platform"} }

// Generate makes n Pods and n Deployments in a random order, half of each with a
// violation.
func Generate(seed uint64, n int) ([]Review, error) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, seed))}
	faults := faults()
	all := make([]Review, 0, 2*n)
	for i := range n {
		for _, kind := range []string{podKind, deploymentKind} {
			fault := fault{}
			if i%2 == 1 {
				fault = faults[i/2%len(faults)]
			}
			review, err := g.review(kind, i, fault)
			if err != nil {
				return nil, fmt.Errorf("making %s %d: %w", kind, i, err)
			}
			all = append(all, review)
		}
	}
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all, nil
}

// generator is the source of all that varies.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

func (g *generator) uid() types.UID {
	return types.UID(fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x",
		g.Uint32(), g.IntN(1<<16), g.IntN(1<<12), 0x8000|g.IntN(1<<14), g.Int64N(1<<48)))
}

func (g *generator) review(kind string, i int, f fault) (Review, error) {
	o := g.object(kind, i, f)
	object, err := json.Marshal(o.value)
	if err != nil {
		return Review{}, err
	}
	r := Review{UID: g.uid(), Kind: kind, Object: object, Violates: f.check, Images: map[string]string{}}
	for i, c := range o.spec.InitContainers {
		r.Images[fmt.Sprintf("%s/initContainers/%d/image", o.specPointer, i)] = c.Image
	}
	for i, c := range o.spec.Containers {
		r.Images[fmt.Sprintf("%s/containers/%d/image", o.specPointer, i)] = c.Image
	}
	gvk := metav1.GroupVersionKind(o.value.GetObjectKind().GroupVersionKind())
	gvr := metav1.GroupVersionResource{Group: gvk.Group, Version: gvk.Version, Resource: o.resource}
	no := false
	r.Body, err = json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: r.UID, Kind: gvk, Resource: gvr, RequestKind: &gvk, RequestResource: &gvr,
			Name: o.meta.Name, Namespace: o.meta.Namespace, Operation: admissionv1.Create,
			UserInfo: authenticationv1.UserInfo{
				Username: "system:serviceaccount:kube-system:replicaset-controller", UID: string(g.uid()),
				Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
				Extra: map[string]authenticationv1.ExtraValue{
					"authentication.kubernetes.io/credential-id": {"JTI=" + string(g.uid())},
				},
			},
			Object: runtime.RawExtension{Raw: object},
			DryRun: &no,
			Options: runtime.RawExtension{Raw: []byte(
				`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1","fieldManager":"argocd-controller","fieldValidation":"Strict"}`,
			)},
		},
	})
	return r, err
}
