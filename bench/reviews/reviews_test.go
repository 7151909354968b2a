package reviews

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

const objects = 200 // of each kind

func generate(t *testing.T, seed uint64) []Review {
	t.Helper()
	all, err := Generate(seed, objects)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestGenerateIsDeterministic(t *testing.T) {
	a, b, other := generate(t, 1), generate(t, 1), generate(t, 2)
	same := 0
	for i := range a {
		if !bytes.Equal(a[i].Body, b[i].Body) {
			t.Fatalf("one seed made two bodies:\n%s\n%s", a[i].Body, b[i].Body)
		}
		if bytes.Equal(a[i].Object, other[i].Object) {
			same++
		}
	}
	if same > 0 {
		t.Errorf("got %d equal objects of two seeds, want none", same)
	}
}

// Upstream's evaluator is asked one check at a time, because its results do not
// say which check they come from.
func TestHalfViolateTheCheckTheyName(t *testing.T) {
	evaluate := restricted(t)
	violating := map[string]int{}
	seen := map[string]bool{}
	for _, r := range generate(t, 1) {
		meta, spec := decode(t, r)
		var want []string
		if r.Violates != "" {
			want = []string{r.Violates}
			violating[r.Kind]++
			seen[r.Violates] = true
		}
		if diff := cmp.Diff(want, evaluate(meta, spec)); diff != "" {
			t.Fatalf("checks that %s does not pass (-want +got):\n%s", r.Object, diff)
		}
	}
	if diff := cmp.Diff(map[string]int{podKind: objects / 2, deploymentKind: objects / 2}, violating); diff != "" {
		t.Errorf("violating objects by kind (-want +got):\n%s", diff)
	}
	for _, f := range faults() {
		if !seen[f.check] {
			t.Errorf("no object violates %s", f.check)
		}
	}
}

// restricted returns a function that names the checks a pod does not pass.
func restricted(t *testing.T) func(*metav1.ObjectMeta, *corev1.PodSpec) []string {
	t.Helper()
	checks := policy.DefaultChecks()
	for _, check := range checks {
		for i, version := range check.Versions {
			check.Versions[i].CheckPod = func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.CheckResult {
				return policy.CheckResult{Allowed: version.CheckPod(meta, spec).Allowed, ForbiddenReason: string(check.ID)}
			}
		}
	}
	evaluator, err := policy.NewEvaluator(checks, nil)
	if err != nil {
		t.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	return func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) []string {
		var failed []string
		for _, result := range evaluator.EvaluatePod(level, meta, spec) {
			if !result.Allowed {
				failed = append(failed, result.ForbiddenReason)
			}
		}
		return failed
	}
}

func decode(t *testing.T, r Review) (*metav1.ObjectMeta, *corev1.PodSpec) {
	t.Helper()
	var review admissionv1.AdmissionReview
	strictly(t, r.Body, &review)
	if !bytes.Equal(review.Request.Object.Raw, r.Object) || review.Request.UID != r.UID {
		t.Fatalf("the body is not of the object %s", r.Object)
	}
	if r.Kind == podKind {
		var p corev1.Pod
		strictly(t, r.Object, &p)
		return &p.ObjectMeta, &p.Spec
	}
	var d appsv1.Deployment
	strictly(t, r.Object, &d)
	return &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec
}

func strictly(t *testing.T, data []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("decoding %s: %v", data, err)
	}
}

func TestObjectsAreAboutThreeKilobytes(t *testing.T) {
	for _, kind := range []string{podKind, deploymentKind} {
		total, count := 0, 0
		for _, r := range generate(t, 1) {
			if r.Kind != kind {
				continue
			}
			total += len(r.Object)
			count++
			if len(r.Object) < 2000 || len(r.Object) > 5000 {
				t.Errorf("got a %s of %d bytes, want 2000 to 5000", kind, len(r.Object))
			}
			if !bytes.Contains(r.Object, []byte(`"managedFields"`)) {
				t.Errorf("%s has no managed fields:\n%s", kind, r.Object)
			}
		}
		mean := total / count
		t.Logf("%s: mean of %d bytes", kind, mean)
		if mean < 2500 || mean > 3500 {
			t.Errorf("got a mean of %d bytes for a %s, want about 3000", mean, kind)
		}
	}
}

func TestImagesAreWhereTheySay(t *testing.T) {
	for _, r := range generate(t, 1) {
		_, spec := decode(t, r)
		if got, want := len(r.Images), len(spec.Containers)+len(spec.InitContainers); got != want {
			t.Fatalf("got %d images, want %d: %s", got, want, r.Object)
		}
		prefix := "/spec"
		if r.Kind == deploymentKind {
			prefix = "/spec/template/spec"
		}
		if got, want := r.Images[prefix+"/containers/0/image"], spec.Containers[0].Image; got != want {
			t.Errorf("got first image %q, want %q", got, want)
		}
	}
}
