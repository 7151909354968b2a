package policies

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Compiled is a policy whose strings have become types: what is in it is valid. It is shared between requests; do not change it.
//
// +kubebuilder:object:generate=false
type Compiled struct {
	Name               string
	Hash               string // stands for what the policy says: other than that of any other spec
	OnRegistryError    RegistryErrorAction
	ExistingViolations ExistingViolations

	// The rules; nil where the policy does not switch one on. The mode of a rule in a namespace is Match.ModeOf(rule.Mode).
	Digests            *CompiledDigests
	Probes             *CompiledProbes
	Logging            *CompiledLogging
	Hardening          *CompiledHardening
	PodSecurity        *CompiledPodSecurity
	RootUser           *CompiledRootUser
	DigestRequirement  *CompiledDigestRequirement
	Registries         *CompiledRegistries
	ProbeRequirement   *CompiledProbeRequirement
	LoggingRequirement *CompiledLoggingRequirement
	Expressions        []CompiledExpression

	// BreakGlass is nil where nobody may pass the policy.
	BreakGlass *CompiledBreakGlass

	mode      Mode
	overrides []override
	scope     scope

	exceptionsAllowed bool
	maxException      time.Duration // after the creation of an exception
}

// AllowsExceptions tells whether an exception can name the policy.
func (c *Compiled) AllowsExceptions() bool { return c.exceptionsAllowed }

type override struct {
	namespaces []Glob
	mode       Mode
}

