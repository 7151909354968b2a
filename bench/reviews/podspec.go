package reviews

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Images are the references that the objects name, all of them by tag.
func Images() []string {
	var all []string
	for _, name := range []string{"nginx", "redis", "acme/checkout", "acme/indexer", "docker.io/envoyproxy/envoy", "busybox"} {
		for _, tag := range []string{"1.27", "stable", "v2.14.3-alpine"} {
			all = append(all, name+":"+tag)
		}
	}
	return all
}

// podSpec makes what two or three containers need, with the API server's
// defaults filled in. It meets the restricted level.
func (g *generator) podSpec(app string) corev1.PodSpec {
	spec := corev1.PodSpec{
		Volumes:                       []corev1.Volume{emptyDir("tmp")},
		Containers:                    []corev1.Container{g.container(app), g.sidecar("proxy")},
		RestartPolicy:                 corev1.RestartPolicyAlways,
		TerminationGracePeriodSeconds: new(int64(30)),
		DNSPolicy:                     corev1.DNSClusterFirst,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(1000 + g.Int64N(9000)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		SchedulerName: corev1.DefaultSchedulerName,
	}
	switch g.IntN(8) {
	case 0:
		init := g.sidecar("migrate")
		init.Args = []string{"migrate", "--wait", "--to", fmt.Sprint(g.IntN(400))}
		spec.InitContainers = []corev1.Container{init}
	case 1:
		mountConfig(&spec, app+"-config")
	}
	return spec
}

func (g *generator) container(name string) corev1.Container {
	c := g.sidecar(name)
	c.Args = []string{"serve", fmt.Sprintf("--workers=%d", 1+g.IntN(16))}
	c.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}
	c.Env = []corev1.EnvVar{
		{Name: "LOG_LEVEL", Value: pick(g, []string{"info", "debug", "warn"})},
		{Name: "DATABASE_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: name + "-db"}, Key: "password",
		}}},
	}
	c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}}
	c.ReadinessProbe = probe("/readyz", 5)
	if g.IntN(8) == 0 {
		c.LivenessProbe = probe("/healthz", 10)
	}
	return c
}

// sidecar is a container with little beside what every one has.
func (g *generator) sidecar(name string) corev1.Container {
	return corev1.Container{
		Name: name, Image: pick(g, Images()),
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(pick(g, []string{"50m", "100m", "250m"})),
		}},
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		SecurityContext: &corev1.SecurityContext{
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			AllowPrivilegeEscalation: new(false),
		},
	}
}

func probe(path string, period int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP,
		}},
		TimeoutSeconds: 1, PeriodSeconds: period, SuccessThreshold: 1, FailureThreshold: 3,
	}
}

func emptyDir(name string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
}

func mountConfig(spec *corev1.PodSpec, name string) {
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: name}, DefaultMode: new(int32(420)),
		},
	}})
	c := &spec.Containers[0]
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: "/etc/app"})
}
