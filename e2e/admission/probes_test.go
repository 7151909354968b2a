package admission_test

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
	"github.com/portcullis-dev/portcullis/e2e/suite"
)

// probed has a readiness probe required, which mutate.probes has to have added.
const probed = `{mutate: {digests: {}, probes: {livenessSources: [Annotation, Catalog, Healthcheck]}}, validate: {probes: {require: [readiness]}}}`

// exposed is a good container that declares a port.
func exposed(name, image, port string, number int32) corev1.Container {
	c := suite.GoodContainer(name)
	c.Image, c.Ports = image, []corev1.ContainerPort{{Name: port, ContainerPort: number}}
	return c
}

// TestProbes goes through the life of a Deployment: each source gives its probes,
// the API server takes them, Pods are what the template says, and applying the same
// manifest again changes nothing.
func TestProbes(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, probed)
	own := exposed("own", harness.NginxImage, "http", 80)
	own.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(81)}}}
	spec := func() corev1.PodSpec {
		spec := suite.GoodSpec()
		spec.InitContainers = []corev1.Container{exposed("init", harness.FlaskImage, "http", 80), exposed("side", harness.FlaskImage, "http", 80)}
		spec.InitContainers[1].RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
		spec.Containers = []corev1.Container{
			exposed("noted", harness.NginxImage, "http", 80),
			exposed("healthy", harness.FlaskImage, "http", 5000),
			exposed("rpc", harness.PythonImage, "grpc", 9000),
			exposed("only", harness.PythonImage, "", 8000),
			exposed("db", "postgres:17", "", 5432),
			own,
		}
		spec.Containers[4].Image = harness.PythonImage // the registry has no postgres: see TestShippedProbes
		return spec
	}
	written := suite.Deployment.New(namespace, "main", spec()).(*appsv1.Deployment)
	written.Spec.Template.Annotations = map[string]string{
		"portcullis.dev/liveness-probe":           "https:http/live?full=1",
		"portcullis.dev/readiness-probe":          `exec:["cat", "/tmp/$(ready)"]`,
		"portcullis.dev/startup-probe.side":       "grpc:80/a.B",
		"portcullis.dev/readiness-probe.only":     "tcp:8000",
		"kubectl.kubernetes.io/default-container": "noted",
	}
	deployment := create(t, c.Client, written.DeepCopy())
	template := deployment.Spec.Template
	healthy := &corev1.ExecAction{Command: []string{"python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/healthz')"}}
	live := &corev1.HTTPGetAction{Path: "/live?full=1", Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTPS}
	want := map[string][3]*corev1.Probe{ // readiness, liveness, startup
		"init": {},
		"side": {2: probe(5, 10, 60, corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 80, Service: ptr.To("a.B")}})},
		"noted": {
			probe(3, 5, 3, corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"cat", "/tmp/$(ready)"}}}),
			probe(5, 10, 6, corev1.ProbeHandler{HTTPGet: live}), probe(5, 10, 60, corev1.ProbeHandler{HTTPGet: live}),
		},
		"healthy": {
			probe(2, 10, 3, corev1.ProbeHandler{Exec: healthy}), probe(2, 10, 6, corev1.ProbeHandler{Exec: healthy}), probe(5, 10, 60, corev1.ProbeHandler{Exec: healthy}),
		},
		"rpc":  {probe(3, 5, 3, corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 9000, Service: ptr.To("")}})},
		"only": {probe(3, 5, 3, corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8000)}})},
		"db":   {probe(3, 5, 3, corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(5432)}})},
		"own":  {probe(1, 10, 3, own.ReadinessProbe.ProbeHandler)},
	}
	if diff := cmp.Diff(want, probesOf(&template.Spec)); diff != "" {
		t.Errorf("stored probes (-want +got):\n%s", diff)
	}

	// What a controller makes of it.
	set := suite.ReplicaSet.New(namespace, "main-1", template.Spec).(*appsv1.ReplicaSet)
	set.OwnerReferences = append(set.OwnerReferences, owner(deployment, suite.Deployment))
	set.Spec.Template.Annotations = template.Annotations
	create(t, c.Client, client.Object(set))
	pod := suite.Pod.New(namespace, "main-1-x", template.Spec).(*corev1.Pod)
	pod.OwnerReferences = append(pod.OwnerReferences, owner(set, suite.ReplicaSet))
	pod.Annotations = template.Annotations
	create(t, c.Client, client.Object(pod))
	for _, made := range []*corev1.PodSpec{&set.Spec.Template.Spec, &pod.Spec} {
		if diff := cmp.Diff(want, probesOf(made)); diff != "" {
			t.Errorf("probes of what is made (-want +got):\n%s", diff)
		}
	}

	again := written.DeepCopy()
	again.ResourceVersion = deployment.ResourceVersion
	if err := c.Client.Update(t.Context(), again); err != nil {
		t.Fatalf("replacing: %v", err)
	}
	wantUnchanged(t, deployment, again)
}

func probe(timeout, period, failures int32, handler corev1.ProbeHandler) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: handler, TimeoutSeconds: timeout, PeriodSeconds: period, FailureThreshold: failures, SuccessThreshold: 1,
	}
}

