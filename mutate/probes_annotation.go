package mutate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// Annotations of a pod template that name probes: ProbeAnnotations, the kind and
// ProbeAnnotationSuffix make portcullis.dev/readiness-probe. A dot and the name of
// a container after it say which one it is for; without them it is for the one
// that kubectl takes by default: the container that
// kubectl.kubernetes.io/default-container names, else the first.
const (
	ProbeAnnotations      = "portcullis.dev/"
	ProbeAnnotationSuffix = "-probe"

	defaultContainerAnnotation = "kubectl.kubernetes.io/default-container"
)

// ProbeGrammar is what such an annotation says.
const ProbeGrammar = `http:PORT/PATH, https:PORT/PATH, tcp:PORT, grpc:PORT[/SERVICE] or exec:["PROGRAM", "ARGUMENT"], where PORT is a number or the name of a declared port`

// probeNote is an annotation about a probe of a container.
type probeNote struct {
	key       string
	kind      policies.ProbeKind
	container string
	// probe is nil where the annotation cannot be read or does not count.
	probe *corev1.Probe
}

// readProbeNotes reads the annotations of a template, those that name their
// container first. What cannot be read is a finding.
func readProbeNotes(w *pod.Workload, s *policies.CompiledProbes) (notes []probeNote, findings []pod.Finding) {
	if w.Template == nil || w.Spec == nil {
		return nil, nil
	}
	some := false
	for key := range w.Template.Annotations {
		_, _, is := probeAnnotation(key)
		some = some || is
	}
	if !some {
		return nil, nil
	}
	for _, key := range slices.Sorted(maps.Keys(w.Template.Annotations)) {
		kind, container, is := probeAnnotation(key)
		if !is {
			continue
		}
		note := probeNote{key: key, kind: kind, container: container}
		named := container != ""
		if !named {
			note.container = defaultContainer(w)
		}
		if f := note.read(w, s); f != nil {
			findings = append(findings, *f)
		}
		if named {
			notes = slices.Insert(notes, 0, note)
			continue
		}
		notes = append(notes, note)
	}
	return notes, findings
}

// probeAnnotation splits the key of an annotation; the container is empty where it
// names none.
func probeAnnotation(key string) (kind policies.ProbeKind, container string, ok bool) {
	name, ours := strings.CutPrefix(key, ProbeAnnotations)
	if !ours {
		return "", "", false
	}
	name, container, _ = strings.Cut(name, ".")
	switch name {
	case "readiness" + ProbeAnnotationSuffix:
		return policies.Readiness, container, true
	case "liveness" + ProbeAnnotationSuffix:
		return policies.Liveness, container, true
	case "startup" + ProbeAnnotationSuffix:
		return policies.Startup, container, true
	}
	return "", "", false
}

// defaultContainer is the name of the one that kubectl logs takes.
func defaultContainer(w *pod.Workload) string {
	named := w.Template.Annotations[defaultContainerAnnotation]
	isNamed := func(c corev1.Container) bool { return c.Name == named }
	switch {
	case slices.ContainsFunc(w.Spec.Containers, isNamed):
		return named
	case len(w.Spec.Containers) > 0:
		return w.Spec.Containers[0].Name
	}
	return ""
}

// read reads the annotation's value, or says why it does not count.
func (n *probeNote) read(w *pod.Workload, s *policies.CompiledProbes) *pod.Finding {
	value := w.Template.Annotations[n.key]
	f := &pod.Finding{
		Rule: ProbesRule, Check: probeAnnotationInvalid, Container: n.container, Value: value,
		Path: w.TemplatePath().Child("metadata").Child("annotations").Key(n.key),
	}
	unused := func(message, fix string) *pod.Finding {
		f.Check, f.Advisory, f.Message, f.Fix = probeAnnotationUnused, true, message, fix
		return f
	}
	if !s.Uses(policies.ProbeFromAnnotation) {
		return unused("the policy takes no probe from annotations", "write the probe into the manifest")
	}
	c, message := n.find(w)
	if message != "" {
		f.Message, f.Fix = message, "name one of the containers after "+ProbeAnnotations+string(n.kind)+ProbeAnnotationSuffix+"."
		return f
	}
	probe, err := parseProbe(n.kind, value, c)
	switch {
	case err != nil:
		f.Message, f.Fix = err.Error(), "write "+ProbeGrammar
		return f
	case n.kind != policies.Readiness && !s.MayRestart(policies.ProbeFromAnnotation):
		return unused("the policy takes no probe that restarts containers from annotations", "write the probe into the manifest")
	case !c.Stays():
		return unused("the container is to end, and gets no probe", "remove the annotation")
	}
	n.probe = probe
	return nil
}

