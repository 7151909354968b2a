package mutate

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// hardeningFacts are images by what their USER is.
func hardeningFacts() image.Facts {
	linux := func(arch, user string, uid int64, ports ...image.Port) image.Platform {
		return image.Platform{OS: "linux", Architecture: arch, User: user, UID: uid, ExposedPorts: ports, Selected: true}
	}
	windows := image.Platform{OS: "windows", Architecture: "amd64", User: "ContainerUser", Selected: true}
	nowhere := linux("amd64", "gone", image.UnknownUID)
	nowhere.UIDErr = &image.Error{Reason: image.UserNotFound, Image: "gone:1"}
	facts := image.Facts{}
	for name, platforms := range map[string][]image.Platform{
		"root:1":          {linux("amd64", "", 0)},
		"number:1":        {linux("amd64", "1000:1000", 1000), linux("arm64", "1000:1000", 1000)},
		"name:1":          {linux("amd64", "app", 999), linux("arm64", "app", 999)},
		"names:1":         {linux("amd64", "app", 999), linux("arm64", "app", 998)},
		"name-number:1":   {linux("amd64", "app", 999), linux("arm64", "999", 999)},
		"root-on-arm:1":   {linux("amd64", "1000", 1000), linux("arm64", "", 0)},
		"low-port:1":      {linux("amd64", "1000", 1000, image.Port{Number: 53, Protocol: "UDP"})},
		"root-low-port:1": {linux("amd64", "", 0, image.Port{Number: 80, Protocol: "TCP"})},
		"gone:1":          {nowhere},
		"sudo:1":          {starting(linux("amd64", "1000:1000", 1000), []string{"/usr/bin/sudo", "-E", "--"}, []string{"serve"})},
		"cmd-sudo:1":      {linux("amd64", "1000:1000", 1000), starting(linux("arm64", "1000:1000", 1000), nil, []string{"/bin/sh", "-c", "exec sudo serve"})},
		"fixuid:1":        {starting(linux("amd64", "1000:1000", 1000), []string{"fixuid", "-q"}, nil)},
		"windows:1":       {windows},
		"windows-too:1":   {linux("amd64", "app", 999), windows},
	} {
		facts[name] = image.Fact{Image: name, Platforms: platforms}
	}
	facts["away:1"] = image.Fact{Image: "away:1", Err: &image.Error{Reason: image.Timeout, Image: "away:1", Host: "docker.io"}}
	return facts
}

// starting is a platform whose image has an ENTRYPOINT and a CMD.
func starting(p image.Platform, entrypoint, cmd []string) image.Platform {
	p.Entrypoint, p.Cmd = entrypoint, cmd
	return p
}