// Compile makes the set of policies that is in force. The policies need not be defaulted or validated, and are not changed or kept. If any
// is invalid, or two have one name, there is no set: the error is [Problems] and holds everything that is wrong, each with the policy it is in.
func Compile(list []*PodPolicy) (*Set, error) {
	var problems Problems
	compiled := make([]*Compiled, 0, len(list))
	names := map[string]bool{}
	for _, original := range list {
		p := original.DeepCopy()
		Default(p)
		c, found := compile(p)
		if names[p.Name] {
			found = append(found, Problem{Field: "metadata.name", Message: quote(p.Name) + " is the name of another policy too"})
		}
		names[p.Name] = true
		for _, problem := range found {
			problem.Source = Kind + " " + quote(p.Name)
			problems = append(problems, problem)
		}
		c.Hash = specHash(&p.Spec)
		compiled = append(compiled, c)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	return newSet(compiled), nil
}

// Validate returns everything that is wrong with p, which must have its defaults ([Default]). Its messages are the ones that `kubectl apply`,
// `portcullis check` and the log of the webhook show. Validating is compiling, so nothing that is valid fails to compile.
func Validate(p *PodPolicy) Problems {
	_, problems := compile(p)
	return problems
}

// compile shares memory with p. What it returns is of use only if there are no problems.
func compile(p *PodPolicy) (*Compiled, Problems) {
	b := &builder{}
	b.metadata(&p.ObjectMeta)
	path := field.NewPath("spec")
	c := &Compiled{
		Name:               p.Name,
		OnRegistryError:    oneOf(b, path.Child("onRegistryError"), p.Spec.OnRegistryError, "an action", RegistryErrorActions()),
		ExistingViolations: oneOf(b, path.Child("existingViolations"), p.Spec.ExistingViolations, "an action", AllExistingViolations()),
		mode:               oneOf(b, path.Child("mode"), p.Spec.Mode, "a mode", Modes()),
		overrides:          b.overrides(path.Child("modeOverrides"), p.Spec.ModeOverrides),
		scope:              b.scope(path.Child("match"), &p.Spec.Match),
	}
	b.rules(c, path, &p.Spec)
	b.exceptions(c, path.Child("exceptions"), &p.Spec.Exceptions)
	c.BreakGlass = b.breakGlass(path.Child("breakGlass"), p.Spec.BreakGlass)
	return c, b.problems
}

// specHash is the beginning of a digest, by which two versions of a policy are told apart and nobody is kept from forging one.
func specHash(spec *PodPolicySpec) string {
	data, err := json.Marshal(spec)
	if err != nil {
		return "" // a spec is made of texts, numbers and lists
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// rules switches on the rules whose sections are there.
func (b *builder) rules(c *Compiled, path *field.Path, spec *PodPolicySpec) {
	mutators := b.mutators(c, path.Child("mutate"), &spec.Mutate)
	checks := b.validators(c, path.Child("validate"), &spec.Validate)
	if mutators+checks == 0 {
		b.refuse(path, "no rule is switched on; add mutate.digests, mutate.probes, mutate.logging, mutate.hardening, validate.podSecurity, "+
			"validate.rootUser, validate.digests, validate.registries, validate.probes, validate.logging or validate.expressions")
	}
}

// mutators returns how many there are.
func (b *builder) mutators(c *Compiled, path *field.Path, spec *MutateSpec) (count int) {
	if digests := spec.Digests; digests != nil {
		c.Digests = b.digests(path.Child("digests"), digests)
		count++
	}
	if probes := spec.Probes; probes != nil {
		c.Probes = b.probes(path.Child("probes"), probes)
		count++
	}
	if logging := spec.Logging; logging != nil {
		c.Logging = b.logging(path.Child("logging"), logging)
		count++
	}
	if hardening := spec.Hardening; hardening != nil {
		c.Hardening = b.hardening(path.Child("hardening"), hardening)
		count++
	}
	return count
}

// validators returns how many there are.
func (b *builder) validators(c *Compiled, path *field.Path, spec *ValidateSpec) (count int) {
	if ps := spec.PodSecurity; ps != nil {
		c.PodSecurity = b.podSecurity(path.Child("podSecurity"), ps)
		count++
	}
	if user := spec.RootUser; user != nil {
		c.RootUser = b.rootUser(path.Child("rootUser"), user)
		count++
	}
	if digests := spec.Digests; digests != nil {
		c.DigestRequirement = b.digestRequirement(path.Child("digests"), digests)
		count++
	}
	if registries := spec.Registries; registries != nil {
		c.Registries = b.registries(path.Child("registries"), registries)
		count++
	}
	if probes := spec.Probes; probes != nil {
		c.ProbeRequirement = b.probeRequirement(path.Child("probes"), probes)
		count++
	}
	if logging := spec.Logging; logging != nil {
		c.LoggingRequirement = b.loggingRequirement(path.Child("logging"), logging, c.Logging)
		count++
	}
	if len(spec.Expressions) > 0 {
		c.Expressions = b.expressions(path.Child("expressions"), spec.Expressions)
		count++
	}
	return count
}

func (b *builder) scope(path *field.Path, match *MatchSpec) scope {
	s := scope{
		namespaces: b.globs(path.Child("namespaces"), match.Namespaces),
		excluded:   b.globs(path.Child("excludeNamespaces"), match.ExcludeNamespaces),
		namespace:  b.selector(path.Child("namespaceSelector"), match.NamespaceSelector),
		object:     b.selector(path.Child("objectSelector"), match.ObjectSelector),
		kinds:      b.kinds(path.Child("kinds"), match.Kinds),

		excludedUsers:          b.usernames(path.Child("excludeUsernames"), match.ExcludeUsernames),
		excludedRuntimeClasses: b.runtimeClasses(path.Child("excludeRuntimeClasses"), match.ExcludeRuntimeClasses),
	}
	for i, excluded := range s.excluded {
		if excluded.Covers(Glob{text: "*"}) {
			b.refuse(path.Child("excludeNamespaces").Index(i), "%s leaves out every namespace; delete the policy instead", quote(excluded.text))
			continue
		}
		for j, namespace := range s.namespaces {
			if excluded.Covers(namespace) {
				b.refuse(path.Child("namespaces").Index(j), "%s is left out again by %s in excludeNamespaces", quote(namespace.text), quote(excluded.text))
			}
		}
	}
	return s
}

func (b *builder) kinds(path *field.Path, kinds []WorkloadKind) []WorkloadKind {
	if !b.atMost(path, len(kinds), len(WorkloadKinds())) {
		return nil
	}
	for i, kind := range kinds {
		oneOf(b, path.Index(i), kind, "a kind", WorkloadKinds())
		if slices.Contains(kinds[:i], kind) {
			b.refuse(path.Index(i), "%s is listed twice", quote(string(kind)))
		}
	}
	return kinds
}

func (b *builder) overrides(path *field.Path, list []ModeOverride) []override {
	if !b.atMost(path, len(list), 64) {
		return nil
	}
	overrides := make([]override, 0, len(list))
	for i, entry := range list {
		at := path.Index(i)
		if len(entry.Namespaces) == 0 {
			b.refuse(at.Child("namespaces"), "is empty; name the namespaces that have this mode")
		}
		compiled := override{
			namespaces: b.globs(at.Child("namespaces"), entry.Namespaces),
			mode:       oneOf(b, at.Child("mode"), entry.Mode, "a mode", Modes()),
		}
		for j, namespace := range compiled.namespaces {
			if earlier, found := coveredBy(overrides, namespace); found {
				b.refuse(at.Child("namespaces").Index(j), "%s never counts: %s in an entry before it is used first", quote(namespace.text), quote(earlier.text))
			}
		}
		overrides = append(overrides, compiled)
	}
	return overrides
}

// coveredBy finds the glob of an earlier override that takes all that g matches.
func coveredBy(overrides []override, g Glob) (Glob, bool) {
	for _, earlier := range overrides {
		for _, candidate := range earlier.namespaces {
			if candidate.Covers(g) {
				return candidate, true
			}
		}
	}
	return Glob{}, false
}

// selector is nil for a selector that selects everything, which then costs nothing.
func (b *builder) selector(path *field.Path, selector *metav1.LabelSelector) labels.Selector {
	for _, err := range metavalidation.ValidateLabelSelector(selector, metavalidation.LabelSelectorValidationOptions{}, path) {
		message := err.ErrorBody()
		if strings.HasSuffix(err.Field, ".operator") {
			message += "; use In, NotIn, Exists or DoesNotExist"
		}
		b.problems = append(b.problems, Problem{Field: err.Field, Message: message})
	}
	if selector == nil || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return nil
	}
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return labels.Nothing() // ValidateLabelSelector has said why
	}
	return compiled
}
