package security

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What stands here is which fields a control restricts. Whether a value is
// allowed is upstream's to say, wherever its checks keep that to themselves.

func (c *collector) appArmor() {
	profile := func(at place, p *corev1.AppArmorProfile) {
		if p != nil && p.Type != corev1.AppArmorProfileTypeRuntimeDefault {
			c.replace(at.child("appArmorProfile", "type"), (*string)(&p.Type), string(corev1.AppArmorProfileTypeRuntimeDefault))
		}
	}
	at, sc := c.podContext()
	profile(at, sc.AppArmorProfile)
	c.containers(func(at place, sc *corev1.SecurityContext) { profile(at, sc.AppArmorProfile) })
	c.annotations(corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix)
}

func (c *collector) capabilities(at place, sc *corev1.SecurityContext) {
	if sc.Capabilities == nil {
		sc.Capabilities = &corev1.Capabilities{}
	}
	name := func(c corev1.Capability) string { return string(c) }
	keep(c, at.child("capabilities", "add"), &sc.Capabilities.Add, name, func(capability corev1.Capability) bool {
		return c.allowsAlone(nil, &corev1.SecurityContext{Capabilities: &corev1.Capabilities{
			Add: []corev1.Capability{capability}, Drop: []corev1.Capability{"ALL"},
		}})
	})
	drop := Offence{Fix: `set it to ["ALL"]`}
	if len(sc.Capabilities.Drop) > 0 {
		drop.Edit.Old = sc.Capabilities.Drop
	}
	drop.Edit.New = dropAll()
	add(c, at.child("capabilities", "drop"), &sc.Capabilities.Drop, drop, dropAll())
}

func (c *collector) hostNamespaces() {
	spec := c.workload.Spec
	unset(c, c.spec().child("hostNetwork"), &spec.HostNetwork, "set it to false")
	unset(c, c.spec().child("hostPID"), &spec.HostPID, "set it to false")
	unset(c, c.spec().child("hostIPC"), &spec.HostIPC, "set it to false")
}

func (c *collector) hostPorts() {
	fix := "remove it; let a Service expose containerPort"
	if c.workload.Spec.HostNetwork {
		fix = "remove it together with hostNetwork, which sets it"
	}
	for container := range c.workload.Containers() {
		at := c.container(container).child("ports")
		for i := range container.Ports {
			unset(c, at.index(i).child("hostPort"), &container.Ports[i].HostPort, fix)
		}
	}
}

func (c *collector) handlerHosts() {
	fix := "remove it; the default is the pod's own address"
	handler := func(at place, get *corev1.HTTPGetAction, socket *corev1.TCPSocketAction) {
		if get != nil {
			unset(c, at.child("httpGet", "host"), &get.Host, fix)
		}
		if socket != nil {
			unset(c, at.child("tcpSocket", "host"), &socket.Host, fix)
		}
	}
	probe := func(at place, p *corev1.Probe) {
		if p != nil {
			handler(at, p.HTTPGet, p.TCPSocket)
		}
	}
	hook := func(at place, h *corev1.LifecycleHandler) {
		if h != nil {
			handler(at, h.HTTPGet, h.TCPSocket)
		}
	}
	for container := range c.workload.Containers() {
		at := c.container(container)
		probe(at.child("livenessProbe"), container.LivenessProbe)
		probe(at.child("readinessProbe"), container.ReadinessProbe)
		probe(at.child("startupProbe"), container.StartupProbe)
		if container.Lifecycle != nil {
			hook(at.child("lifecycle", "postStart"), container.Lifecycle.PostStart)
			hook(at.child("lifecycle", "preStop"), container.Lifecycle.PreStop)
		}
	}
}

func (c *collector) runAsNonRoot() {
	at, sc := c.podContext()
	set(c, at.child("runAsNonRoot"), &sc.RunAsNonRoot, nonRoot)
	c.containers(func(at place, sc *corev1.SecurityContext) {
		if sc.RunAsNonRoot != nil {
			set(c, at.child("runAsNonRoot"), &sc.RunAsNonRoot, nonRoot)
		}
	})
}