func TestHarden(t *testing.T) {
	const (
		restricted = ", from Pod Security level restricted, which requires it"
		escalation = "app: spec.containers[0].securityContext.allowPrivilegeEscalation false" + restricted
		seccomp    = `app: spec.containers[0].securityContext.seccompProfile {"type":"RuntimeDefault"}` + restricted
		nonRoot    = "app: spec.containers[0].securityContext.runAsNonRoot true, from "
		drop       = `app: spec.containers[0].securityContext.capabilities.drop ["ALL"], from `
		number     = `USER "1000:1000" of image "number:1"`
		runsAs     = `app: spec.containers[0].securityContext.runAsUser 999, from /etc/passwd of image "name:1", whose USER is "app"`
	)
	ofImage := func(image string) string { return `USER "1000:1000" of image "` + image + `"` }
	all := []string{nonRoot + number, escalation, drop + number, seccomp}
	for _, test := range []struct {
		name, pod, container string
		want                 []string
	}{
		{name: "a number", container: "image: 'number:1'", want: all},
		{name: "root keeps its capabilities", container: "image: 'root:1'", want: []string{escalation, seccomp}},
		{name: "a name becomes a number", container: "image: 'name:1'", want: []string{
			runsAs, nonRoot + "runAsUser 999", escalation, drop + "runAsUser 999", seccomp,
		}},
		{
			name: "also where the pod has runAsNonRoot, which refuses a name", pod: "securityContext: {runAsNonRoot: true}", container: "image: 'name:1'",
			want: []string{runsAs, escalation, drop + "runAsUser 999", seccomp},
		},
		{name: "names of different users", container: "image: 'names:1'", want: []string{escalation, drop + `USER "app" of image "names:1"`, seccomp}},
		{name: "a name and a number", container: "image: 'name-number:1'", want: []string{escalation, drop + `USER "app" of image "name-number:1"`, seccomp}},
		{name: "root on one platform", container: "image: 'root-on-arm:1'", want: []string{escalation, seccomp}},
		{
			name: "the manifest before the image", container: "image: 'root:1', securityContext: {runAsUser: 7}",
			want: []string{nonRoot + "runAsUser 7", escalation, drop + "runAsUser 7", seccomp},
		},
		{
			name: "the pod before the image", pod: "securityContext: {runAsUser: 7}", container: "image: 'root:1'",
			want: []string{nonRoot + "runAsUser 7", escalation, drop + "runAsUser 7", seccomp},
		},
		{name: "root by the manifest", container: "image: 'number:1', securityContext: {runAsUser: 0}", want: []string{escalation, seccomp}},
		{
			name: "what is set stays", container: "image: 'number:1', securityContext: {allowPrivilegeEscalation: true, runAsNonRoot: false, seccompProfile: {type: Unconfined}, capabilities: {drop: [CHOWN]}}",
		},
		{
			name: "what the pod has stays", pod: "securityContext: {runAsNonRoot: false, seccompProfile: {type: Unconfined}}", container: "image: 'number:1'",
			want: []string{escalation, drop + number},
		},
		{name: "a privileged container", container: "image: 'number:1', securityContext: {privileged: true}"},
		{name: "an unmasked /proc", pod: "hostUsers: false", container: "image: 'number:1', securityContext: {procMount: Unmasked}"},
		{
			name: "a capability that restricted allows stays, and its files bring it", container: "image: 'number:1', securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}",
			want: []string{nonRoot + number, drop + number, seccomp},
		},
		{
			name: "any other stays alone", container: "image: 'number:1', securityContext: {capabilities: {add: [NET_RAW]}}",
			want: []string{nonRoot + number, seccomp},
		},
		{
			name: "CAP_SYS_ADMIN, which the API server refuses together", container: "image: 'root:1', securityContext: {capabilities: {add: [CAP_SYS_ADMIN]}}",
			want: []string{seccomp},
		},
		{
			name: "a low port of another user than root", container: "image: 'number:1', ports: [{containerPort: 80}]",
			want: []string{nonRoot + number, seccomp},
		},
		{
			name: "or of its image", container: "image: 'low-port:1'",
			want: []string{nonRoot + `USER "1000" of image "low-port:1"`, seccomp},
		},
		{
			name: "a low port and its capability", container: "image: 'low-port:1', securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}",
			want: []string{nonRoot + `USER "1000" of image "low-port:1"`, drop + `USER "1000" of image "low-port:1"`, seccomp},
		},
		{name: "a low port of root", container: "image: 'root-low-port:1'", want: []string{escalation, seccomp}},
		{name: "sudo", container: "image: 'number:1', command: [sh, -c, '/usr/bin/sudo -u app run']", want: []string{nonRoot + number, seccomp}},
		{name: "sudo in a hook", container: "image: 'number:1', lifecycle: {preStop: {exec: {command: [sudo, stop]}}}", want: []string{nonRoot + number, seccomp}},
		{name: "sudo as ENTRYPOINT", container: "image: 'sudo:1'", want: []string{nonRoot + ofImage("sudo:1"), seccomp}},
		{name: "which args leave", container: "image: 'sudo:1', args: [x]", want: []string{nonRoot + ofImage("sudo:1"), seccomp}},
		{name: "and command replaces", container: "image: 'sudo:1', command: [serve]", want: []string{nonRoot + ofImage("sudo:1"), escalation, drop + ofImage("sudo:1"), seccomp}},
		{name: "sudo in CMD, on one platform", container: "image: 'cmd-sudo:1'", want: []string{nonRoot + ofImage("cmd-sudo:1"), seccomp}},
		{name: "which args replace", container: "image: 'cmd-sudo:1', args: [x]", want: []string{nonRoot + ofImage("cmd-sudo:1"), escalation, drop + ofImage("cmd-sudo:1"), seccomp}},
		{name: "another program that works by setuid", container: "image: 'fixuid:1'", want: []string{nonRoot + ofImage("fixuid:1"), seccomp}},
		{name: "what is not sudo", container: "image: 'number:1', args: [sudoku, --pseudo, sum]", want: all},
		{name: "a pod for Windows", pod: "os: {name: windows}", container: "image: 'number:1'"},
		{name: "by its node selector", pod: "nodeSelector: {kubernetes.io/os: windows}", container: "image: 'number:1'"},
		{name: "by its options", pod: "securityContext: {windowsOptions: {hostProcess: true}}", container: "image: 'number:1'"},
		{name: "by its image", container: "image: 'windows:1'"},
		{
			name: "an image for Windows too", container: "image: 'windows-too:1'",
			want: []string{escalation, drop + `USER "app" of image "windows-too:1"`, seccomp},
		},
		{
			name: "which the pod rules out", pod: "os: {name: linux}", container: "image: 'windows-too:1'",
			want: []string{
				strings.ReplaceAll(runsAs, "name:1", "windows-too:1"), nonRoot + "runAsUser 999", escalation, drop + "runAsUser 999", seccomp,
			},
		},
		{name: "a pod with the host's network", pod: "hostNetwork: true", container: "image: 'number:1'", want: all},
		{name: "a template without an image", container: "name: app", want: []string{seccomp}},
	} {
		t.Run(test.name, func(t *testing.T) {
			manifest := "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, " + strings.TrimPrefix(test.container, "name: app") + "}]\n  " + test.pod + "\n"
			edits, findings := hardened(t, manifest, "{}", hardeningFacts())
			if diff := cmp.Diff(test.want, edits); diff != "" {
				t.Errorf("edits (-want +got):\n%s", diff)
			}
			if len(findings) > 0 {
				t.Errorf("got findings %v, want none", findings)
			}
		})
	}
}

