package report

import "strings"

// help explains a rule or a check to somebody who meets it for the first time.
type help struct {
	// id is rule or rule/check; a rule's own entry covers checks without one.
	id string
	// category groups rules: Pod Security (baseline).
	category string
	// short is one sentence with a full stop.
	short string
	// long says why it matters and what to do, in a few sentences.
	long string
	// link is where more is written, empty where nothing is.
	link string
}

const (
	projectURL   = "https://github.com/portcullis-dev/portcullis"
	docsURL      = projectURL + "/blob/main/docs/"
	standardsURL = "https://kubernetes.io/docs/concepts/security/pod-security-standards/"

	podSecurityBaseline   = "Pod Security (baseline)"
	podSecurityRestricted = "Pod Security (restricted)"
	categoryImages        = "Images"
	categoryOperation     = "Operation"
	categoryInput         = "Input"
)

// helpTexts is the table of all rules and checks that are known, in the order in
// which they are listed. It is never changed.
var helpTexts = []help{
	{
		InputRule, categoryInput, "What was given could not be read.",
		"The file, or a document in it, is not what Kubernetes would accept, so none of its objects was judged. Mend it and run again; everything else in the same run was judged.",
		docsURL + "report.md",
	},
	{
		"podSecurity", podSecurityBaseline, "The pod does not meet the Pod Security Standards at the level that the policy or the namespace asks for.",
		"The Pod Security Standards are the levels privileged, baseline and restricted that Kubernetes defines. Each finding names the control, the field and a value that passes.",
		docsURL + "pod-security.md",
	},
	{
		"podSecurity/privileged", podSecurityBaseline, "A container is privileged.",
		"A privileged container has every capability and all devices of its node: whoever breaks out of the process owns the node. Set privileged to false and add the single capability or device that is needed.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/capabilities_baseline", podSecurityBaseline, "A container adds capabilities beyond the runtime's default set.",
		"Capabilities such as NET_RAW, NET_ADMIN or SYS_ADMIN reach into the network and the kernel of the node. Remove what is added and not needed.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/hostNamespaces", podSecurityBaseline, "The pod shares the network, processes or IPC of its node.",
		"With hostNetwork, hostPID or hostIPC a pod sees the traffic, the processes or the shared memory of everything on its node. Set them to false; expose ports by a Service.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/hostPathVolumes", podSecurityBaseline, "A volume mounts a path of the node.",
		"A hostPath volume reads, and mostly writes, files of the node, which is a way to take it over. Use a volume that Kubernetes manages.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/hostPorts", podSecurityBaseline, "A container takes a port of its node.",
		"A hostPort goes around Services and network policies, and only one such pod fits on a node. Remove it and let a Service expose containerPort.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/hostProbesAndHostLifecycle", podSecurityBaseline, "A probe or a lifecycle handler names a host.",
		"The kubelet makes these requests, so that a host field turns it into a way to reach what the pod itself cannot. Remove the field: without it the request goes to the pod.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/appArmorProfile", podSecurityBaseline, "AppArmor is switched off or set to a profile that is not allowed.",
		"The runtime's default profile keeps containers from a list of dangerous files and operations. Use RuntimeDefault or a Localhost profile, or leave it out.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/seLinuxOptions", podSecurityBaseline, "SELinux is given a user, a role or a type that is not allowed.",
		"Types outside the container ones lift the separation between containers and the node. Remove user and role, and use a container type.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/procMount", podSecurityBaseline, "A container sees /proc without the runtime's masks.",
		"The masks hide what a container should neither read nor change in the kernel. Set procMount to Default, or give the pod a user namespace (hostUsers: false).",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/procMount_restricted", podSecurityRestricted, "A container sees /proc without the runtime's masks.",
		"The masks hide what a container should neither read nor change in the kernel. The restricted level asks for Default in every pod.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/seccompProfile_baseline", podSecurityBaseline, "System calls are not filtered.",
		"Unconfined lets a process make every system call, those with known holes too. Use RuntimeDefault.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/seccompProfile_restricted", podSecurityRestricted, "No seccomp profile filters system calls.",
		"The restricted level asks for a profile that is set, on the pod or on each container. Use RuntimeDefault.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/sysctls", podSecurityBaseline, "The pod sets kernel parameters outside the safe set.",
		"Other parameters are shared by all pods of a node or switch protections off. Remove those that are named.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/windowsHostProcess", podSecurityBaseline, "A Windows container runs as a process of the host.",
		"A HostProcess container has the host's files, network and rights. Set hostProcess to false.",
		standardsURL + "#baseline",
	},
	{
		"podSecurity/allowPrivilegeEscalation", podSecurityRestricted, "A process can get more rights than its parent has.",
		"Unless allowPrivilegeEscalation is false, a set-user-ID program in the image makes any user root. Set it to false for each container.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/capabilities_restricted", podSecurityRestricted, "A container keeps capabilities that it can do without.",
		"The restricted level asks each container to drop ALL, and lets it add NET_BIND_SERVICE alone.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/restrictedVolumes", podSecurityRestricted, "A volume is of a type that reaches past the pod.",
		"The restricted level allows the types that Kubernetes itself fills or claims. Use a PersistentVolumeClaim in place of an inline network volume.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/runAsNonRoot", podSecurityRestricted, "Nothing keeps the container from running as root.",
		"With runAsNonRoot: true the kubelet refuses to start a container as root, whatever its image says. Set it on the pod.",
		standardsURL + "#restricted",
	},
	{
		"podSecurity/runAsUser", podSecurityRestricted, "A container is set to run as user 0.",
		"User 0 in a container is user 0 of the node's kernel. Set a user id above 0 that the image can run as, or remove the field.",
		standardsURL + "#restricted",
	},
	{
		"rootUser", categoryImages, "A container runs as root, or it is not known that it does not.",
		"Who a container runs as is the first of its runAsUser, the pod's, and the USER of its image on every platform of the image.",
		docsURL + "images.md",
	},
	{
		"rootUser/root", categoryImages, "A container runs as root.",
		"Either the manifest says user 0, or it says nothing and the image has no USER or a USER that is root. Set runAsUser to a number above 0 that the image can run as, or give the image a USER with such a number.",
		docsURL + "images.md",
	},
	{
		"rootUser/neverStarts", categoryImages, "A container would never start: the kubelet refuses its user.",
		"runAsNonRoot is true and the image's USER is root, or a name whose number the kubelet does not know. Set runAsUser to the number.",
		docsURL + "images.md",
	},
	{
		"rootUser/unknown", categoryImages, "It is not known as whom a container runs.",
		"The manifest leaves the user to the image, and the image could not be looked at or names a user that it does not define. Set runAsUser to a number above 0 to be independent of the image.",
		docsURL + "images.md",
	},
	{
		"digests", categoryImages, "An image is not pinned to a digest.",
		"A tag can stand for another image tomorrow, or on the next node. With a digest what was tested is what runs. mutate.digests adds it at admission; validate.digests insists on it.",
		docsURL + "images.md",
	},
	{
		"digests/required", categoryImages, "An image has no digest.",
		"A tag can stand for another image tomorrow, or on the next node. Add @sha256:... of the image, or let mutate.digests add it.",
		docsURL + "images.md",
	},
	{
		"digests/forbiddenTag", categoryImages, "An image has a tag that the policy forbids.",
		"Tags such as latest do not say which version runs, with a digest beside them or without. Use the tag of a version.",
		docsURL + "images.md",
	},
	{
		"registries", categoryImages, "An image comes from where the policy does not let images come from.",
		"The image's full name, with registry and path, is held against the patterns of the policy.",
		docsURL + "images.md",
	},
	{
		"registries/notAllowed", categoryImages, "An image comes from a registry or a path that the policy does not allow.",
		"Use an image that matches one of the allowed patterns, or have the pattern added to the policy. A name without a registry means docker.io, and without a path docker.io/library.",
		docsURL + "images.md",
	},
	{
		"registries/denied", categoryImages, "An image comes from a registry or a path that the policy denies.",
		"Denied patterns go before allowed ones. Use an image from elsewhere.",
		docsURL + "images.md",
	},
	{
		"probes", categoryOperation, "A long-running container lacks a probe.",
		"Without a readiness probe a pod gets traffic before it can answer, and keeps getting it when it no longer can.",
		docsURL + "probes.md",
	},
	{
		"logging", categoryOperation, "A container's logs will not reach the log collector.",
		"Collectors read standard output. What goes to files in a container is lost with it.",
		docsURL + "logging.md",
	},
	{
		"hardening", podSecurityRestricted, "The security context lacks settings that cost nothing.",
		"mutate.hardening sets them where nobody has: no privilege escalation, no capabilities, the runtime's seccomp profile.",
		docsURL + "hardening.md",
	},
	{
		"expressions", "Own rules", "An expression of the policy does not hold.",
		"The policy's author wrote it in CEL; the message is the author's own.",
		projectURL,
	},
}

// helpFor is the entry of a rule or check, else that of its rule. A rule that
// nobody has written about gets one that says no more than its name.
func helpFor(id string) help {
	rule, _, _ := strings.Cut(id, "/")
	var found help
	for _, h := range helpTexts {
		if h.id == id {
			return h
		}
		if h.id == rule {
			found = h
		}
	}
	if found.id == "" {
		found = help{short: "The rule " + plain(rule) + " of a policy does not hold.", long: "The message of each finding says what is wrong and how to mend it."}
	}
	found.id = id
	return found
}
