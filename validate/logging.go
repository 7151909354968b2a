package validate

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// LoggingRule is the key of the section that this file judges.
const LoggingRule = "logging"

// The checks of LoggingRule. The last two are off unless the policy requires them.
const (
	logDirectory          = "logDirectory"
	logRedirect           = "redirect"
	logTailSidecar        = "tailSidecar"
	logEnvironment        = "environment"
	logTerminationMessage = "terminationMessagePolicy"
)

// Logging finds logs that no collector sees, which is everything that a container
// does not write to its stdout or stderr
// (https://kubernetes.io/docs/concepts/cluster-administration/logging/):
//
//   - a log directory on a volume that the container may write to,
//   - a shell command that sends output into a log file,
//   - a container that is there to turn a log file into a stream,
//   - and, where the policy requires it, the variables of the container's runtime
//     and the terminationMessagePolicy that mutate.logging sets, since another
//     webhook may have run after it.
//
// What reads logs is not what writes them: a mount that is read-only is let pass,
// and so is the directory of the node's logs in a pod of a DaemonSet, which is how
// collectors themselves run. Ephemeral containers are somebody's shell and are not
// judged.
func Logging(w *pod.Workload, s *policies.CompiledLoggingRequirement, facts image.Facts) []pod.Finding {
	var findings []pod.Finding
	for c := range w.Containers() {
		if c.Type == pod.Ephemeral {
			continue
		}
		findings = append(findings, logDirectories(w, c)...)
		findings = append(findings, shellLogs(c)...)
		if f := environment(w, c, s.Environment, facts); f != nil {
			findings = append(findings, *f)
		}
		if s.TerminationMessagePolicy && losesLastWords(c) {
			findings = append(findings, pod.Finding{
				Rule: LoggingRule, Check: logTerminationMessage, Container: c.Name, Path: c.Path().Child("terminationMessagePolicy"),
				Value:   string(cmp.Or(c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)), // which the API server fills in
				Message: "what a container says before it fails is kept in its log alone",
				Fix:     fmt.Sprintf("set it to %s", corev1.TerminationMessageFallbackToLogsOnError),
			})
		}
	}
	return findings
}

// LoggingNeeds are the image facts that Logging will ask for.
func LoggingNeeds(w *pod.Workload, s *policies.CompiledLoggingRequirement) []image.Need {
	var needs []image.Need
	for c := range w.Containers() {
		if c.Type != pod.Ephemeral && asksRuntime(c, s.Environment) {
			needs = append(needs, image.Need{Image: c.Image, Config: true})
		}
	}
	return needs
}

// losesLastWords is whether mutate.logging would set the field: a container that
// writes its message into a file of its own choice has decided.
func losesLastWords(c pod.Container) bool {
	return c.TerminationMessagePolicy != corev1.TerminationMessageFallbackToLogsOnError &&
		(c.TerminationMessagePath == "" || c.TerminationMessagePath == corev1.TerminationMessagePathDefault)
}

// logDirectories finds log directories on volumes.
func logDirectories(w *pod.Workload, c pod.Container) []pod.Finding {
	var findings []pod.Finding
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		if m.ReadOnly || !isLogDirectory(m.MountPath) {
			continue
		}
		kind := writableVolume(w, m.Name)
		if kind == "" {
			continue
		}
		findings = append(findings, pod.Finding{
			Rule: LoggingRule, Check: logDirectory, Container: c.Name, Path: c.Path().Child("volumeMounts").Index(i).Child("mountPath"), Value: m.MountPath,
			Message: fmt.Sprintf("log collectors read what a container writes to stdout and stderr, and not this directory on %s", kind),
			Fix:     "have the program log to stdout and remove the mount, or set readOnly to true if it only reads",
		})
	}
	return findings
}