// probesOf are readiness, liveness and startup, by container.
func probesOf(spec *corev1.PodSpec) map[string][3]*corev1.Probe {
	all := map[string][3]*corev1.Probe{}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, c := range list {
			all[c.Name] = [3]*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe}
		}
	}
	return all
}

// TestProbesOfEveryKind holds which kinds get probes, and that none gets into an
// ephemeral container, in which the API server forbids them: T01.
func TestProbesOfEveryKind(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, probed)
	spec := suite.GoodSpec()
	spec.Containers = []corev1.Container{exposed("main", harness.FlaskImage, "http", 80)}
	for _, kind := range suite.Kinds() {
		object := create(t, c.Client, kind.New(namespace, "main", spec))
		ends := kind == suite.Job || kind == suite.CronJob
		if got := suite.SpecOf(object).Containers[0].ReadinessProbe; (got == nil) != ends {
			t.Errorf("%s: got readiness probe %v, want none: %t", kind.Name, got, ends)
		}
	}
	pod := suite.Pod.New(namespace, "debugged", spec).(*corev1.Pod)
	create(t, c.Client, client.Object(pod))
	debug := exposed("debug", harness.FlaskImage, "", 0)
	debug.Ports = nil
	pod.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon(debug)}}
	if err := c.Client.SubResource("ephemeralcontainers").Update(t.Context(), pod); err != nil {
		t.Fatalf("debugging: %v", err)
	}
	got := pod.Spec.EphemeralContainers[0]
	if got.ReadinessProbe != nil || got.LivenessProbe != nil || got.StartupProbe != nil || !strings.Contains(got.Image, "@sha256:") {
		t.Errorf("got ephemeral container %+v, want it pinned and without probes", got)
	}
}

// TestProbeAnnotations holds that an annotation which cannot be read is refused
// with what it may say.
func TestProbeAnnotations(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, probed)
	deployment := func(key, value string) *appsv1.Deployment {
		d := suite.Deployment.New(namespace, "main", suite.GoodSpec()).(*appsv1.Deployment)
		d.Spec.Template.Annotations = map[string]string{"portcullis.dev/readiness-probe": "tcp:80", key: value}
		return d
	}
	err := c.Client.Create(t.Context(), deployment("portcullis.dev/readiness-probe", "http:80"))
	wantRefusal(t, err, `spec.template.metadata.annotations["portcullis.dev/readiness-probe"] is "http:80": it has no path`,
		`http:PORT/PATH, https:PORT/PATH, tcp:PORT, grpc:PORT[/SERVICE] or exec:["PROGRAM", "ARGUMENT"]`)
	err = c.Client.Create(t.Context(), deployment("portcullis.dev/liveness-probe.mian", "tcp:80"))
	wantRefusal(t, err, `there is no container "mian"`)
	create(t, c.Client, deployment("portcullis.dev/liveness-probe.main", "tcp:80"))
}

// TestShippedProbes has the API server take the probe of every entry of the
// catalog, as docs/probes.md lists them, and the timing of an endless HEALTHCHECK.
func TestShippedProbes(t *testing.T) {
	t.Parallel()
	c := cluster.Cluster(t)
	namespace := c.Namespace(t, nil)
	c.Policy(t, namespace, `{mutate: {probes: {livenessSources: [Healthcheck]}}, validate: {probes: {require: [readiness]}}}`)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(root, "docs", "probes.md"))
	if err != nil {
		t.Fatal(err)
	}
	spec := suite.GoodSpec()
	spec.Containers = nil
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\| ([0-9]+) \\|").FindAllStringSubmatch(string(data), -1) {
		for image := range strings.SplitSeq(row[1], ", ") {
			number, err := strconv.ParseInt(row[2], 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			spec.Containers = append(spec.Containers, exposed("c"+strconv.Itoa(len(spec.Containers)), strings.Trim(image, "`")+":1", "", int32(number)))
		}
	}
	if len(spec.Containers) < 20 {
		t.Fatalf("got %d images from docs/probes.md, want 20 and more", len(spec.Containers))
	}
	endless := c.Registry.Host() + "/endless:1"
	if err := c.Registry.Push(endless, harness.Config{Healthcheck: &v1.HealthConfig{
		Test: []string{"CMD-SHELL", "kill -0 $(cat /run/pid) && test $$ -gt 1"}, Interval: math.MaxInt64, Timeout: math.MaxInt64,
		StartPeriod: time.Duration(math.MaxInt64), Retries: math.MaxInt32,
	}}); err != nil {
		t.Fatal(err)
	}
	last := suite.GoodContainer("endless")
	last.Image = endless
	spec.Containers = append(spec.Containers, last)
	stored := create(t, c.Client, suite.Deployment.New(namespace, "main", spec)).(*appsv1.Deployment).Spec.Template.Spec.Containers
	for _, container := range stored {
		if container.ReadinessProbe == nil {
			t.Errorf("%s: got no readiness probe, want one", container.Image)
		}
	}
	got := stored[len(stored)-1]
	wantCommand := []string{"/bin/sh", "-c", "kill -0 $$(cat /run/pid) && test $$$ -gt 1"}
	if diff := cmp.Diff(wantCommand, got.ReadinessProbe.Exec.Command); diff != "" || got.LivenessProbe == nil || got.StartupProbe == nil {
		t.Errorf("got liveness %v and startup %v, command (-want +got):\n%s", got.LivenessProbe, got.StartupProbe, diff)
	}
}
