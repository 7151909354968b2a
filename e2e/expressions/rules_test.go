package expressions_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const digest = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestRules has each exported rule refuse what it is for, and nothing else.
func TestRules(t *testing.T) {
	c := cluster.Cluster(t)
	for _, namespace := range []string{"rules", "rules-warned", "rules-out", "elsewhere"} {
		c.NamedNamespace(t, namespace, nil)
	}
	objects, left := export(t, c, suite.NewPolicy(t, "rules", `
match: {namespaces: ["rules*"], excludeNamespaces: [rules-out]}
modeOverrides: [{namespaces: ["*-warned"], mode: Warn}]
mutate: {hardening: {}}
validate:
  podSecurity: {level: baseline, exemptions: [{checks: [hostPorts], containers: ["exempt-*"], images: ["quay.io/exempt/*"]}]}
  rootUser: {mode: Audit}
  registries: {allow: ["docker.io/library/*", "registry.example.com/**", "quay.io/exempt/*"], deny: ["registry.example.com/team/banned"]}
  digests: {forbidTags: [latest]}
  expressions:
  - {name: images, expression: "pod.spec.containers.all(c, image(c).tag != '')"}
  - name: team
    variables: [{name: pod, expression: "pod.metadata.labels"}]
    expression: "!('team' in variables.pod) || variables.pod['team'] != 'bad'"
    messageExpression: "'team ' + variables.pod['team'] + ' is over'"
  - {name: no-aliases, expression: "!has(pod.spec.hostAliases)", message: "no aliases", fix: "remove them"}
`))
	enforce(t, c, objects)
	for _, want := range []string{
		"spec.mutate.hardening: nothing is repaired", "spec.validate.rootUser: it is the webhook's alone",
		"spec.validate.expressions[0]: images: it reads images", "spec.existingViolations: an update",
	} {
		if !strings.Contains(left, "portcullis: PodPolicy rules: not exported: "+want) {
			t.Errorf("got %s, want it to name %s", left, want)
		}
	}
	recorded, warnings := c.NewClient(t, nil)
	dry := func(object client.Object) error { return recorded.Create(t.Context(), object, client.DryRunAll) }
	// The last of the policies that are created is in force after all others.
	waitForRefusal(t, func() error {
		return dry(withSpec("rules", func(s *corev1.PodSpec) { s.HostAliases = []corev1.HostAlias{{IP: "10.0.0.1"}} }))
	})
	waitForRefusal(t, func() error { return dry(withSpec("rules", func(s *corev1.PodSpec) { s.HostNetwork = true })) })

	image := func(reference string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) { s.Containers[0].Image = reference }
	}
	port := func(name, reference string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Containers[0].Name, s.Containers[0].Image = name, reference
			s.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		}
	}
	for name, test := range map[string]struct {
		edit func(*corev1.PodSpec)
		want string // empty: admitted
	}{
		"good":            {image("nginx:1" + digest), ""},
		"alias of hub":    {image("index.docker.io/nginx:1" + digest), ""},
		"upper-case host": {image("REGISTRY.example.com:443/a/b/c:1" + digest), ""},
		"no digest":       {image("nginx:1"), "PodPolicy rules: digests: nginx:1 has no digest"},
		"forbidden tag":   {image("nginx:latest" + digest), "PodPolicy rules: digests: nginx:latest" + digest + " has a tag that the policy forbids"},
		"elsewhere":       {image("quay.io/x/y:1" + digest), "comes from where the policy does not allow it"},
		"similar host":    {image("registry.example.com.evil.io/a:1" + digest), "comes from where the policy does not allow it"},
		"not official":    {image("team/app:1" + digest), "comes from where the policy does not allow it"},
		"other port":      {image("registry.example.com:5000/a:1" + digest), "comes from where the policy does not allow it"},
		"denied":          {image("registry.example.com/team/banned:1" + digest), "comes from where the policy denies it"},
		"odd spelling":    {image("registry.example.com:0443/a:1" + digest), "is not written as [registry/]repository[:tag][@sha256:digest]"},
		"init container": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Name: "x", Image: "quay.io/x/y:1" + digest}}
		}, "does not allow it"},
		"image volume": {func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "x", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "quay.io/x/y:1" + digest}}}}
		}, "does not allow it"},
		"host port":               {port("main", "quay.io/exempt/x:1"+digest), "podSecurity/hostPorts: containers main: remove hostPort"},
		"host port of the exempt": {port("exempt-a", "quay.io/exempt/x:1"+digest), ""},
		"exempt name alone":       {port("exempt-a", "nginx:1"+digest), "podSecurity/hostPorts: containers exempt-a: remove hostPort"},
	} {
		for _, kind := range suite.Kinds() {
			spec := suite.GoodSpec()
			spec.Containers[0].Image = "nginx:1" + digest
			test.edit(&spec)
			if kind == suite.Job || kind == suite.CronJob {
				spec.RestartPolicy = corev1.RestartPolicyNever
			}
			for namespace, refused := range map[string]bool{"rules": true, "rules-warned": false, "rules-out": false, "elsewhere": false} {
				warnings.Take()
				err := dry(kind.New(namespace, "test", spec))
				warned := strings.Join(warnings.Take(), "\n")
				switch {
				case refused && test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
					t.Errorf("%s as %s in %s: got %v, want a refusal with %s", name, kind.Name, namespace, err, test.want)
				case (!refused || test.want == "") && err != nil:
					t.Errorf("%s as %s in %s: got %v, want no error", name, kind.Name, namespace, err)
				case namespace == "rules-warned" && test.want != "" && !strings.Contains(warned, test.want):
					t.Errorf("%s as %s in %s: got warnings %q, want %s", name, kind.Name, namespace, warned, test.want)
				}
			}
		}
	}
	team := withSpec("rules", func(*corev1.PodSpec) {})
	team.SetLabels(map[string]string{"team": "bad"})
	if err := dry(team); err == nil || !strings.Contains(err.Error(), "PodPolicy rules: expressions/team: team bad is over") {
		t.Errorf("got %v, want the message of the expression", err)
	}
}