// TestHardenAnnotatedSeccomp leaves a pod alone whose profile is in an annotation.
func TestHardenAnnotatedSeccomp(t *testing.T) {
	for annotation, want := range map[string]int{
		"seccomp.security.alpha.kubernetes.io/pod":             0,
		"container.seccomp.security.alpha.kubernetes.io/app":   0,
		"container.seccomp.security.alpha.kubernetes.io/other": 1,
	} {
		manifest := "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {" + annotation + ": unconfined}}\nspec:\n  containers: [{name: app, image: 'root:1'}]\n"
		if edits, _ := hardened(t, manifest, "{fields: [seccompProfile]}", hardeningFacts()); len(edits) != want {
			t.Errorf("%s: got edits %v, want %d", annotation, edits, want)
		}
	}
}

// TestHardenEveryContainer hardens each kind of container but the ephemeral ones.
func TestHardenEveryContainer(t *testing.T) {
	const manifest = `apiVersion: v1
kind: Pod
spec:
  initContainers: [{name: init, image: "root:1"}, {name: sidecar, image: "root:1", restartPolicy: Always}]
  containers: [{name: app, image: "root:1"}]
  ephemeralContainers: [{name: debug, image: "root:1"}]
`
	edits, _ := hardened(t, manifest, "{fields: [seccompProfile]}", hardeningFacts())
	var containers []string
	for _, e := range edits {
		name, _, _ := strings.Cut(e, ":")
		containers = append(containers, name)
	}
	if diff := cmp.Diff([]string{"init", "sidecar", "app"}, containers); diff != "" {
		t.Errorf("containers (-want +got):\n%s", diff)
	}
}

