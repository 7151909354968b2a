package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
)

// eventSource is the reportingController of Events.
const eventSource = "portcullis"

// The reasons of Events about exceptions.
const (
	eventEnding  = "ExceptionEnding"
	eventExpired = "ExceptionExpired"
)

// exceptionStatus writes what became of the PolicyExceptions into their status, and
// tells by an Event when one is about to end and when it has ended. One replica
// does. The status remembers what has been told, so that neither a restart nor
// another leader tells it again.
type exceptionStatus struct {
	source *clusterPolicies
	client client.Client
	events interface {
		Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
	}
	warning time.Duration
	now     func() time.Time
	log     *slog.Logger
}

// exceptionVersion is a version of an exception that was read.
type exceptionVersion struct {
	uid        types.UID
	generation int64
	// problems are what is wrong with it by itself, compiled what it is if nothing is.
	problems policies.Problems
	compiled *policies.CompiledException
	// ends say for each policy that it names when it ends, or why it does not count.
	ends []string
	// refused is set where a policy that it names is in force and allows none.
	refused bool
}

// exceptionVersions are what became of exceptions in a set of policies.
func exceptionVersions(list []policies.PolicyException, set *policies.Set) map[types.NamespacedName]exceptionVersion {
	compiled := map[types.NamespacedName]*policies.CompiledException{}
	for _, e := range set.Exceptions() {
		compiled[types.NamespacedName{Namespace: e.Namespace, Name: e.Name}] = e
	}
	inForce := map[string]*policies.Compiled{}
	for _, p := range set.Policies() {
		inForce[p.Name] = p
	}
	versions := make(map[types.NamespacedName]exceptionVersion, len(list))
	for i := range list {
		e := &list[i]
		v := exceptionVersion{uid: e.UID, generation: e.Generation, compiled: compiled[client.ObjectKeyFromObject(e)]}
		if v.compiled == nil {
			v.problems = policies.ValidateException(e)
		} else {
			v.endsFor(e.Spec.Policies, inForce)
		}
		versions[client.ObjectKeyFromObject(e)] = v
	}
	return versions
}

func (v *exceptionVersion) endsFor(names []string, inForce map[string]*policies.Compiled) {
	for _, name := range names {
		policy := inForce[name]
		switch end, counts := v.compiled.Ends(name); {
		case counts:
			v.ends = append(v.ends, fmt.Sprintf("ends for policy %s at %s", engine.Quote(name), end.UTC().Format(time.RFC3339)))
		case policy == nil:
			v.ends = append(v.ends, fmt.Sprintf("policy %s is not in force", engine.Quote(name)))
		default:
			v.refused = true
			v.ends = append(v.ends, fmt.Sprintf("policy %s allows no exceptions", engine.Quote(name)))
		}
	}
}

// lead writes until ctx ends, when something changes and when time alone moves an
// exception from one state to the next.
func (s *exceptionStatus) lead(ctx context.Context) {
	timer := time.NewTimer(0) // what another replica has left undone
	defer timer.Stop()
	var looked, due time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.source.seenExceptions:
		case <-timer.C:
			if now := s.now(); now.Before(due) && !clockSet(looked, now) {
				timer.Reset(min(due.Sub(now), clockCheck))
				continue
			}
		}
		looked = s.now()
		next, err := s.writeAll(ctx, looked)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("writing the status of exceptions; trying again", "err", err)
			next = statusRetry
		}
		due = looked.Add(next)
		timer.Reset(min(next, clockCheck))
	}
}

// clockCheck is how often it is seen whether the clock was set, or stood still with its
// machine: exceptions end by the clock, and timers do not run by it.
const clockCheck = time.Minute

// clockSet reports whether the clock was set between two times that it told, by more
// than clocks are put right by.
func clockSet(before, now time.Time) bool {
	passed, shown := now.Sub(before), now.Round(0).Sub(before.Round(0))
	return (shown - passed).Abs() > time.Second
}

// writeAll returns after which time there is something to write again.
func (s *exceptionStatus) writeAll(ctx context.Context, now time.Time) (time.Duration, error) {
	next := 24 * time.Hour
	current := s.source.current.Load()
	if current == nil {
		return next, nil // a load comes, and tells
	}
	var errs []error
	for name, version := range current.exceptions {
		if err := s.write(ctx, name, version, now); err != nil {
			errs = append(errs, err)
		}
		if change, ok := version.nextChange(now, s.warning); ok {
			next = min(next, change.Sub(now)+time.Millisecond) // the state is the next one after that moment
		}
	}
	return next, errors.Join(errs...)
}

