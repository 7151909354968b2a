//go:build kind

package kind

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// TestPodSecurity holds pods and Deployments against the levels, whoever asks for
// them: a policy, or a label of the namespace. What is let in really runs.
func TestPodSecurity(t *testing.T) {
	c := standing(t)
	const label = "pod-security.kubernetes.io/enforce"
	byPolicy := map[string]string{"baseline": c.namespace(t, "baseline", nil), "restricted": c.namespace(t, "restricted", nil)}
	byLabel := map[string]string{}
	for _, level := range []string{"privileged", "baseline", "restricted"} {
		byLabel[level] = c.namespace(t, "labels", map[string]string{label: level})
	}
	bare := func(s *corev1.PodSpec) {
		s.SecurityContext, s.Containers[0].SecurityContext = nil, nil
	}
	hostNetwork := func(s *corev1.PodSpec) { s.HostNetwork = true }
	for _, test := range []struct {
		name string
		edit func(*corev1.PodSpec)
		// refused has the finding for each level that refuses.
		refused map[string]string
	}{
		{"good", func(*corev1.PodSpec) {}, nil},
		{"bare", bare, map[string]string{"restricted": "podSecurity/allowPrivilegeEscalation"}},
		{"host-network", hostNetwork, map[string]string{"baseline": "podSecurity/hostNamespaces", "restricted": "podSecurity/hostNamespaces"}},
	} {
		for by, namespaces := range map[string]map[string]string{"policy": byPolicy, "label": byLabel} {
			for level, namespace := range namespaces {
				t.Run(test.name+"/"+by+"/"+level, func(t *testing.T) {
					podSpec := spec(webImage)
					test.edit(&podSpec)
					for _, kind := range []suite.Kind{suite.Pod, suite.Deployment} {
						err := c.client.Create(t.Context(), kind.New(namespace, test.name, podSpec))
						if refusal := test.refused[level]; refusal != "" {
							wantRefusal(t, err, refusal)
						} else if err != nil {
							t.Errorf("%s: %v", kind.Name, err)
						}
					}
				})
			}
		}
	}
	c.waitForPod(t, byPolicy["restricted"], "good", ready)
	c.waitForPod(t, byPolicy["baseline"], "bare", ready)
	c.waitForPod(t, byLabel["restricted"], "good", ready)
}

// TestNamespaceLabelWarns holds that whoever raises the level of a namespace is told
// what runs there and does not meet it, and that an invalid level is refused.
func TestNamespaceLabelWarns(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "labels", nil)
	c.mustCreate(t, privileged(newPod(namespace, "runs-privileged", webImage)))
	c.mustCreate(t, newPod(namespace, "runs-well", webImage))
	got := c.kubectl(t, "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
	wantText(t, got, "Warning: existing pods in namespace", "Warning: runs-privileged: privileged")
	wantNoText(t, got, "runs-well")

	_, err := c.tryKubectl(t.Context(), "label", "namespace", namespace, "pod-security.kubernetes.io/enforce=strict", "--overwrite")
	if err == nil {
		t.Fatal("an invalid level was accepted")
	}
	wantText(t, err.Error(), `Invalid value: "strict": must be one of privileged, baseline, restricted`)
}

// TestRootImage holds what becomes of images by the user that they run as.
func TestRootImage(t *testing.T) {
	c := standing(t)
	namespace := c.namespace(t, "root", nil)
	withoutUser := func(image string) *corev1.Pod {
		pod := newPod(namespace, "", image)
		pod.Spec.SecurityContext.RunAsUser, pod.Spec.SecurityContext.RunAsNonRoot = nil, nil
		return pod
	}
	pod := withoutUser(rootImage)
	pod.Name = "root"
	wantRefusal(t, c.client.Create(t.Context(), pod), "rootUser")

	for name, image := range map[string]string{"number": webImage, "name": namedImage} {
		pod := withoutUser(image)
		pod.Name = name
		c.mustCreate(t, pod)
		c.waitForPod(t, namespace, name, ready)
	}
	pod = withoutUser(rootImage)
	pod.Name, pod.Spec.SecurityContext.RunAsUser = "given", new(int64(1000))
	c.mustCreate(t, pod)
	c.waitForPod(t, namespace, "given", ready)
	for name, uid := range map[string]string{"number": "1000", "name": "1234", "given": "1000"} {
		if got, want := c.kubectl(t, "--namespace", namespace, "logs", name), "serving as uid "+uid+"\n"; got != want {
			t.Errorf("pod %s: got %q, want %q", name, got, want)
		}
	}
}

// TestDebug holds that kubectl debug works, and that its container is repaired and
// judged like any other.
func TestDebug(t *testing.T) {
	c := standing(t)
	pinned, restricted := c.namespace(t, "pin", nil), c.namespace(t, "restricted", nil)
	for _, namespace := range []string{pinned, restricted} {
		c.mustCreate(t, newPod(namespace, "web", webImage))
		c.waitForPod(t, namespace, "web", ready)
	}
	debug := func(namespace, profile string) (string, error) {
		return c.tryKubectl(t.Context(), "--namespace", namespace, "debug", "web", "--attach=false", "--profile", profile,
			"--container", "debugger-"+profile, "--image", inTest(namedImage), "--", "/app", "fail", "a look inside")
	}
	if output, err := debug(pinned, "general"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	want := inTest(namedImage) + "@" + c.registry.digest(t, namedImage)
	pod := c.waitForPod(t, pinned, "web", func(pod *corev1.Pod) error { return terminated(pod.Status.EphemeralContainerStatuses) })
	if got := pod.Spec.EphemeralContainers[0].Image; got != want {
		t.Errorf("image of the ephemeral container: got %q, want %q", got, want)
	}
	wantText(t, c.kubectl(t, "--namespace", pinned, "logs", "web", "--container", "debugger-general"), "a look inside")

	_, err := debug(restricted, "sysadmin")
	wantRefusal(t, err, "podSecurity/privileged")
	if output, err := debug(restricted, "restricted"); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}
