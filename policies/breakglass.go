package policies

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const (
	// defaultBreakGlass is spec.breakGlass.maxDuration of a policy that does not set it.
	defaultBreakGlass = 4 * time.Hour
	// longestBreakGlass bounds it.
	longestBreakGlass = 24 * time.Hour
	// MaxBrokenGlass bounds the uses that a policy keeps, of all namespaces.
	MaxBrokenGlass = 32
	// The bounds of a reason, in characters.
	minBreakGlassReason, maxBreakGlassReason = 10, 200
)

// CompiledBreakGlass is a valid spec.breakGlass.
//
// +kubebuilder:object:generate=false
type CompiledBreakGlass struct {
	Groups      []string
	MaxDuration time.Duration
}

// anybody are groups that say nothing about who is in them.
var anybody = []string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}

// breakGlass reads spec.breakGlass.
func (b *builder) breakGlass(path *field.Path, settings *BreakGlass) *CompiledBreakGlass {
	if settings == nil {
		return nil
	}
	c := &CompiledBreakGlass{Groups: settings.Groups, MaxDuration: defaultBreakGlass}
	groups := path.Child("groups")
	if len(settings.Groups) == 0 {
		b.refuse(groups, "is empty; name the groups whose members may pass")
	}
	if b.atMost(groups, len(settings.Groups), 32) {
		for i, group := range settings.Groups {
			switch {
			case slices.Contains(settings.Groups[:i], group):
				b.refuse(groups.Index(i), "%s is listed twice", quote(group))
			case slices.Contains(anybody, group):
				b.refuse(groups.Index(i), "%s names a group that anybody is in; name one of people who are on call", quote(group))
			case group == "" || len(group) > 253 || strings.ContainsAny(group, "* \t\n\r\f\v"):
				b.refuse(groups.Index(i), "%s is not the name of a group; write it as the API server knows it", quote(group))
			}
		}
	}
	if settings.MaxDuration == nil {
		return c
	}
	switch longest := settings.MaxDuration.Duration; {
	case longest <= 0:
		b.refuse(path.Child("maxDuration"), "%s lets nobody pass; leave spec.breakGlass out instead", quote(durationText(longest)))
	case longest%time.Second != 0:
		b.refuse(path.Child("maxDuration"), "%s has parts of a second; write whole seconds", quote(durationText(longest)))
	case longest > longestBreakGlass:
		b.refuse(path.Child("maxDuration"), "%s is longer than 24h; make an exception for what lasts", quote(durationText(longest)))
	default:
		c.MaxDuration = longest
	}
	return c
}

// HasMember reports whether a user who is in some groups may pass.
func (c *CompiledBreakGlass) HasMember(groups []string) bool {
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(c.Groups, g) })
}

// ReasonProblem says what is wrong with a reason for breaking the glass, and what to
// write instead. It is empty for one that counts.
func ReasonProblem(reason string) string {
	switch count := utf8.RuneCountInString(strings.TrimSpace(reason)); {
	case count == 0:
		return "gives no reason; write one of 10 to 200 characters, such as a ticket and what is being repaired"
	case count < minBreakGlassReason:
		return quote(reason) + " is too short for a reason; write 10 to 200 characters, such as a ticket and what is being repaired"
	case utf8.RuneCountInString(reason) > maxBreakGlassReason || !utf8.ValidString(reason):
		return "is too long for a reason; write 10 to 200 characters, such as a ticket and what is being repaired"
	}
	return ""
}

// For reports whether a use is about a reason in a namespace.
func (g *BrokenGlass) For(namespace, reason string) bool {
	return g.Namespace == namespace && g.Reason == reason
}

// Ends is when a use ends: earlier than it was told where the policy has become
// stricter.
func (g *BrokenGlass) Ends(c *CompiledBreakGlass) time.Time {
	if ends := g.Since.Add(c.MaxDuration); ends.Before(g.Until.Time) {
		return ends
	}
	return g.Until.Time
}

// FindBrokenGlass returns the use for a reason in a namespace that ends last, nil
// where there is none.
func FindBrokenGlass(list []BrokenGlass, namespace, reason string) *BrokenGlass {
	var last *BrokenGlass
	for i := range list {
		if g := &list[i]; g.For(namespace, reason) && (last == nil || last.Until.Before(&g.Until)) {
			last = g
		}
	}
	return last
}

// AddBrokenGlass adds a use to a list. Where there is no room it leaves out one that
// has ended, the earliest; without any, that which ends first in the namespace with the
// most: whoever fills the list, in whatever name, shuts nobody else out by it.
func AddBrokenGlass(list []BrokenGlass, added BrokenGlass, now time.Time) []BrokenGlass {
	kept := slices.Clone(list)
	for len(kept) >= MaxBrokenGlass {
		last := leastNeeded(kept, now)
		kept = slices.Delete(kept, last, last+1)
	}
	return append(kept, added)
}

// leastNeeded is the place of the use that makes room for another.
func leastNeeded(list []BrokenGlass, now time.Time) int {
	uses := map[string]int{}
	for i := range list {
		if now.Before(list[i].Until.Time) {
			uses[list[i].Namespace]++
		}
	}
	rank := func(g *BrokenGlass) int {
		if now.Before(g.Until.Time) {
			return uses[g.Namespace]
		}
		return MaxBrokenGlass + 1 // before all that are open
	}
	first := 0
	for i := range list {
		g, best := &list[i], &list[first]
		if r, other := rank(g), rank(best); r > other || r == other && g.Until.Before(&best.Until) {
			first = i
		}
	}
	return first
}

// NewBrokenGlass is a first use. Times are of whole seconds, as the API server keeps
// them.
func (c *CompiledBreakGlass) NewBrokenGlass(namespace, user, reason string, now time.Time) BrokenGlass {
	since := now.Truncate(time.Second)
	return BrokenGlass{Namespace: namespace, User: user, Reason: reason, Since: metav1.NewTime(since), Until: metav1.NewTime(since.Add(c.MaxDuration))}
}