func TestHardenFields(t *testing.T) {
	const manifest = "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: 'name:1'}]\n"
	for field, want := range map[string][]string{
		"allowPrivilegeEscalation":     {"app: spec.containers[0].securityContext.allowPrivilegeEscalation false, from Pod Security level restricted, which requires it"},
		"capabilities":                 {`app: spec.containers[0].securityContext.capabilities.drop ["ALL"], from USER "app" of image "name:1"`},
		"seccompProfile":               {`app: spec.containers[0].securityContext.seccompProfile {"type":"RuntimeDefault"}, from Pod Security level restricted, which requires it`},
		"runAsNonRoot":                 nil, // the kubelet refuses a name
		"runAsUser":                    {`app: spec.containers[0].securityContext.runAsUser 999, from /etc/passwd of image "name:1", whose USER is "app"`},
		"automountServiceAccountToken": {": spec.automountServiceAccountToken false, from the policy, which asks for it"},
		"readOnlyRootFilesystem":       {"app: spec.containers[0].securityContext.readOnlyRootFilesystem true, from the policy, which asks for it"},
	} {
		edits, _ := hardened(t, manifest, "{fields: ["+field+"]}", hardeningFacts())
		if diff := cmp.Diff(want, edits); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
}

// TestHardenToken leaves a Pod alone that has its token already, and what is set.
func TestHardenToken(t *testing.T) {
	for spec, want := range map[string]int{
		"containers: [{name: a}]": 1,
		"containers: [{name: a, volumeMounts: [{name: t, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]}]": 0,
		"automountServiceAccountToken: true\n  containers: [{name: a}]":                                                0,
		"os: {name: windows}\n  containers: [{name: a}]":                                                               1,
	} {
		edits, _ := hardened(t, "apiVersion: v1\nkind: Pod\nspec:\n  "+spec+"\n", "{fields: [automountServiceAccountToken]}", nil)
		if len(edits) != want {
			t.Errorf("%s: got edits %v, want %d", spec, edits, want)
		}
	}
}

func TestHardenWithoutAnAnswer(t *testing.T) {
	const fix = "set runAsUser to a user id above 0 that the image can run as, and the fields that Pod Security level restricted requires"
	for _, test := range []struct {
		name, container string
		facts           image.Facts
		message         string // empty: no finding
		noAnswer        bool
		edits           int
	}{
		{
			name: "no registry was asked", container: "image: 'name:1'", edits: 1, noAnswer: true,
			message: "it is not known what can be hardened safely, and no registry was asked",
		},
		{
			name: "the registry does not answer", container: "image: 'away:1'", facts: hardeningFacts(), edits: 1, noAnswer: true,
			message: `it is not known what can be hardened safely: image "away:1" cannot be looked up: registry "docker.io" did not answer in time`,
		},
		{
			name: "the image does not name its user", container: "image: 'gone:1'", facts: hardeningFacts(), edits: 2,
			message: `it is not known what can be hardened safely: image "gone:1" has a USER that its /etc/passwd does not name; set a numeric USER`,
		},
		{
			name: "a user that the manifest gives", container: "image: 'away:1', securityContext: {runAsUser: 7}", facts: hardeningFacts(), edits: 2, noAnswer: true,
			message: `it is not known what can be hardened safely: image "away:1" cannot be looked up: registry "docker.io" did not answer in time`,
		},
		{name: "root by the manifest, where the image has no say", container: "image: 'away:1', securityContext: {runAsUser: 0}", facts: hardeningFacts(), edits: 2},
		{
			name:      "everything is set",
			container: "image: 'away:1', securityContext: {runAsUser: 7, runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
			facts:     hardeningFacts(),
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			edits, findings := hardened(t, "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, "+test.container+"}]\n", "{}", test.facts)
			if len(edits) != test.edits {
				t.Errorf("got edits %v, want %d", edits, test.edits)
			}
			var want []pod.Finding
			if test.message != "" {
				want = []pod.Finding{{
					Rule: HardeningRule, Container: "app", Path: pod.Path{}.Child("spec").Child("containers").Index(0).Child("securityContext").Child("runAsNonRoot"),
					Message: test.message, Fix: fix, Advisory: true, NoAnswer: test.noAnswer,
				}}
			}
			if diff := cmp.Diff(want, findings, cmp.AllowUnexported(pod.Path{})); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestHardeningNeeds asks a registry for no more than is not said already.
func TestHardeningNeeds(t *testing.T) {
	need := func(uid bool) []image.Need { return []image.Need{{Image: "app:1", Config: true, UID: uid}} }
	for _, test := range []struct {
		name, settings, pod, container string
		want                           []image.Need
	}{
		{name: "nothing is set", settings: "{}", want: need(true)},
		{name: "the user is known", settings: "{}", container: "securityContext: {runAsUser: 7}", want: need(false)},
		{name: "root", settings: "{}", container: "securityContext: {runAsUser: 0}"},
		{name: "the user alone is not known", settings: "{}", container: "securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}", want: need(true)},
		{name: "all is known", settings: "{}", pod: "securityContext: {runAsUser: 7, runAsNonRoot: true}", container: "securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"},
		{name: "fields that no image has a say in", settings: "{fields: [seccompProfile, readOnlyRootFilesystem, automountServiceAccountToken]}"},
		{name: "a pod for Windows", settings: "{}", pod: "os: {name: windows}"},
		{name: "an ephemeral container", settings: "{}", pod: "ephemeralContainers: [{name: debug, image: 'debug:1'}]", container: "securityContext: {privileged: true}"},
	} {
		w := decode(t, "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: 'app:1', "+test.container+"}]\n  "+test.pod+"\n")
		got := HardeningNeeds(w, compile(t, "{hardening: "+test.settings+"}").Hardening)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	if got := HardeningNeeds(&pod.Workload{}, compile(t, "{hardening: {}}").Hardening); got != nil {
		t.Errorf("got needs %v of a workload without a template, want none", got)
	}
}

// hardened proves Harden on a manifest and returns its edits, explained.
func hardened(t *testing.T, manifest, settings string, facts image.Facts) ([]string, []pod.Finding) {
	t.Helper()
	s := compile(t, "{hardening: "+settings+"}").Hardening
	_, edits, findings := prove(t, manifest, func(r *Recorder, w *pod.Workload) []pod.Finding { return Harden(r, w, s, facts) })
	return explained(edits), findings
}

func BenchmarkHarden(b *testing.B) {
	facts := hardeningFacts()
	s := compile(b, "{hardening: {}}").Hardening
	bare := decode(b, "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: app, image: 'name:1'}, {name: proxy, image: 'number:1'}]\n")
	done := bare.DeepCopy()
	var r Recorder
	Harden(&r, done, s, facts)
	b.Run("nothing to do", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var r Recorder
			if Harden(&r, done, s, facts); len(r.Edits()) > 0 {
				b.Fatal(r.Edits())
			}
		}
	})
	b.Run("everything to do", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bare.Spec.Containers[0].SecurityContext, bare.Spec.Containers[1].SecurityContext = nil, nil
			var r Recorder
			Harden(&r, bare, s, facts)
		}
	})
	b.Run("1000 containers", func(b *testing.B) {
		w := bare.DeepCopy()
		for range 998 {
			w.Spec.Containers = append(w.Spec.Containers, corev1.Container{Name: "c", Image: "number:1"})
		}
		for b.Loop() {
			for i := range w.Spec.Containers {
				w.Spec.Containers[i].SecurityContext = nil
			}
			var r Recorder
			Harden(&r, w, s, facts)
		}
	})
}

// TestFieldsInDocs holds the table of docs/hardening.md to the fields that there are,
// and to those that are set by default.
func TestFieldsInDocs(t *testing.T) {
	data, err := os.ReadFile("../docs/hardening.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\| (on|off) \\|").FindAllStringSubmatch(string(data), -1) {
		got = append(got, row[1]+" "+row[2])
	}
	byDefault := compile(t, "{hardening: {}}").Hardening
	for _, field := range policies.HardeningFields() {
		state := "off"
		if byDefault.Sets(field) {
			state = "on"
		}
		want = append(want, string(field)+" "+state)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-policies +docs/hardening.md):\n%s", diff)
	}
}
