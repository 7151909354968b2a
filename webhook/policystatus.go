package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/policies"
)

const (
	// maxConditionMessage bounds a message of a condition, in bytes. The API server
	// takes 32 KiB, and nobody reads more than a screen.
	maxConditionMessage = 4 << 10
	// statusRetry is how long to wait after a status could not be written.
	statusRetry = 5 * time.Second
)

// policyStatus writes what became of the PodPolicies of the cluster into their
// status. One replica does, and only where there is something new to tell, so
// that policies are not written for ever.
type policyStatus struct {
	source *clusterPolicies
	client client.Client
	// alerts takes which policies have become invalid. Nil: nobody does.
	alerts *cloudevents.Sink
	log    *slog.Logger
}

// lead writes until ctx ends.
func (s *policyStatus) lead(ctx context.Context) {
	s.source.scans.Store(nil) // another replica may have scanned since this one led before
	retry := time.NewTimer(0) // what another replica has left undone
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.source.seen:
		case <-retry.C:
		}
		if err := s.writeAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("writing the status of policies; trying again", "err", err)
			retry.Reset(statusRetry)
		}
	}
}

func (s *policyStatus) writeAll(ctx context.Context) error {
	current := s.source.current.Load()
	if current == nil {
		return nil // a load comes, and tells
	}
	var errs []error
	for name, version := range current.versions {
		if err := s.write(ctx, name, version); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// write writes one status, if it differs. A policy that has changed or gone since
// it was read is left alone: it is read again, and its status written then.
func (s *policyStatus) write(ctx context.Context, name string, version policyVersion) error {
	var p policies.PodPolicy
	if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil {
		return client.IgnoreNotFound(err)
	}
	if p.UID != version.uid || p.Generation != version.generation {
		return nil
	}
	before := p.Status.DeepCopy()
	p.Status.ObservedGeneration = version.generation
	p.Status.Rules = int32(version.rules)
	p.Status.LastValid = version.stored()
	p.Status.Scan = s.source.scanOf(name, version, p.Status.Scan)
	meta.SetStatusCondition(&p.Status.Conditions, version.ready())
	if equality.Semantic.DeepEqual(before, &p.Status) {
		return nil
	}
	err := s.client.Status().Update(ctx, &p)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // what it conflicts with comes by the watch
	}
	if err != nil {
		return fmt.Errorf("writing the status of policy %q: %w", name, err)
	}
	s.alert(name, before, version)
	return nil
}

// alert tells that a version of a policy is invalid, once: its status has not said so
// before, whichever replica has written that.
func (s *policyStatus) alert(name string, before *policies.PodPolicyStatus, version policyVersion) {
	ready := version.ready()
	was := meta.FindStatusCondition(before.Conditions, policies.ReadyCondition)
	if ready.Status == metav1.ConditionTrue || was != nil && was.Status == ready.Status && was.ObservedGeneration == version.generation {
		return
	}
	s.alerts.Send(cloudevents.Event{
		Type: cloudevents.PolicyInvalid, Subject: "PodPolicy/" + name, Key: fmt.Sprintf("%s %d", version.uid, version.generation),
		Data: invalidPolicy{name, version.generation, version.inForce, ready.Reason, ready.Message},
	})
}

// invalidPolicy is the data of the event.
type invalidPolicy struct {
	Policy     string `json:"policy"`
	Generation int64  `json:"generation"`
	// InForce is the generation that is in force, 0 for none.
	InForce int64 `json:"inForce"`
	// Reason and Message are those of the condition Ready.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// ready is the condition that a version leads to.
func (v policyVersion) ready() metav1.Condition {
	condition := metav1.Condition{Type: policies.ReadyCondition, Status: metav1.ConditionTrue, Reason: policies.InForce, ObservedGeneration: v.generation}
	if len(v.problems) == 0 {
		condition.Message = "the policy is in force"
		return condition
	}
	condition.Status, condition.Reason = metav1.ConditionFalse, policies.Invalid
	instead := "nothing of it is in force"
	if v.inForce > 0 {
		condition.Reason = policies.LastValidVersionInForce
		instead = fmt.Sprintf("its last valid version, generation %d, stays in force", v.inForce)
	}
	problems := v.problems.Error()
	if len(problems) > maxConditionMessage {
		problems = strings.ToValidUTF8(problems[:maxConditionMessage], "") + "..."
	}
	condition.Message = fmt.Sprintf("the policy is invalid, and %s:\n%s", instead, problems)
	return condition
}
