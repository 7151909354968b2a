package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
)

// glassBreaker lets members of a policy's groups pass it, and keeps who has, why and
// until when in the status of the policy: all replicas see it, it outlives them, and
// whoever may not write that status cannot forge it. It is read from the API server
// and not from a cache: a controller makes its Pods sooner than a cache knows.
type glassBreaker struct {
	reader   client.Reader // live
	writer   client.SubResourceWriter
	recorder events.EventRecorder
	// sink takes the uses by people. Nil: nobody does.
	sink *cloudevents.Sink
	uses *prometheus.CounterVec
	log  *slog.Logger
	now  func() time.Time
	// firsts bounds how many first uses are written: whoever reaches the port can
	// claim to be a member (T64).
	firsts *rate.Limiter
}

// newFirsts lets an incident of several workloads begin at once.
func newFirsts() *rate.Limiter { return rate.NewLimiter(1, 20) } // a second

// What is done by a use, which is a label of portcullis_break_glass_total.
const (
	glassOpened   = "opened"
	glassUsed     = "used"
	glassFollowed = "followed"
)

func (s *server) newGlassBreaker() *glassBreaker {
	return &glassBreaker{
		reader: s.manager.GetAPIReader(), writer: s.manager.GetClient().Status(), recorder: s.manager.GetEventRecorder(eventSource),
		sink: s.options.Alerts, uses: s.metrics.glass, firsts: newFirsts(), log: s.options.Log, now: time.Now,
	}
}

// podControllers are the users that make Pods, ReplicaSets and Jobs of templates
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles).
// The last is all of them where they have no accounts of their own.
var podControllers = []string{
	"system:serviceaccount:kube-system:replicaset-controller",
	"system:serviceaccount:kube-system:deployment-controller",
	"system:serviceaccount:kube-system:statefulset-controller",
	"system:serviceaccount:kube-system:daemon-set-controller",
	"system:serviceaccount:kube-system:job-controller",
	"system:serviceaccount:kube-system:cronjob-controller",
	"system:serviceaccount:kube-system:replication-controller",
	"system:kube-controller-manager",
}

// glassUse is an attempt to pass.
type glassUse struct {
	*request
	plan   *engine.Plan
	reason string
	// member and controller say who attempts it. Neither: nobody whom it helps.
	member, controller bool
	// write says that a first use is kept; else it is only seen what would be.
	write bool
}

// breakGlass lets a workload pass that asks for it. The note, if any, is for the user:
// what became of what he asks for. A workload without the annotation costs a look
// for it, and nothing more.
func (a *admission) breakGlass(ctx context.Context, req *request, plan *engine.Plan, v *engine.Verdict, last bool) (note string) {
	reason, asked := plan.BreakGlass()
	if !asked {
		return ""
	}
	u := &glassUse{request: req, plan: plan, reason: reason, controller: slices.Contains(podControllers, req.UserInfo.Username)}
	u.write = last && (req.DryRun == nil || !*req.DryRun)
	if !v.Denied() {
		if !last || u.controller {
			return ""
		}
		return nothing("nothing is refused without it")
	}
	if why := u.mayNot(v.Enforcing); why != "" {
		return nothing(why)
	}
	if a.glass == nil {
		return nothing("policies that are read from files keep no record of it; see portcullis serve --policy")
	}
	if problem := policies.ReasonProblem(reason); problem != "" {
		return fmt.Sprintf("the annotation %s %s", engine.BreakGlassAnnotation, problem)
	}
	req.turns.giveBack() // others have it while the API server is asked
	defer req.turns.retake()
	glass := map[string]*engine.Glass{}
	opened := map[string]bool{}
	for _, policy := range v.Enforcing {
		g, isNew, err := a.glass.find(ctx, u, policy)
		if err != nil {
			a.log.Error("breaking the glass", "policy", policy, "namespace", req.Namespace, "user", req.UserInfo.Username, "err", err)
			return fmt.Sprintf("the glass of policy %s is not broken, because that cannot be recorded: %v", policy, err)
		}
		if g == nil {
			return nothing(fmt.Sprintf("nobody of %s has broken the glass of policy %s here with this reason, or that is over", quoted(plan.BreakGlassOf(policy).Groups), policy))
		}
		glass[policy], opened[policy] = g, isNew
	}
	v.Pass(glass)
	if !last {
		return ""
	}
	return a.glass.tell(u, v.Enforcing, glass, opened)
}

// mayNot says why the requester cannot pass the policies, empty if he can. It also
// notes whether he is a member.
func (u *glassUse) mayNot(enforcing []string) string {
	u.member = !u.controller
	for _, policy := range enforcing {
		settings := u.plan.BreakGlassOf(policy)
		if settings == nil {
			return fmt.Sprintf("%s lets nobody pass by it", policy)
		}
		if u.member && !settings.HasMember(u.UserInfo.Groups) {
			return fmt.Sprintf("%s is in none of the groups that policy %s names: %s", engine.Quote(u.UserInfo.Username), policy, quoted(settings.Groups))
		}
	}
	return ""
}

