package vap

import (
	"slices"

	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// control is one check of the Pod Security Standards, from a version on. In its
// expressions c is a container, pod and containers are variables.
type control struct {
	since int // minor version of Kubernetes
	// pod must hold for the pod, container for each container; empty: nothing to hold.
	pod, container string
	// message says what to write, without a full stop.
	message string
}

// Parts of expressions.
const (
	podContext       = "variables.pod.spec.?securityContext."
	containerContext = "c.?securityContext."
	volumes          = "variables.pod.spec.?volumes.orValue([])"
	userNS           = "!variables.pod.spec.?hostUsers.orValue(true)"
	windows          = "variables.pod.spec.?os.?name.orValue('') == 'windows'"
	profiles         = " in ['RuntimeDefault', 'Localhost']"
	annotation       = "variables.pod.?metadata.?annotations"

	procMount   = containerContext + "?procMount.orValue('Default') == 'Default'"
	escalation  = "!" + containerContext + "?allowPrivilegeEscalation.orValue(true)"
	dropsAll    = "'ALL' in " + containerContext + "?capabilities.?drop.orValue([]) && " + containerContext + "?capabilities.?add.orValue([]).all(a, a == 'NET_BIND_SERVICE')"
	hasProfile  = containerContext + "?seccompProfile.?type.orValue(" + podContext + "?seccompProfile.?type.orValue(''))" + profiles
	podProfile  = podContext + "?seccompProfile.?type.orValue('RuntimeDefault')" + profiles
	nonRoot     = containerContext + "?runAsNonRoot.orValue(" + podContext + "?runAsNonRoot.orValue(false))"
	podNonRoot  = podContext + "?runAsNonRoot.orValue(true) == true"
	otherUser   = containerContext + "?runAsUser.orValue(1) != 0"
	podOther    = podContext + "?runAsUser.orValue(1) != 0"
	seccompWord = ".matches('^(runtime/default|docker/default|localhost/.*)$')"
)

// controls have the revisions of each check of k8s.io/pod-security-admission/policy,
// the newest last. It is never changed; a test holds it against upstream's.
var controls = map[pspolicy.CheckID][]control{
	"privileged": {{container: "!" + containerContext + "?privileged.orValue(false)", message: "set securityContext.privileged to false"}},
	"hostNamespaces": {{
		pod:     "!variables.pod.spec.?hostNetwork.orValue(false) && !variables.pod.spec.?hostPID.orValue(false) && !variables.pod.spec.?hostIPC.orValue(false)",
		message: "set hostNetwork, hostPID and hostIPC to false",
	}},
	"hostPathVolumes": {{pod: volumes + ".all(v, !has(v.hostPath))", message: "remove volumes of type hostPath"}},
	"hostPorts":       {{container: "c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0)", message: "remove hostPort"}},
	"capabilities_baseline": {{
		container: containerContext + "?capabilities.?add.orValue([]).all(a, a in ['AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', " +
			"'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'])",
		message: "add none but the default capabilities",
	}},
	"appArmorProfile": {{
		pod: podContext + "?appArmorProfile.?type.orValue('RuntimeDefault')" + profiles + " && " + annotation +
			".orValue({}).all(k, !k.startsWith('container.apparmor.security.beta.kubernetes.io/') || " +
			"variables.pod.metadata.annotations[k].matches('^(|runtime/default|localhost/.*)$'))",
		container: containerContext + "?appArmorProfile.?type.orValue('RuntimeDefault')" + profiles,
		message:   "set the AppArmor profile to RuntimeDefault or Localhost",
	}},
	"seLinuxOptions": {
		seLinux(0, "['', 'container_t', 'container_init_t', 'container_kvm_t']"),
		seLinux(31, "['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']"),
	},
	"procMount": {
		{container: procMount, message: "remove securityContext.procMount"},
		{since: 35, container: userNS + " || " + procMount, message: "remove securityContext.procMount, or set hostUsers to false"},
	},
	"procMount_restricted": {{since: 35, container: procMount, message: "remove securityContext.procMount"}},
	"seccompProfile_baseline": {
		{
			pod:       annotation + "[?'seccomp.security.alpha.kubernetes.io/pod'].orValue('runtime/default')" + seccompWord,
			container: annotation + "[?('container.seccomp.security.alpha.kubernetes.io/' + c.name)].orValue('runtime/default')" + seccompWord,
			message:   "set the annotation of the seccomp profile to runtime/default or localhost/...",
		},
		{since: 19, pod: podProfile, container: containerContext + "?seccompProfile.?type.orValue('RuntimeDefault')" + profiles, message: seccompMessage},
	},
	"seccompProfile_restricted": {
		{since: 19, pod: podProfile, container: hasProfile, message: seccompMessage},
		{since: 25, pod: windows + " || " + podProfile, container: windows + " || " + hasProfile, message: seccompMessage},
	},
	"sysctls":            {sysctls(0), sysctls(27), sysctls(29), sysctls(32), sysctls(37)},
	"windowsHostProcess": {{pod: "!" + podContext + hostProcess, container: "!" + containerContext + hostProcess, message: "set windowsOptions.hostProcess to false"}},
	"hostProbesAndHostLifecycle": {{
		since: 34,
		container: "[c.?livenessProbe, c.?readinessProbe, c.?startupProbe, c.?lifecycle.?postStart, c.?lifecycle.?preStop]" +
			".all(h, h.?httpGet.?host.orValue('') == '' && h.?tcpSocket.?host.orValue('') == '')",
		message: "remove host from probes and lifecycle handlers",
	}},
	"allowPrivilegeEscalation": {
		{since: 8, container: escalation, message: escalationMessage},
		{since: 25, container: windows + " || " + escalation, message: escalationMessage},
	},
	"capabilities_restricted": {
		{since: 22, container: dropsAll, message: capabilitiesMessage},
		{since: 25, container: windows + " || " + dropsAll, message: capabilitiesMessage},
	},
	"restrictedVolumes": {{
		pod: volumes + ".all(v, has(v.configMap) || has(v.csi) || has(v.downwardAPI) || has(v.emptyDir) || has(v.ephemeral) || " +
			"has(v.image) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret))",
		message: "use none but volumes of the types configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected and secret",
	}},
	"runAsNonRoot": {
		{pod: podNonRoot, container: nonRoot, message: "set securityContext.runAsNonRoot to true"},
		{since: 35, pod: userNS + " || " + podNonRoot, container: userNS + " || " + nonRoot, message: "set securityContext.runAsNonRoot to true"},
	},
	"runAsUser": {
		{since: 23, pod: podOther, container: otherUser, message: "set securityContext.runAsUser to a user id above 0"},
		{since: 35, pod: userNS + " || " + podOther, container: userNS + " || " + otherUser, message: "set securityContext.runAsUser to a user id above 0"},
	},
}

const (
	hostProcess         = "?windowsOptions.?hostProcess.orValue(false)"
	seccompMessage      = "set securityContext.seccompProfile.type to RuntimeDefault or Localhost"
	escalationMessage   = "set securityContext.allowPrivilegeEscalation to false"
	capabilitiesMessage = `set securityContext.capabilities.drop to ["ALL"], and add none but NET_BIND_SERVICE`
)

func seLinux(since int, types string) control {
	options := func(of string) string {
		return of + "?seLinuxOptions.?type.orValue('') in " + types + " && " + of + "?seLinuxOptions.?user.orValue('') == '' && " +
			of + "?seLinuxOptions.?role.orValue('') == ''"
	}
	return control{
		since: since, pod: options(podContext), container: options(containerContext),
		message: "set seLinuxOptions.type to container_t, container_init_t or container_kvm_t, and remove user and role",
	}
}

func sysctls(since int) control {
	allowed := "'kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies', 'net.ipv4.ping_group_range', 'net.ipv4.ip_unprivileged_port_start'"
	for _, more := range []struct {
		since int
		names string
	}{
		{27, "'net.ipv4.ip_local_reserved_ports'"},
		{29, "'net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout', 'net.ipv4.tcp_keepalive_intvl', 'net.ipv4.tcp_keepalive_probes'"},
		{32, "'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'"},
		{37, "'net.ipv4.tcp_slow_start_after_idle', 'net.ipv4.tcp_notsent_lowat'"},
	} {
		if since >= more.since {
			allowed += ", " + more.names
		}
	}
	return control{since: since, pod: podContext + "?sysctls.orValue([]).all(s, s.name in [" + allowed + "])", message: "remove sysctls that are not safe"}
}

// evaluated are the ids of the checks that a level evaluates in a version, in the
// order of their names, with what they are in that version.
func evaluated(lv psapi.LevelVersion) (ids []pspolicy.CheckID, by map[pspolicy.CheckID]control) {
	by = map[pspolicy.CheckID]control{}
	if lv.Level == psapi.LevelPrivileged {
		return nil, by
	}
	overridden := map[pspolicy.CheckID]bool{}
	for _, check := range pspolicy.DefaultChecks() {
		if check.Level == psapi.LevelRestricted && lv.Level == psapi.LevelBaseline {
			continue
		}
		for _, revision := range check.Versions {
			if lv.Version.Older(revision.MinimumVersion) {
				break
			}
			for _, id := range revision.OverrideCheckIDs {
				overridden[id] = true
			}
			for _, c := range controls[check.ID] {
				if revision.MinimumVersion == psapi.MajorMinorVersion(1, c.since) {
					by[check.ID] = c
				}
			}
		}
	}
	for id := range by {
		if !overridden[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, by
}