func (c *collector) runAsUser() {
	user := func(at place, uid **int64) {
		if *uid != nil && **uid == 0 {
			add(c, at.child("runAsUser"), uid, Offence{Fix: "set it to a user id above 0 that the image can run as, or remove it", Choice: true}.from(**uid), nil)
		}
	}
	at, sc := c.podContext()
	user(at, &sc.RunAsUser)
	c.containers(func(at place, sc *corev1.SecurityContext) { user(at, &sc.RunAsUser) })
}

func (c *collector) seLinux() {
	options := func(at place, o *corev1.SELinuxOptions) {
		if o == nil {
			return
		}
		at = at.child("seLinuxOptions")
		unset(c, at.child("type"), &o.Type, `remove it, or use "container_t", "container_init_t" or "container_kvm_t"`)
		unset(c, at.child("user"), &o.User, "remove it")
		unset(c, at.child("role"), &o.Role, "remove it")
	}
	at, sc := c.podContext()
	options(at, sc.SELinuxOptions)
	c.containers(func(at place, sc *corev1.SecurityContext) { options(at, sc.SELinuxOptions) })
}

func (c *collector) seccomp() {
	profile := func(at place, p *corev1.SeccompProfile) {
		if p != nil && p.Type != corev1.SeccompProfileTypeRuntimeDefault && p.Type != corev1.SeccompProfileTypeLocalhost {
			c.replace(at.child("seccompProfile", "type"), (*string)(&p.Type), string(corev1.SeccompProfileTypeRuntimeDefault))
		}
	}
	at, sc := c.podContext()
	if sc.SeccompProfile == nil {
		missing := Offence{Fix: "set it to {type: RuntimeDefault}"}
		missing.Edit.New = *runtimeDefault()
		add(c, at.child("seccompProfile"), &sc.SeccompProfile, missing, runtimeDefault())
	} else {
		profile(at, sc.SeccompProfile)
	}
	c.containers(func(at place, sc *corev1.SecurityContext) { profile(at, sc.SeccompProfile) })
	c.annotations(corev1.SeccompPodAnnotationKey)
	c.annotations(corev1.SeccompContainerAnnotationKeyPrefix)
}

func (c *collector) sysctls() {
	at, sc := c.podContext()
	name := func(s corev1.Sysctl) string { return s.Name }
	keep(c, at.child("sysctls"), &sc.Sysctls, name, func(s corev1.Sysctl) bool {
		return c.allowsAlone(&corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{s}}, nil)
	})
}

func (c *collector) hostProcess() {
	options := func(at place, o *corev1.WindowsSecurityContextOptions) {
		if o != nil && o.HostProcess != nil {
			set(c, at.child("windowsOptions", "hostProcess"), &o.HostProcess, false)
		}
	}
	at, sc := c.podContext()
	options(at, sc.WindowsOptions)
	c.containers(func(at place, sc *corev1.SecurityContext) { options(at, sc.WindowsOptions) })
}

func (c *collector) volumes() {
	const fix = "use a volume of type configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected or secret"
	for i := range c.workload.Spec.Volumes {
		v := &c.workload.Spec.Volumes[i]
		at := c.spec().child("volumes").index(i)
		at.judged = &corev1.PodSpec{Volumes: c.workload.Spec.Volumes[i : i+1]}
		offence := Offence{Fix: fix, Choice: true}.from(v.Name)
		if source, value := sourceOf(v); source != "" {
			at, offence = at.child(source), offence.from(value)
		}
		if v.HostPath != nil {
			offence = offence.from(v.HostPath.Path)
		}
		add(c, at, &v.VolumeSource, offence, corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})
	}
}

// sourceOf is the name of the volume's type and what it is set to, empty where
// none is set.
func sourceOf(v *corev1.Volume) (name string, value any) {
	source := reflect.ValueOf(v.VolumeSource)
	for i := range source.NumField() {
		if field := source.Field(i); !field.IsNil() {
			name, _, _ := strings.Cut(source.Type().Field(i).Tag.Get("json"), ",")
			return name, field.Elem().Interface()
		}
	}
	return "", nil
}