func nothing(why string) string {
	return fmt.Sprintf("the annotation %s does nothing: %s", engine.BreakGlassAnnotation, why)
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = engine.Quote(name)
	}
	return strings.Join(list, ", ")
}

// find returns what a policy is passed by, and whether this use is the first. For a
// controller there is none unless a member was there before.
func (b *glassBreaker) find(ctx context.Context, u *glassUse, policy string) (*engine.Glass, bool, error) {
	settings := u.plan.BreakGlassOf(policy)
	for {
		var p policies.PodPolicy
		if err := b.reader.Get(ctx, client.ObjectKey{Name: policy}, &p); err != nil {
			return nil, false, fmt.Errorf("reading policy %q: %w", policy, err)
		}
		now := b.now()
		if g := policies.FindBrokenGlass(p.Status.BreakGlass, u.Namespace, u.reason); g != nil && now.Before(g.Ends(settings)) {
			return &engine.Glass{User: g.User, Reason: g.Reason, Until: g.Ends(settings)}, false, nil
		}
		if !u.member {
			return nil, false, nil
		}
		added := settings.NewBrokenGlass(u.Namespace, u.UserInfo.Username, u.reason, now)
		p.Status.BreakGlass = policies.AddBrokenGlass(p.Status.BreakGlass, added, now)
		if u.write {
			if !b.firsts.AllowN(now, 1) {
				return nil, false, errors.New("it is broken for too many reasons at once; try again in a second")
			}
			err := b.writer.Update(ctx, &p)
			if apierrors.IsConflict(err) && ctx.Err() == nil {
				continue // somebody else wrote the status, perhaps the same
			}
			if err != nil {
				return nil, false, fmt.Errorf("writing the status of policy %q: %w", policy, err)
			}
		}
		return &engine.Glass{User: added.User, Reason: added.Reason, Until: added.Until.Time}, true, nil
	}
}

// breakGlassUse is the data of an event about one.
type breakGlassUse struct {
	User     string   `json:"user"`
	Policies []string `json:"policies"`
	// Note is what the Event says: reason and end by policy.
	Note string `json:"note"`
}

// versionOf is the resourceVersion of an object, empty where there is none.
func versionOf(object jsontext.Value) string {
	var o struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if err := jsonv2.Unmarshal(object, &o); err != nil {
		return "" // of a creation, which has no object before it
	}
	return o.Metadata.ResourceVersion
}

// tell counts, logs, makes an Event, tells the sink, and returns what the user is told.
func (b *glassBreaker) tell(u *glassUse, enforcing []string, glass map[string]*engine.Glass, opened map[string]bool) string {
	verb := "is passed"
	if !u.write {
		verb = "would be passed"
	}
	parts := make([]string, len(enforcing))
	for i, policy := range enforcing {
		parts[i] = fmt.Sprintf("policy %s %s: %s", policy, verb, glass[policy])
		if !u.write {
			continue
		}
		use := glassUsed
		switch {
		case opened[policy]:
			use = glassOpened
		case u.controller:
			use = glassFollowed
		}
		b.uses.WithLabelValues(policy, use).Inc()
	}
	text := strings.Join(parts, "; ")
	if !u.write {
		return text
	}
	w := u.plan.Workload
	b.log.Warn("broken glass", "user", u.UserInfo.Username, "kind", w.Kind.Name, "namespace", u.Namespace, "name", w.DisplayName(), "what", text)
	about := &corev1.ObjectReference{
		APIVersion: w.Kind.APIVersion(), Kind: w.Kind.Name, Namespace: u.Namespace, Name: w.DisplayName(),
		UID:             w.Metadata.UID,         // by which kubectl describe finds the Event
		ResourceVersion: versionOf(u.OldObject), // without it a second use were counted as a repetition of the first, whose reason the Event keeps
	}
	const maxNote = 1000 // bytes; the API server takes 1024
	note := shortened(fmt.Sprintf("%s, by %s", text, engine.Quote(u.UserInfo.Username)), maxNote)
	b.recorder.Eventf(about, nil, corev1.EventTypeWarning, "BrokenGlass", "Pass", "%s", note)
	if !u.controller { // which follows what a member did, and was told of
		b.sink.Send(cloudevents.Event{
			Type: cloudevents.BreakGlassUsed, Subject: "namespaces/" + u.Namespace + "/" + w.Kind.Name + "/" + w.DisplayName(), Key: b.now().UTC().Format(time.RFC3339Nano),
			Data: breakGlassUse{User: u.UserInfo.Username, Policies: enforcing, Note: note},
		})
	}
	return text
}