// withSpec is a pod that passes, edited.
func withSpec(namespace string, edit func(*corev1.PodSpec)) client.Object {
	spec := suite.GoodSpec()
	spec.Containers[0].Image = "nginx:1" + digest
	edit(&spec)
	return suite.Pod.New(namespace, "test", spec)
}

// TestUpdates leaves alone what changes nothing of what runs, and judges what does,
// through the subresource of ephemeral containers too.
func TestUpdates(t *testing.T) {
	c := cluster.Cluster(t)
	c.NamedNamespace(t, "updates", nil)
	bad := suite.Deployment.New("updates", "before", withSpecOf(func(s *corev1.PodSpec) { s.HostNetwork = true }))
	pod := withSpec("updates", func(*corev1.PodSpec) {})
	for _, object := range []client.Object{bad, pod} {
		if err := c.Client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	objects, _ := export(t, c, suite.NewPolicy(t, "updates", "match: {namespaces: [updates]}\nvalidate: {podSecurity: {level: baseline}}"))
	enforce(t, c, objects)
	waitForRefusal(t, func() error { return c.Client.Create(t.Context(), privileged("updates"), client.DryRunAll) })

	scale := bad.DeepCopyObject().(client.Object)
	if err := c.Client.Patch(t.Context(), scale, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":5},"metadata":{"labels":{"a":"b"}}}`))); err != nil {
		t.Errorf("scaling: got %v, want no error", err)
	}
	image := client.RawPatch("application/strategic-merge-patch+json", []byte(`{"spec":{"template":{"metadata":{"annotations":{"a":"b"}}}}}`))
	if err := c.Client.Patch(t.Context(), scale, image); err == nil || !strings.Contains(err.Error(), "podSecurity/hostNamespaces") {
		t.Errorf("changing the template: got %v, want a refusal", err)
	}
	debugged := pod.(*corev1.Pod).DeepCopy()
	debugged.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "debug", Image: "busybox", SecurityContext: &corev1.SecurityContext{Privileged: ptr.To(true)},
	}}}
	err := c.Client.SubResource("ephemeralcontainers").Update(t.Context(), debugged)
	if err == nil || !strings.Contains(err.Error(), "podSecurity/privileged: containers debug") {
		t.Errorf("adding an ephemeral container: got %v, want a refusal", err)
	}
}

func withSpecOf(edit func(*corev1.PodSpec)) corev1.PodSpec {
	return *suite.SpecOf(withSpec("", edit))
}
