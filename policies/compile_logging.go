package policies

import (
	"cmp"
	"regexp"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// CompiledLogging is spec.mutate.logging.
//
// +kubebuilder:object:generate=false
type CompiledLogging struct {
	CompiledMutator

	// Catalog are the runtimes that count.
	Catalog *RuntimeCatalog
	// Env are variables for every container, whatever its image.
	Env []LoggingVariable
	// AddToEnvFrom tells whether containers with envFrom get variables too.
	AddToEnvFrom bool
	// KeepLastWords tells whether terminationMessagePolicy becomes FallbackToLogsOnError.
	KeepLastWords bool
	// Collector is the log collector in use, empty where none is told anything.
	Collector LogCollector
}

// CompiledLoggingRequirement is spec.validate.logging.
//
// +kubebuilder:object:generate=false
type CompiledLoggingRequirement struct {
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// Environment is what is required of every container's variables; nil: nothing.
	Environment *CompiledLogging
	// TerminationMessagePolicy tells whether FallbackToLogsOnError is required.
	TerminationMessagePolicy bool
}

func (b *builder) logging(path *field.Path, logging *LoggingInjection) *CompiledLogging {
	compiled := &CompiledLogging{
		CompiledMutator: b.mutator(path, &logging.MutatorSettings),
		Env:             b.loggingEnv(path.Child("env"), logging.Env),
		AddToEnvFrom:    oneOf(b, path.Child("envFrom"), logging.EnvFrom, "an action", EnvFromActions()) == EnvFromAdd,
		Collector:       logging.Collector,
	}
	messages := oneOf(b, path.Child("terminationMessagePolicy"), logging.TerminationMessagePolicy, "a policy", AllTerminationMessages())
	compiled.KeepLastWords = messages == TerminationMessagesFromLogs
	if logging.Collector != "" {
		oneOf(b, path.Child("collector"), logging.Collector, "a collector that reads annotations about the content of logs", LogCollectors())
	}
	shipped := oneOf(b, path.Child("defaultCatalog"), logging.DefaultCatalog, "a use of a catalog", CatalogUses()) != CatalogExclude
	if !shipped && len(logging.Catalog)+len(logging.Env) == 0 && messages == TerminationMessagesUnchanged {
		b.refuse(path, "changes nothing; set defaultCatalog to Include, or give catalog, env or a terminationMessagePolicy")
	}
	runtimes := b.runtimes(path.Child("catalog"), logging.Catalog)
	if shipped {
		runtimes = withShipped(runtimes)
	}
	format := oneOf(b, path.Child("format"), logging.Format, "a format", LogFormats())
	compiled.Catalog = newRuntimeCatalog(b.inUse(path.Child("runtimes"), logging.Runtimes, runtimes), format)
	return compiled
}

// loggingRequirement takes from mutate.logging of the same policy what it sets; nil means the defaults.
func (b *builder) loggingRequirement(path *field.Path, logging *LoggingRequirement, sets *CompiledLogging) *CompiledLoggingRequirement {
	compiled := &CompiledLoggingRequirement{Mode: b.ruleMode(path.Child("mode"), logging.Mode)}
	if !b.atMost(path.Child("require"), len(logging.Require), len(LoggingChecks())) {
		return compiled
	}
	for i, check := range logging.Require {
		at := path.Child("require").Index(i)
		oneOf(b, at, check, "something to require", LoggingChecks())
		if slices.Contains(logging.Require[:i], check) {
			b.refuse(at, "%s is listed twice", quote(string(check)))
		}
		switch check {
		case LoggingTerminationMessagePolicy:
			compiled.TerminationMessagePolicy = true
		case LoggingEnvironment:
			compiled.Environment = sets
			if sets == nil {
				compiled.Environment = &CompiledLogging{Catalog: newRuntimeCatalog(withShipped(nil), LogFormatStructured)}
			}
		}
	}
	return compiled
}

var (
	runtimeNameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	// What IsEnvVarName of k8s.io/apimachinery/pkg/util/validation has accepted in all versions.
	envNameForm   = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*$`)
	envPrefixForm = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*\*?$`)
	imageEnvForm  = regexp.MustCompile(`^[-._a-zA-Z][-._a-zA-Z0-9]*(\*|=.*)?$`)
)

const (
	longestEnvName  = 253
	longestEnvValue = 1024
)

