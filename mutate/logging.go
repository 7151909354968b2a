package mutate

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// LoggingRule is the key of the section that this file carries out.
const LoggingRule = "logging"

// Logging makes containers log where a log collector looks, which is what they
// write to stdout and stderr:
//
//   - It appends the variables by which the runtime of the image writes there,
//     unbuffered, without colours or as JSON. The runtime is recognised by the
//     image's ENV and by its name, the variables are those of the policy's catalog.
//     None is added about which the container or its image has decided, under that
//     name or one that decides the same; the order of what is there stays.
//     Nor is one whose value the kubelet would put into the command, where it has
//     left $(NAME) as it is: that is a warning.
//   - It has the end of the log kept as the termination message of a container that
//     fails, see keepLastWords.
//   - It tells the collector in use, by annotations, what it knows of the logs.
//
// Init containers and sidecars log too and are treated alike. Ephemeral containers
// are somebody's shell and are left alone.
func Logging(r *Recorder, w *pod.Workload, s *policies.CompiledLogging, facts image.Facts) []pod.Finding {
	var findings []pod.Finding
	for c := range w.Containers() {
		if c.Type == pod.Ephemeral {
			continue
		}
		l := &logger{Recorder: r, workload: w, settings: s, container: c}
		if s.KeepLastWords {
			l.keepLastWords()
		}
		if l.asks() {
			l.equip(facts[c.Image])
		}
		if l.addsEnv() && len(s.Env) > 0 {
			l.add(s.Lacking(nil, c.Env), "env of the policy")
		}
		findings = append(findings, l.findings...)
	}
	return findings
}

// LoggingNeeds are the image facts that Logging will ask for.
func LoggingNeeds(w *pod.Workload, s *policies.CompiledLogging) []image.Need {
	var needs []image.Need
	for c := range w.Containers() {
		l := logger{workload: w, settings: s, container: c}
		if c.Type != pod.Ephemeral && l.asks() {
			needs = append(needs, image.Need{Image: c.Image, Config: true})
		}
	}
	return needs
}

// logger is Logging at work on one container.
type logger struct {
	*Recorder
	workload  *pod.Workload
	settings  *policies.CompiledLogging
	container pod.Container
	findings  []pod.Finding
	withheld  []string // names of variables that findings are about
}

// asks reports whether what the image says matters.
func (l *logger) asks() bool {
	return !l.settings.Catalog.Empty() && l.container.Image != "" && (l.addsEnv() || l.settings.Collector != "")
}

// addsEnv reports whether the container may get variables. What envFrom sets is not
// known here, and env beats it.
func (l *logger) addsEnv() bool { return len(l.container.EnvFrom) == 0 || l.settings.AddToEnvFrom }

// keepLastWords has the end of the log become the termination message of a
// container that fails without having written one
// (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/).
//
// This is the one value of a user that a mutator may replace: the API server fills
// in File before any webhook sees the object, so that File written and File filled
// in are the same here. A file that is repaired could tell them apart, and gets the
// same nevertheless: it is to say what the cluster will store, else who compares the
// two sees a difference for ever. Nothing that File gives gets lost, since the fallback is
// taken only where the file is empty. Who has chosen another file than the default
// one is taken to have decided, and is left alone.
func (l *logger) keepLastWords() {
	c := l.container
	if c.TerminationMessagePath != "" && c.TerminationMessagePath != corev1.TerminationMessagePathDefault {
		return
	}
	at := func() pod.Path { return c.Path().Child("terminationMessagePolicy") }
	why := Reason{Rule: LoggingRule, Container: c.Name, Evidence: "terminationMessagePolicy of the policy"}
	switch c.TerminationMessagePolicy {
	case "":
		Set(l.Recorder, &c.TerminationMessagePolicy, at(), corev1.TerminationMessageFallbackToLogsOnError, why)
	case corev1.TerminationMessageReadFile:
		Replace(l.Recorder, &c.TerminationMessagePolicy, at(), corev1.TerminationMessageFallbackToLogsOnError, why)
	}
}

// equip adds what the runtimes of the image lack, and tells the collector about
// them. It finds that they are not known.
func (l *logger) equip(fact image.Fact) {
	if fact.Err != nil || len(fact.Platforms) == 0 {
		l.findings = append(l.findings, l.unknown(fact.Err))
		return
	}
	var buffer [4]policies.Runtime
	env := fact.EnvFor(l.workload.IsWindows())
	runtimes := l.settings.Catalog.Recognise(buffer[:0], fact.Reference.Name(), env)
	if l.addsEnv() {
		for _, runtime := range runtimes {
			if missing := runtime.Lacking(nil, l.container.Env, env); len(missing) > 0 {
				l.add(missing, l.evidence(runtime))
			}
		}
	}
	if l.settings.Collector != "" {
		l.tellCollector(runtimes, env)
	}
}

func (l *logger) add(variables []corev1.EnvVar, evidence string) {
	variables = slices.DeleteFunc(variables, l.changesCommand)
	if len(variables) > 0 {
		l.AddEnv(l.container, variables, Reason{Rule: LoggingRule, Container: l.container.Name, Evidence: evidence})
	}
}

// changesCommand reports whether the kubelet would put the value of a variable in
// where the container has $(NAME), which stays as it is while there is none, and
// finds so.
func (l *logger) changesCommand(v corev1.EnvVar) bool {
	if !l.container.Expands(v.Name) {
		return false
	}
	if slices.Contains(l.withheld, v.Name) {
		return true // by another runtime of the image
	}
	l.withheld = append(l.withheld, v.Name)
	l.findings = append(l.findings, pod.Finding{
		Rule: LoggingRule, Container: l.container.Name, Path: l.container.Path().Child("env"), Advisory: true,
		Message: fmt.Sprintf("%s is not set, since the kubelet would put its value in for the $(%[1]s) that the container has", v.Name),
		Fix:     fmt.Sprintf("set %s in env, or write $$(%[1]s) for the text $(%[1]s)", v.Name),
	})
	return true
}

// evidence is how a runtime was recognised.
func (l *logger) evidence(r policies.Runtime) string {
	by := "the name"
	if r.By != "" {
		by = r.By
	}
	return "the catalog entry " + r.Name + ", by " + by + " of image " + strconv.Quote(l.container.Image)
}

func (l *logger) unknown(err error) pod.Finding {
	f := finding(pod.Image{Reference: &l.container.Image, Name: l.container.Name, Container: &l.container},
		"no variable is set for what it runs, since no registry was asked what that is",
		"set the variables of its runtime in env")
	f.Rule, f.NoAnswer, f.Advisory = LoggingRule, true, true
	var why *image.Error
	if errors.As(err, &why) {
		f.Message = fmt.Sprintf("no variable is set for what it runs, since that is not known: %s", why)
		f.NoAnswer = why.Reason.NoAnswer()
	}
	return f
}

// imageEnv is the ENV of an image on each platform that counts.
type imageEnv = iter.Seq[[]string]
