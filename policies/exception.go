package policies

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

// CompiledException is a PolicyException whose strings have become types, as the policies in force let it be. It is shared between requests; do
// not change it.
//
// +kubebuilder:object:generate=false
type CompiledException struct {
	// Namespace and Name are the exception's own.
	Namespace, Name string
	// Owner, Reason and Ticket are what its author wrote. Quote them where a terminal shows them.
	Owner, Reason, Ticket string

	ends       map[string]time.Time // by policy; a policy that is not there, or allows no exceptions, is not here
	mutators   []string             // keys of spec.mutate
	checks     map[string][]string  // by key of spec.validate; empty: all checks
	namespaces []Glob
	kinds      []WorkloadKind // empty: all
	names      []string       // empty: all
	pods       labels.Selector
	containers []Glob
	images     []ImagePattern
}

// ExceptionTarget is what an exception can select a workload by.
//
// +kubebuilder:object:generate=false
type ExceptionTarget struct {
	// Kind, Name and GenerateName are the workload's. Name is empty while the API server has not made one from GenerateName.
	Kind, Name, GenerateName string
	// PodLabels are the labels of its pod template, or those of a Pod.
	PodLabels map[string]string
}

// String is the exception as namespace/name.
func (e *CompiledException) String() string {
	if e.Namespace == "" {
		return e.Name
	}
	return e.Namespace + "/" + e.Name
}

// Ends is when the exception ends for a policy: at its expiresAt, or earlier where the policy's maxDuration after its creation is. From that
// second on it covers nothing. It is false for a policy that it does not name, that is not in force or that allows no exceptions.
func (e *CompiledException) Ends(policy string) (time.Time, bool) {
	end, named := e.ends[policy]
	return end, named
}

// LastEnd is when the exception ends for the last of its policies, and false if no policy that it names is in force and allows exceptions.
func (e *CompiledException) LastEnd() (last time.Time, counts bool) {
	for _, end := range e.ends {
		if end.After(last) {
			last = end
		}
	}
	return last, len(e.ends) > 0
}

// NextEnd is the first of the exception's ends that is still ahead, and false if there is none.
func (e *CompiledException) NextEnd(now time.Time) (next time.Time, ahead bool) {
	for _, end := range e.ends {
		if end.After(now) && (!ahead || end.Before(next)) {
			next, ahead = end, true
		}
	}
	return next, ahead
}

// CoversMutator tells whether a repair is left out, by the key of its section in spec.mutate.
func (e *CompiledException) CoversMutator(rule string) bool { return slices.Contains(e.mutators, rule) }

// CoversCheck tells whether findings of a check are exempt, by the key of its section in spec.validate and by its id.
func (e *CompiledException) CoversCheck(rule, check string) bool {
	checks, named := e.checks[rule]
	return named && (len(checks) == 0 || slices.Contains(checks, check))
}

// Mutates and Validates tell whether the exception is about repairs, and about checks.
func (e *CompiledException) Mutates() bool { return len(e.mutators) > 0 }

// Validates tells whether the exception is about checks.
func (e *CompiledException) Validates() bool { return len(e.checks) > 0 }

// CoversWorkload tells whether the exception selects a workload of a namespace that it covers.
func (e *CompiledException) CoversWorkload(t ExceptionTarget) bool {
	return e.coversWorkload(t, newWorkloadName(t.Name, t.GenerateName))
}

func (e *CompiledException) coversWorkload(t ExceptionTarget, name workloadName) bool {
	if e.pods != nil && !e.pods.Matches(labels.Set(t.PodLabels)) {
		return false
	}
	kind := WorkloadKind(t.Kind)
	if len(e.names) == 0 {
		return len(e.kinds) == 0 || slices.Contains(e.kinds, kind)
	}
	if !slices.ContainsFunc(e.names, name.mayFollow) {
		return false
	}
	kinds := e.kinds
	if len(kinds) == 0 {
		kinds = WorkloadKinds()
	}
	for _, owner := range e.names {
		for _, ownerKind := range kinds {
			if kind == ownerKind && name.full == owner || generated(kind, name, ownerKind, owner) {
				return true
			}
		}
	}
	return false
}

// Narrow tells whether the exception covers some containers of a workload alone, so that CoversContainer has to be asked.
func (e *CompiledException) Narrow() bool { return len(e.containers)+len(e.images) > 0 }

// CoversContainer tells whether a container is covered. The image is a canonical name without tag and digest, as image.Reference.Name makes it,
// or "" when it is not known, which only exceptions without images cover. The name is "" for an image that no container runs.
func (e *CompiledException) CoversContainer(name, image string) bool {
	return (len(e.containers) == 0 || anyMatches(e.containers, name)) &&
		(len(e.images) == 0 || slices.ContainsFunc(e.images, func(p ImagePattern) bool { return p.Match(image) }))
}

// exceptionIndex finds the exceptions that cover a namespace: those that name it through the name, so that the exceptions of many teams cost
// the requests of other teams nothing.
type exceptionIndex struct {
	all   []*CompiledException // by namespace and name
	named map[string][]*CompiledException
	globs []*CompiledException
}

// add lists an exception under the namespaces that it names, or among those that have a glob.
func (x *exceptionIndex) add(e *CompiledException) {
	x.all = append(x.all, e)
	if len(e.ends) == 0 {
		return
	}
	if slices.ContainsFunc(e.namespaces, func(g Glob) bool { return !g.Exact() }) {
		x.globs = append(x.globs, e)
		return
	}
	for _, namespace := range e.namespaces {
		x.named[namespace.text] = append(x.named[namespace.text], e)
	}
}

// WithExceptions is the set together with exceptions, which need not be defaulted and are not kept. Where an exception ends follows from the
// policies of the set; one that names no policy of it counts for nothing. If any is invalid, or two have one name, the error is [Problems].
func (s *Set) WithExceptions(list []*PolicyException) (*Set, error) {
	var problems Problems
	x := exceptionIndex{named: map[string][]*CompiledException{}}
	sorted := slices.SortedFunc(slices.Values(list), func(a, b *PolicyException) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i, original := range sorted {
		e, found := compileException(original.DeepCopy(), s.policies)
		if i > 0 && sorted[i-1].Namespace == original.Namespace && sorted[i-1].Name == original.Name {
			found = append(found, Problem{Field: "metadata.name", Message: quote(e.Name) + " is the name of another exception too"})
		}
		for _, problem := range found {
			problem.Source = ExceptionKind + " " + quote(e.String())
			problems = append(problems, problem)
		}
		x.add(e)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	with := *s
	with.exceptions = x
	return &with, nil
}

// Exceptions are all exceptions of the set, by namespace and name.
func (s *Set) Exceptions() []*CompiledException { return s.exceptions.all }

// Policies are all policies of the set, by name.
func (s *Set) Policies() []*Compiled { return s.policies }

// Excepting appends the exceptions that cover a workload in a namespace to dst and returns it, as append does. Some may have ended.
func (s *Set) Excepting(dst []*CompiledException, namespace string, t ExceptionTarget) []*CompiledException {
	named, globs := s.exceptions.named[namespace], s.exceptions.globs
	if len(named)+len(globs) == 0 {
		return dst
	}
	name := newWorkloadName(t.Name, t.GenerateName)
	for _, e := range named {
		if e.coversWorkload(t, name) {
			dst = append(dst, e)
		}
	}
	for _, e := range globs {
		if anyMatches(e.namespaces, namespace) && e.coversWorkload(t, name) {
			dst = append(dst, e)
		}
	}
	return dst
}
