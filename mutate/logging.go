package mutate

import (
	"errors"
	"fmt"
	"iter"
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
		l := logger{Recorder: r, workload: w, settings: s, container: c}
		if s.KeepLastWords {
			l.keepLastWords()
		}
		if l.asks() {
			if f := l.equip(facts[c.Image]); f != nil {
				findings = append(findings, *f)
			}
		}
		if l.addsEnv() && len(s.Env) > 0 {
			l.add(s.Lacking(nil, c.Env), "env of the policy")
		}
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
}

// asks reports whether what the image says matters.
func (l logger) asks() bool {
	return !l.settings.Catalog.Empty() && l.container.Image != "" && (l.addsEnv() || l.settings.Collector != "")
}

// addsEnv reports whether the container may get variables. What envFrom sets is not
// known here, and env beats it.
func (l logger) addsEnv() bool { return len(l.container.EnvFrom) == 0 || l.settings.AddToEnvFrom }

// keepLastWords has the end of the log become the termination message of a
// container that fails without having written one
// (https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/).
//
// This is the one value of a user that a mutator may replace: the API server fills
// in File before any webhook sees the object, so that File written and File filled
// in are the same here. Nothing that File gives gets lost, since the fallback is
// taken only where the file is empty. Who has chosen another file than the default
// one is taken to have decided, and is left alone.
func (l logger) keepLastWords() {
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
// them. The finding is that they are not known.
func (l logger) equip(fact image.Fact) *pod.Finding {
	if fact.Err != nil || len(fact.Platforms) == 0 {
		return l.unknown(fact.Err)
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
	return nil
}

func (l logger) add(variables []corev1.EnvVar, evidence string) {
	if len(variables) > 0 {
		l.AddEnv(l.container, variables, Reason{Rule: LoggingRule, Container: l.container.Name, Evidence: evidence})
	}
}

// evidence is how a runtime was recognised.
func (l logger) evidence(r policies.Runtime) string {
	by := "the name"
	if r.By != "" {
		by = r.By
	}
	return "the catalog entry " + r.Name + ", by " + by + " of image " + strconv.Quote(l.container.Image)
}

func (l logger) unknown(err error) *pod.Finding {
	f := finding(pod.Image{Reference: &l.container.Image, Name: l.container.Name, Container: &l.container},
		"no variable is set for what it runs, since no registry was asked what that is",
		"set the variables of its runtime in env")
	f.Rule, f.NoAnswer, f.Advisory = LoggingRule, true, true
	var why *image.Error
	if errors.As(err, &why) {
		f.Message = fmt.Sprintf("no variable is set for what it runs, since that is not known: %s", why)
		f.NoAnswer = why.Reason.NoAnswer()
	}
	return &f
}

// imageEnv is the ENV of an image on each platform that counts.
type imageEnv = iter.Seq[[]string]