// nextChange is when the state of an exception is the next one.
func (v *exceptionVersion) nextChange(now time.Time, warning time.Duration) (time.Time, bool) {
	if v.compiled == nil {
		return time.Time{}, false
	}
	end, ahead := v.compiled.NextEnd(now)
	if begin := end.Add(-warning); ahead && !begin.Before(now) {
		return begin, true
	}
	return end, ahead
}

// write writes one status, if it differs, and tells of the end that it is about.
func (s *exceptionStatus) write(ctx context.Context, name types.NamespacedName, version exceptionVersion, now time.Time) error {
	var e policies.PolicyException
	if err := s.client.Get(ctx, name, &e); err != nil {
		return client.IgnoreNotFound(err)
	}
	if e.UID != version.uid || e.Generation != version.generation {
		return nil // it is read again, and its status written then
	}
	before := e.Status.DeepCopy()
	condition := version.inForce(now, s.warning)
	e.Status.ObservedGeneration = version.generation
	e.Status.EndsAt = version.endsAt()
	meta.SetStatusCondition(&e.Status.Conditions, condition)
	if equality.Semantic.DeepEqual(before, &e.Status) {
		return nil
	}
	err := s.client.Status().Update(ctx, &e)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // what it conflicts with comes by the watch
	}
	if err != nil {
		return fmt.Errorf("writing the status of exception %q: %w", name, err)
	}
	if told := meta.FindStatusCondition(before.Conditions, policies.InForceCondition); told == nil || told.Reason != condition.Reason {
		s.tell(&e, condition)
	}
	return nil
}

// tell makes the Event of an exception that is about to end, or has.
func (s *exceptionStatus) tell(e *policies.PolicyException, condition metav1.Condition) {
	reason := ""
	switch condition.Reason {
	case policies.ExceptionEnding:
		reason = eventEnding
	case policies.ExceptionExpired:
		reason = eventExpired
	default:
		return
	}
	const longest = 1024 // of a note of events.k8s.io/v1, in bytes
	s.events.Eventf(e, nil, corev1.EventTypeWarning, reason, "Exempt", "%s", shortened(condition.Message, longest))
}

// endsAt is nil for what exempts from nothing.
func (v *exceptionVersion) endsAt() *metav1.Time {
	if v.compiled == nil {
		return nil
	}
	end, counts := v.compiled.LastEnd()
	if !counts {
		return nil
	}
	return &metav1.Time{Time: end.UTC().Truncate(time.Second)}
}

// inForce is the condition that a version leads to at a time.
func (v *exceptionVersion) inForce(now time.Time, warning time.Duration) metav1.Condition {
	condition := metav1.Condition{Type: policies.InForceCondition, Status: metav1.ConditionFalse, ObservedGeneration: v.generation}
	if v.compiled == nil {
		condition.Reason = policies.ExceptionInvalid
		condition.Message = shortened("the exception is invalid, and exempts from nothing:\n"+v.problems.Error(), maxConditionMessage)
		return condition
	}
	ends, owner := strings.Join(v.ends, "; "), engine.Quote(v.compiled.Owner)
	switch stateOf(v.compiled, now, warning) {
	case stateActive:
		condition.Status, condition.Reason = metav1.ConditionTrue, policies.ExceptionActive
		condition.Message = "the exception is in force: " + ends
	case stateEnding:
		condition.Status, condition.Reason = metav1.ConditionTrue, policies.ExceptionEnding
		condition.Message = fmt.Sprintf("the exception ends soon, and its owner is %s: %s", owner, ends)
	case stateExpired:
		condition.Reason = policies.ExceptionExpired
		condition.Message = fmt.Sprintf("the exception has ended, and its owner is %s: %s", owner, strings.ReplaceAll(ends, "ends for", "ended for"))
	default:
		condition.Reason = policies.ExceptionOrphaned
		if v.refused {
			condition.Reason = policies.ExceptionNotAllowed
		}
		condition.Message = "the exception exempts from nothing: " + ends
	}
	condition.Message = shortened(condition.Message, maxConditionMessage)
	return condition
}

// shortened bounds a text in bytes.
func shortened(text string, longest int) string {
	const ellipsis = "..."
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest-len(ellipsis)], "") + ellipsis
}