// runtimes are the entries of a policy's own catalog.
func (b *builder) runtimes(path *field.Path, entries []LoggingRuntime) []compiledRuntime {
	if !b.atMost(path, len(entries), 64) {
		return nil
	}
	var runtimes []compiledRuntime
	for i := range entries {
		entry, at := &entries[i], path.Index(i)
		if !runtimeNameForm.MatchString(entry.Name) || len(entry.Name) > longestName {
			b.refuse(at.Child("name"), "%s is not a name; use at most %d lower-case letters, digits and - (not first or last)", quote(entry.Name), longestName)
		}
		if slices.ContainsFunc(entries[:i], func(e LoggingRuntime) bool { return e.Name == entry.Name }) {
			b.refuse(at.Child("name"), "%s is the name of an entry before it", quote(entry.Name))
		}
		if len(entry.Images)+len(entry.ImageEnv) == 0 {
			b.refuse(at, "no image can match; name some by images, imageEnv or both")
		}
		if b.atMost(at.Child("imageEnv"), len(entry.ImageEnv), 32) {
			b.envNames(at.Child("imageEnv"), entry.ImageEnv, imageEnvForm, "NAME, NAME* or NAME=VALUE")
		}
		var images []ImagePattern
		if b.atMost(at.Child("images"), len(entry.Images), 64) {
			images = b.images(at.Child("images"), entry.Images)
		}
		b.runtimeEnv(at.Child("env"), entry.Env)
		runtimes = append(runtimes, newRuntime(entry, images))
	}
	return runtimes
}

func (b *builder) runtimeEnv(path *field.Path, env []RuntimeVariable) {
	if len(env) == 0 {
		b.refuse(path, "is empty; name the variables that make it log to its standard output")
	}
	if !b.atMost(path, len(env), 16) {
		return
	}
	for i := range env {
		at := path.Index(i)
		b.envVariable(at, env[i].Name, env[i].Value)
		if slices.ContainsFunc(env[:i], func(v RuntimeVariable) bool { return v.Name == env[i].Name }) {
			b.refuse(at.Child("name"), "%s is set twice", quote(env[i].Name))
		}
		if b.atMost(at.Child("unless"), len(env[i].Unless), 16) {
			b.envNames(at.Child("unless"), env[i].Unless, envPrefixForm, "NAME or NAME*")
		}
	}
}

func (b *builder) loggingEnv(path *field.Path, env []LoggingVariable) []LoggingVariable {
	if !b.atMost(path, len(env), 32) {
		return nil
	}
	for i := range env {
		b.envVariable(path.Index(i), env[i].Name, env[i].Value)
		if slices.ContainsFunc(env[:i], func(v LoggingVariable) bool { return v.Name == env[i].Name }) {
			b.refuse(path.Index(i).Child("name"), "%s is set twice", quote(env[i].Name))
		}
	}
	return env
}

func (b *builder) envVariable(path *field.Path, name, value string) {
	if !envNameForm.MatchString(name) || len(name) > longestEnvName {
		b.refuse(path.Child("name"), "%s is not the name of a variable; use at most %d letters, digits and - _ . (no digit first)", quote(name), longestEnvName)
	}
	if count := utf8.RuneCountInString(value); count > longestEnvValue { // as the API server counts
		b.refuse(path.Child("value"), "has %d characters; %d is the limit", count, longestEnvValue)
	}
}

func (b *builder) envNames(path *field.Path, patterns []string, form *regexp.Regexp, want string) {
	for i, pattern := range patterns {
		switch {
		case !form.MatchString(pattern) || len(pattern) > longestEnvName:
			b.refuse(path.Index(i), "%s names no variable; write %s, in at most %d letters, digits and - _ . (no digit first)", quote(pattern), want, longestEnvName)
		case slices.Contains(patterns[:i], pattern):
			b.refuse(path.Index(i), "%s is listed twice", quote(pattern))
		}
	}
}

// inUse are the runtimes that are named, or all where none is.
func (b *builder) inUse(path *field.Path, names []string, runtimes []compiledRuntime) []compiledRuntime {
	if names == nil {
		return runtimes
	}
	if len(names) == 0 {
		b.refuse(path, "is empty; name runtimes, or leave it out for all of them")
	}
	if !b.atMost(path, len(names), 128) {
		return nil
	}
	for i, name := range names {
		known := slices.ContainsFunc(runtimes, func(r compiledRuntime) bool { return r.Name == name })
		switch {
		case len(runtimes) == 0:
			b.refuse(path.Index(i), "%s is in no catalog; there is none, set defaultCatalog to Include", quote(name))
		case !known:
			b.refuse(path.Index(i), "%s is in no catalog; use %s", quote(name), either(runtimeNames(runtimes)))
		case slices.Contains(names[:i], name):
			b.refuse(path.Index(i), "%s is listed twice", quote(name))
		}
	}
	return slices.DeleteFunc(runtimes, func(r compiledRuntime) bool { return !slices.Contains(names, r.Name) })
}

func runtimeNames(runtimes []compiledRuntime) []string {
	names := make([]string, len(runtimes))
	for i := range runtimes {
		names[i] = runtimes[i].Name
	}
	return names
}

func defaultLogging(l *LoggingInjection) {
	l.DefaultCatalog = cmp.Or(l.DefaultCatalog, CatalogInclude)
	l.Format = cmp.Or(l.Format, LogFormatStructured)
	l.EnvFrom = cmp.Or(l.EnvFrom, EnvFromSkip)
	l.TerminationMessagePolicy = cmp.Or(l.TerminationMessagePolicy, TerminationMessagesFromLogs)
}
