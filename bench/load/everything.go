package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/portcullis-dev/portcullis/bench/reviews"
)

// startEverything starts a process of its own with everything.yaml.
func (b *bench) startEverything(ctx context.Context) error {
	p, address, err := b.serve(ctx, "portcullis with everything", b.binaries.everything)
	if err != nil {
		return err
	}
	b.repair = cell{name: repairCell, url: address + mutatePath, server: p, check: checkRepaired(b.registry.pinned)}
	if b.wants(repairCell) {
		b.cells = append(b.cells, b.repair)
	}
	if b.wants(judgeCell) {
		b.cells = append(b.cells, cell{name: judgeCell, url: address + validatePath, server: p, check: checkDenied})
	}
	return nil
}

// repaired are the reviews of the objects as the mutators leave them. What is still
// wrong with one upstream's evaluator says.
func (b *bench) repaired(ctx context.Context, all []reviews.Review) ([]reviews.Review, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	client := b.client()
	defer client.CloseIdleConnections()
	mended := make([]reviews.Review, len(all))
	for i, r := range all {
		body, err := b.repair.post(ctx, client, r.Body)
		if err != nil {
			return nil, fmt.Errorf("having a %s repaired: %w", r.Kind, err)
		}
		a, err := decodeAnswer(r, body)
		if err != nil {
			return nil, err
		}
		patched, err := applyPatch(r, a)
		if err != nil {
			return nil, err
		}
		r.Body = bytes.Replace(r.Body, r.Object, patched, 1)
		r.Object = patched
		if r.Violates, err = violated(evaluator, r); err != nil {
			return nil, err
		}
		mended[i] = r
	}
	return mended, nil
}

// violated is the first check of level restricted that an object violates.
func violated(evaluator policy.Evaluator, r reviews.Review) (string, error) {
	o, err := decodeObject(r.Kind, r.Object)
	if err != nil {
		return "", err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &o.Metadata, &o.Spec) {
		if !result.Allowed {
			return result.ForbiddenReason, nil
		}
	}
	return "", nil
}

// podOf is the pod that an object is or makes.
type podOf struct {
	Metadata metav1.ObjectMeta
	Spec     corev1.PodSpec
}

func decodeObject(kind string, object []byte) (podOf, error) {
	if kind == "Pod" {
		var pod corev1.Pod
		err := json.Unmarshal(object, &pod)
		return podOf{pod.ObjectMeta, pod.Spec}, err
	}
	var deployment appsv1.Deployment
	err := json.Unmarshal(object, &deployment)
	return podOf{deployment.Spec.Template.ObjectMeta, deployment.Spec.Template.Spec}, err
}

func applyPatch(r reviews.Review, a answer) ([]byte, error) {
	if !a.Allowed {
		return nil, fmt.Errorf("got a denial, want a patch: %v", a.Result)
	}
	patch, err := jsonpatch.DecodePatch(a.Patch)
	if err != nil {
		return nil, fmt.Errorf("decoding patch %q: %w", a.Patch, err)
	}
	patched, err := patch.Apply(r.Object)
	if err != nil {
		return nil, fmt.Errorf("applying patch %q: %w", a.Patch, err)
	}
	return patched, nil
}

// checkRepaired wants a patch after which each container has what every mutator
// gives it, and all that it had.
func checkRepaired(pinned map[string]string) func(reviews.Review, answer) error {
	return func(r reviews.Review, a answer) error {
		patched, err := applyPatch(r, a)
		if err != nil {
			return err
		}
		before, err1 := decodeObject(r.Kind, r.Object)
		after, err2 := decodeObject(r.Kind, patched)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if token := after.Spec.AutomountServiceAccountToken; token == nil || *token {
			return errors.New("got automountServiceAccountToken not set to false")
		}
		for i, c := range after.Spec.InitContainers {
			if lacks := lacking(before.Spec.InitContainers[i], c, pinned); len(lacks) > 0 {
				return fmt.Errorf("init container %s is without %s", c.Name, strings.Join(lacks, ", "))
			}
		}
		for i, c := range after.Spec.Containers {
			lacks := lacking(before.Spec.Containers[i], c, pinned)
			if c.ReadinessProbe == nil || c.LivenessProbe == nil {
				lacks = append(lacks, "probes")
			}
			if len(lacks) > 0 {
				return fmt.Errorf("container %s is without %s", c.Name, strings.Join(lacks, ", "))
			}
		}
		return nil
	}
}

// lacking names what a container should have been given, or should have kept.
func lacking(before, after corev1.Container, pinned map[string]string) (lacks []string) {
	kept := len(before.Env)
	var added []string
	for _, v := range after.Env[min(kept, len(after.Env)):] {
		added = append(added, v.Name)
	}
	sc := after.SecurityContext
	for what, is := range map[string]bool{
		"its digest":                   after.Image == pinned[before.Image],
		"its variables and ours":       len(after.Env) > kept && sameEnv(before.Env, after.Env[:kept]) && slices.Contains(added, "PYTHONUNBUFFERED"),
		"the termination message":      after.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError,
		"readOnlyRootFilesystem":       sc != nil && sc.ReadOnlyRootFilesystem != nil && *sc.ReadOnlyRootFilesystem,
		"its command":                  slices.Equal(before.Args, after.Args) && slices.Equal(before.Command, after.Command),
		"its probes as they were":      before.ReadinessProbe == nil || before.ReadinessProbe.String() == after.ReadinessProbe.String(),
		"allowPrivilegeEscalation set": sc != nil && (sc.AllowPrivilegeEscalation != nil || addsCapability(sc)),
	} {
		if !is {
			lacks = append(lacks, what)
		}
	}
	slices.Sort(lacks)
	return lacks
}

func sameEnv(a, b []corev1.EnvVar) bool {
	return slices.EqualFunc(a, b, func(x, y corev1.EnvVar) bool { return x.String() == y.String() })
}

func addsCapability(sc *corev1.SecurityContext) bool {
	return sc.Capabilities != nil && len(sc.Capabilities.Add) > 0
}
