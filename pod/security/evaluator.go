// Package security applies the Pod Security Standards to one pod and finds the
// fields that violate them.
//
// The judgement is upstream's own evaluator (k8s.io/pod-security-admission): a
// re-implementation has let pods through elsewhere (CVE-2023-33191). Upstream
// says "containers "a", "b" must not set ...", though, and neither which field
// of which object nor what to write there. Offences answers that, again with
// upstream's check as the oracle, so that no fix is named that does not hold.
package security

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/pod"
)

// Violation is one check that a pod does not pass.
type Violation struct {
	// Check is upstream's id: capabilities_restricted.
	Check policy.CheckID
	// Reason is upstream's short text: unrestricted capabilities.
	Reason string
	// Detail is upstream's long text, which names the containers.
	Detail string

	check policy.CheckPodFn
}

// Passes runs the violated check on another pod.
func (v Violation) Passes(meta *metav1.ObjectMeta, spec *corev1.PodSpec) bool {
	return v.check(meta, spec).Allowed
}

// Evaluator judges pods. It is safe for concurrent use.
type Evaluator struct {
	upstream policy.Evaluator
	// named asks upstream for the names of the checks that a pod does not pass:
	// its results carry a key of checks in the place of the reason. Which checks
	// run depends on level, version and overrides, and upstream's own results do
	// not say which check they come from.
	named  policy.Evaluator
	checks map[string]namedCheck
}

type namedCheck struct {
	id  policy.CheckID
	run policy.CheckPodFn
}

// NewEvaluator returns an Evaluator for all checks of upstream's release.
func NewEvaluator() (*Evaluator, error) {
	e := &Evaluator{checks: map[string]namedCheck{}}
	named := policy.DefaultChecks()
	for _, check := range named {
		for i, version := range check.Versions {
			key := fmt.Sprintf("%s/%d", check.ID, i)
			e.checks[key] = namedCheck{id: check.ID, run: version.CheckPod}
			check.Versions[i].CheckPod = withKey(key, version.CheckPod)
		}
	}
	var err error
	if e.named, err = policy.NewEvaluator(named, nil); err != nil {
		return nil, fmt.Errorf("building the evaluator that names checks: %w", err)
	}
	if e.upstream, err = policy.NewEvaluator(policy.DefaultChecks(), nil); err != nil {
		return nil, fmt.Errorf("building the Pod Security evaluator: %w", err)
	}
	return e, nil
}

func withKey(key string, check policy.CheckPodFn) policy.CheckPodFn {
	return func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.CheckResult {
		return policy.CheckResult{Allowed: check(meta, spec).Allowed, ForbiddenReason: key}
	}
}

// Upstream is the evaluator that this one asks, for upstream code that needs it.
func (e *Evaluator) Upstream() policy.Evaluator { return e.upstream }

// Evaluate returns the checks of a level and version that the workload's pods do
// not pass, in upstream's order. A workload without a pod spec passes.
func (e *Evaluator) Evaluate(lv api.LevelVersion, w *pod.Workload) []Violation {
	if w.Spec == nil {
		return nil
	}
	var violations []Violation
	for _, r := range e.named.EvaluatePod(lv, w.Template, w.Spec) {
		if r.Allowed {
			continue
		}
		check := e.checks[r.ForbiddenReason]
		found := check.run(w.Template, w.Spec)
		violations = append(violations, Violation{
			Check: check.id, Reason: found.ForbiddenReason, Detail: found.ForbiddenDetail,
			check: check.run,
		})
	}
	return violations
}