// find is the container that the annotation is for, or why it cannot be.
func (n *probeNote) find(w *pod.Workload) (c pod.Container, message string) {
	for c := range w.Containers() {
		switch {
		case c.Name != n.container:
		case c.Type == pod.Init || c.Type == pod.Ephemeral:
			return c, fmt.Sprintf("%q is an %s, which can have no probe", n.container, c.Type)
		default:
			return c, ""
		}
	}
	return c, fmt.Sprintf("there is no container %q", n.container)
}

// noted reports whether an annotation is about this probe of the container, readable
// or not.
func (p prober) noted(kind policies.ProbeKind) bool {
	return slices.ContainsFunc(p.notes, func(n probeNote) bool {
		return n.kind == kind && n.container == p.container.Name && p.settings.Uses(policies.ProbeFromAnnotation)
	})
}

// annotated gives the probes that annotations ask for.
func (p prober) annotated() {
	for _, n := range p.notes {
		if n.container == p.container.Name {
			p.give(n.kind, n.probe, fmt.Sprintf("the annotation %q", n.key))
		}
	}
}

// Bounds of what an annotation says.
const (
	mostProbeWords  = 64
	longestProbe    = 4096
	longestProbeURL = 1024
	longestService  = 253
)

// parseProbe reads ProbeGrammar for a container.
func parseProbe(kind policies.ProbeKind, text string, c pod.Container) (*corev1.Probe, error) {
	form, rest, _ := strings.Cut(text, ":")
	var handler corev1.ProbeHandler
	var err error
	switch {
	case len(text) > longestProbe:
		err = fmt.Errorf("it is longer than %d bytes", longestProbe)
	case form == "http" || form == "https":
		handler.HTTPGet, err = parseHTTP(form, rest, c)
	case form == "tcp":
		var port intstr.IntOrString
		port, err = parsePort(rest, c)
		handler.TCPSocket = &corev1.TCPSocketAction{Port: port}
	case form == "grpc":
		handler.GRPC, err = parseGRPC(rest, c)
	case form == "exec":
		handler.Exec, err = parseExec(rest)
	default:
		err = errors.New("it names no probe")
	}
	if err != nil {
		return nil, err
	}
	return timed(kind, handler), nil
}

func parseHTTP(form, rest string, c pod.Container) (*corev1.HTTPGetAction, error) {
	number, path, slash := strings.Cut(rest, "/")
	if !slash {
		return nil, errors.New("it has no path")
	}
	if len(path) > longestProbeURL || !printable(path) {
		return nil, fmt.Errorf("its path has blanks or other characters that a URL has not, or more than %d of them", longestProbeURL)
	}
	port, err := parsePort(number, c)
	return &corev1.HTTPGetAction{Path: "/" + path, Port: port, Scheme: corev1.URIScheme(strings.ToUpper(form))}, err
}

func parseGRPC(rest string, c pod.Container) (*corev1.GRPCAction, error) {
	number, service, slash := strings.Cut(rest, "/")
	if len(service) > longestService || slash && service == "" || !printable(service) {
		return nil, fmt.Errorf("its service is empty, has blanks or has more than %d characters", longestService)
	}
	port, err := parsePort(number, c)
	if err != nil {
		return nil, err
	}
	action := &corev1.GRPCAction{Port: port.IntVal, Service: &service}
	if port.Type == intstr.String { // Kubernetes takes a number alone
		action.Port = declared(c, port.StrVal).ContainerPort
	}
	return action, nil
}

func parseExec(rest string) (*corev1.ExecAction, error) {
	var command []string
	if err := json.Unmarshal([]byte(rest), &command); err != nil {
		return nil, errors.New("its command is not a JSON array of strings")
	}
	if len(command) == 0 || command[0] == "" || len(command) > mostProbeWords {
		return nil, fmt.Errorf("its command is empty, or has more than %d words", mostProbeWords)
	}
	return &corev1.ExecAction{Command: command}, nil
}

// parsePort reads a number, or the name of a TCP port that the container declares:
// the kubelet finds no other.
func parsePort(text string, c pod.Container) (intstr.IntOrString, error) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil && n > 0 {
		return intstr.FromInt32(int32(n)), nil
	}
	if len(validation.IsValidPortName(text)) > 0 {
		return intstr.IntOrString{}, fmt.Errorf("%q is not a port", text)
	}
	if declared(c, text) == nil {
		return intstr.IntOrString{}, fmt.Errorf("the container declares no TCP port named %q", text)
	}
	return intstr.FromString(text), nil
}

func declared(c pod.Container, name string) *corev1.ContainerPort {
	for i := range c.Ports {
		if c.Ports[i].Name == name && pod.IsTCP(&c.Ports[i]) {
			return &c.Ports[i]
		}
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