// isLogDirectory reports whether a directory is one for logs by its name: /var/log
// and what is in it, and every directory named log or logs.
func isLogDirectory(directory string) bool {
	directory = path.Clean(strings.ReplaceAll(directory, `\`, "/"))
	name := strings.ToLower(path.Base(directory))
	return name == "log" || name == "logs" || strings.HasPrefix(directory, "/var/log/")
}

// writableVolume names the kind of a volume that files can be written into, empty
// for others.
func writableVolume(w *pod.Workload, name string) string {
	for i := range w.Spec.Volumes {
		v := &w.Spec.Volumes[i]
		if v.Name != name {
			continue
		}
		switch {
		case v.EmptyDir != nil:
			return "an emptyDir"
		case v.HostPath != nil && !(onEveryNode(w) && isNodeLogs(v.HostPath.Path)):
			return "a hostPath"
		case v.PersistentVolumeClaim != nil && !v.PersistentVolumeClaim.ReadOnly, v.Ephemeral != nil:
			return "a persistent volume"
		}
		return ""
	}
	return ""
}

// onEveryNode reports whether the workload is a DaemonSet or a pod of one.
func onEveryNode(w *pod.Workload) bool {
	if w.Kind.Name == "DaemonSet" {
		return true
	}
	owner := pod.ControllerOf(w)
	return owner != nil && owner.Kind == "DaemonSet" && pod.IsBuiltIn(owner)
}

// isNodeLogs reports whether a directory is where a node keeps the logs of its
// containers, or its own.
func isNodeLogs(directory string) bool {
	switch path.Clean(directory) {
	case "/var/log", "/var/log/pods", "/var/log/containers", "/var/log/journal", "/run/log/journal", "/var/lib/docker/containers":
		return true
	}
	return false
}

// asksRuntime reports whether what the image says decides.
func asksRuntime(c pod.Container, sets *policies.CompiledLogging) bool {
	return sets != nil && !sets.Catalog.Empty() && c.Image != "" && mayLack(c, sets)
}

// mayLack reports whether mutate.logging would add variables: what envFrom sets is
// not known here.
func mayLack(c pod.Container, sets *policies.CompiledLogging) bool {
	return len(c.EnvFrom) == 0 || sets.AddToEnvFrom
}

// environment finds variables that mutate.logging would add.
func environment(w *pod.Workload, c pod.Container, sets *policies.CompiledLogging, facts image.Facts) *pod.Finding {
	if sets == nil || !mayLack(c, sets) {
		return nil
	}
	var because []string
	missing := unexpanded(c, sets.Lacking(nil, c.Env))
	if len(missing) > 0 {
		because = append(because, "the policy sets it for every container")
	}
	if asksRuntime(c, sets) {
		fact := facts[c.Image]
		if fact.Err != nil || len(fact.Platforms) == 0 {
			return unknownRuntime(c, fact.Err)
		}
		var buffer [4]policies.Runtime
		env := fact.EnvFor(w.IsWindows())
		for _, runtime := range sets.Catalog.Recognise(buffer[:0], fact.Reference.Name(), env) {
			set, before := c.Env, len(missing)
			if before > 0 {
				set = slices.Concat(set, missing)
			}
			if missing = unexpanded(c, runtime.Lacking(missing, set, env)); len(missing) > before {
				because = append(because, fmt.Sprintf("its image has the runtime %s", runtime.Name))
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	f := environmentFinding(c)
	f.Message = fmt.Sprintf("its log is not what a collector needs: %s, and %s", strings.Join(because, ", "), notSet(missing))
	f.Fix = "add to it " + yamlOf(missing)
	return f
}

// unexpanded are those variables that mutate.logging does not leave out because
// adding them would change what $(NAME) in the container becomes.
func unexpanded(c pod.Container, variables []corev1.EnvVar) []corev1.EnvVar {
	return slices.DeleteFunc(variables, func(v corev1.EnvVar) bool { return c.Expands(v.Name) })
}

func environmentFinding(c pod.Container) *pod.Finding {
	return &pod.Finding{Rule: LoggingRule, Check: logEnvironment, Container: c.Name, Path: c.Path().Child("env")}
}

func notSet(missing []corev1.EnvVar) string {
	names := make([]string, len(missing))
	for i, v := range missing {
		names[i] = v.Name
	}
	if len(names) == 1 {
		return names[0] + " is not set"
	}
	return strings.Join(names, ", ") + " are not set"
}

func yamlOf(variables []corev1.EnvVar) string {
	texts := make([]string, len(variables))
	for i, v := range variables {
		texts[i] = fmt.Sprintf("{name: %s, value: %q}", v.Name, v.Value)
	}
	return strings.Join(texts, ", ")
}

func unknownRuntime(c pod.Container, err error) *pod.Finding {
	f := environmentFinding(c)
	f.Unknown, f.NoAnswer = true, true
	f.Message = "it is not known which variables it lacks, and no registry was asked"
	f.Fix = "set the variables of its runtime"
	var why *image.Error
	if errors.As(err, &why) {
		f.Message = fmt.Sprintf("it is not known which variables it lacks: %s", why)
		f.NoAnswer = why.Reason.NoAnswer()
	}
	return f
}
