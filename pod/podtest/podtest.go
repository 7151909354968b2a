// Package podtest makes objects of the nine kinds whose pods are full of random
// content, for tests that hold for every pod.
//
// Purely random ones would not do: hardly any would pass a level of the Pod
// Security Standards, so that a test of who still passes would hold for nobody,
// and hardly any would name an image that a test knows.
package podtest

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/randfill"

	"github.com/portcullis-dev/portcullis/pod"
)

// Generator is a source of objects. The same seed makes the same ones.
type Generator struct {
	*rand.Rand
	fill   *randfill.Filler
	images []string
}

// New returns a Generator whose containers and image volumes have some of the
// given images.
func New(seed int64, images ...string) *Generator {
	source := rand.New(rand.NewSource(seed)) //nolint:gosec // a test wants the same numbers again
	g := &Generator{Rand: source, images: images}
	g.fill = randfill.New().RandSource(rand.NewSource(seed)).NilChance(.6).NumElements(1, 3).MaxDepth(12).Funcs(
		choose("ALL", "CHOWN", "NET_ADMIN", "NET_BIND_SERVICE", "SYS_ADMIN", "CAP_SYS_ADMIN", corev1.Capability("kill")),
		choose(corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined, corev1.SeccompProfileTypeLocalhost),
		choose(corev1.Linux, corev1.Windows),
		choose(corev1.RestartPolicyAlways, "", corev1.RestartPolicyAlways, corev1.RestartPolicyNever),
		choose(corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever),
		choose(corev1.ProtocolTCP, corev1.ProtocolUDP, ""),
		choose(corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError, ""),
		func(sc *corev1.SecurityContext, c randfill.Continue) {
			c.FillNoCustom(sc)
			sc.RunAsUser = g.user()
		},
		func(sc *corev1.PodSecurityContext, c randfill.Continue) {
			c.FillNoCustom(sc)
			sc.RunAsUser = g.user()
		},
		func(p *corev1.ContainerPort, c randfill.Continue) {
			c.FillNoCustom(p)
			p.Name, p.ContainerPort = pick(g, "", "http", "grpc", "metrics"), 1+g.Int31n(65535)
		},
		func(e *corev1.EnvVar, c randfill.Continue) {
			c.FillNoCustom(e)
			e.Name = pick(g, "PYTHONUNBUFFERED", "NO_COLOR", "LOG_LEVEL", "A")
		},
		func(container *corev1.Container, c randfill.Continue) {
			c.FillNoCustom(container)
			container.Image = g.image()
		},
		func(container *corev1.EphemeralContainerCommon, c randfill.Continue) {
			c.FillNoCustom(container)
			container.Image = g.image()
		},
		func(v *corev1.ImageVolumeSource, c randfill.Continue) {
			c.FillNoCustom(v)
			v.Reference = g.image()
		},
	)
	return g
}

func pick[T any](g *Generator, from ...T) T { return from[g.Intn(len(from))] }

func choose[T any](from ...T) func(*T, randfill.Continue) {
	return func(value *T, c randfill.Continue) { *value = from[c.Intn(len(from))] }
}

func (g *Generator) image() string {
	if len(g.images) == 0 {
		return "app:1"
	}
	return pick(g, g.images...)
}

func (g *Generator) user() *int64 {
	return pick(g, nil, nil, new(int64(0)), new(int64(1000)))
}

// Spec is a random pod spec: one in three has anything, one is brought near the
// level baseline, one near restricted.
func (g *Generator) Spec() corev1.PodSpec {
	var spec corev1.PodSpec
	g.fill.Fill(&spec)
	if len(spec.Containers) == 0 {
		spec.Containers = []corev1.Container{{Image: g.image()}}
	}
	name(&spec)
	switch g.Intn(3) {
	case 1:
		tame(&spec)
	case 2:
		tame(&spec)
		restrict(&spec)
	}
	return spec
}

// name gives what has to have one a name that the API server takes.
func name(spec *corev1.PodSpec) {
	w := &pod.Workload{Spec: spec}
	for c := range w.Containers() {
		c.Name = fmt.Sprintf("%c%d", c.Type[0], c.Index)
	}
	for i := range spec.Volumes {
		spec.Volumes[i].Name = fmt.Sprintf("v%d", i)
	}
}

// Object is the JSON of an object of a kind around a random pod, with labels,
// annotations, and a field that no build knows.
func (g *Generator) Object(kind pod.Kind) []byte {
	spec := g.Spec()
	template := map[string]any{"spec": spec, "metadata": metadata(g)}
	object := map[string]any{"metadata": metadata(g), "fromTheFuture": map[string]any{"containers": []int{1}}}
	if path := kind.Template().String(); path == "" {
		object["spec"] = spec
	} else {
		at := object
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			next := map[string]any{"unknown": 1}
			at[name], at = next, next
		}
		at[names[len(names)-1]] = template
	}
	object["apiVersion"], object["kind"] = kind.APIVersion(), kind.Name
	raw, err := json.Marshal(object)
	if err != nil {
		panic(err) // API types have a JSON form
	}
	return raw
}

func metadata(g *Generator) map[string]any {
	m := map[string]any{}
	if g.Intn(2) == 0 {
		m["labels"] = map[string]string{"app": "web"}
	}
	if g.Intn(2) == 0 {
		m["annotations"] = map[string]string{"example.com/note": "text"}
	}
	return m
}

// tame takes out what baseline forbids.
func tame(spec *corev1.PodSpec) {
	spec.HostNetwork, spec.HostPID, spec.HostIPC, spec.Volumes = false, false, false, nil
	if sc := spec.SecurityContext; sc != nil {
		sc.SELinuxOptions, sc.WindowsOptions, sc.AppArmorProfile, sc.Sysctls = nil, nil, nil, nil
		tameSeccomp(sc.SeccompProfile)
	}
	w := &pod.Workload{Spec: spec}
	for c := range w.Containers() {
		for i := range c.Ports {
			c.Ports[i].HostPort = 0
		}
		c.LivenessProbe, c.StartupProbe, c.Lifecycle = nil, nil, nil
		if c.ReadinessProbe != nil {
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
		}
		if sc := c.SecurityContext; sc != nil {
			sc.Privileged, sc.ProcMount, sc.SELinuxOptions, sc.WindowsOptions, sc.AppArmorProfile = nil, nil, nil, nil, nil
			tameSeccomp(sc.SeccompProfile)
			if sc.Capabilities != nil && len(sc.Capabilities.Add) > 0 {
				sc.Capabilities.Add = []corev1.Capability{"NET_BIND_SERVICE"}
			}
		}
	}
}

func tameSeccomp(p *corev1.SeccompProfile) {
	if p != nil {
		p.Type = corev1.SeccompProfileTypeRuntimeDefault
	}
}

// restrict adds what restricted requires beside.
func restrict(spec *corev1.PodSpec) {
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	spec.SecurityContext.RunAsNonRoot = new(true)
	spec.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	aboveRoot(&spec.SecurityContext.RunAsUser)
	w := &pod.Workload{Spec: spec}
	for c := range w.Containers() {
		if c.SecurityContext == nil {
			c.SecurityContext = &corev1.SecurityContext{}
		}
		sc := c.SecurityContext
		sc.AllowPrivilegeEscalation, sc.RunAsNonRoot = new(false), nil
		sc.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
		aboveRoot(&sc.RunAsUser)
	}
}

func aboveRoot(user **int64) {
	if *user != nil && **user == 0 {
		*user = new(int64(1000))
	}
}
