package validate

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/portcullis-dev/portcullis/pod"
)

// TestProbes holds the words, and the kinds that the cases, which are pods, do not
// have.
func TestProbes(t *testing.T) {
	const every = "the policy requires a %s probe of every long-running container"
	workload := func(kind, path, spec string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x}\n"+path, map[string]string{
			"Pod": "v1", "Deployment": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1", "PodTemplate": "v1",
		}[kind], kind, spec)
	}
	const template = "spec: {template: {spec: {%s}}}"
	for _, tc := range []struct {
		name, manifest, require string
		want                    []string
	}{
		{
			"all missing", workload("Deployment", template, "containers: [{name: a, image: b, ports: [{containerPort: 53, protocol: UDP}, {containerPort: 80}]}]"), "startup, readiness, liveness",
			[]string{
				`a: spec.template.spec.containers[0].startupProbe: ` + fmt.Sprintf(every, "startup") + `: add one that asks the container itself, such as {httpGet: {port: 80, path: /healthz}} or {tcpSocket: {port: 80}}`,
				`a: spec.template.spec.containers[0].readinessProbe: ` + fmt.Sprintf(every, "readiness") + `: add one that asks the container itself, such as {httpGet: {port: 80, path: /healthz}} or {tcpSocket: {port: 80}}`,
				`a: spec.template.spec.containers[0].livenessProbe: ` + fmt.Sprintf(every, "liveness") + `: add one that asks the container itself, such as {httpGet: {port: 80, path: /healthz}} or {tcpSocket: {port: 80}}`,
			},
		},
		{
			"no TCP port", workload("PodTemplate", "template: {spec: {%s}}", "containers: [{name: a, image: b, ports: [{containerPort: 53, protocol: UDP}]}]"), "readiness",
			[]string{`a: template.spec.containers[0].readinessProbe: ` + fmt.Sprintf(every, "readiness") + `: add one that asks the container itself, such as {exec: {command: [PROGRAM]}}`},
		},
		{"a Job", workload("Job", template, "restartPolicy: Always, containers: [{name: a, image: b}]"), "readiness", nil},
		{"a CronJob", workload("CronJob", "spec: {jobTemplate: {spec: {template: {spec: {%s}}}}}", "containers: [{name: a, image: b}]"), "readiness", nil},
		{"a container that may end", workload("Pod", "spec: {%s}", "containers: [{name: a, image: b, restartPolicy: Never}]"), "readiness", nil},
		{"an ephemeral container", workload("Pod", "spec: {%s}", "containers: [], ephemeralContainers: [{name: a, image: b}]"), "readiness, liveness, startup", nil},
		{"nothing required", workload("Pod", "spec: {%s}", "containers: [{name: a, image: b}]"), "", nil},
		{"no template", "apiVersion: v1\nkind: ReplicationController\nmetadata: {name: x}\nspec: {}\n", "readiness", nil},
		{
			"contradictions", workload("Pod", "spec: {%s}", "containers: [{name: a, image: b, "+
				"readinessProbe: {grpc: {port: 1}, periodSeconds: 7}, livenessProbe: {grpc: {port: 1, service: ''}, timeoutSeconds: 12, failureThreshold: 2, initialDelaySeconds: 5}}]"), "readiness",
			[]string{
				`a: spec.containers[0].livenessProbe.timeoutSeconds 12: an answer is waited for longer than periodSeconds, which is 10: set it to at most 10, or periodSeconds to at least 12 (advisory)`,
				`a: spec.containers[0].livenessProbe.failureThreshold 2: livenessProbe asks what readinessProbe asks and gives up no later, after 20 s: a container that is too busy is restarted instead of relieved: set it to 6 or more, or have livenessProbe ask for less (advisory)`,
				`a: spec.containers[0].startupProbe: livenessProbe restarts a container that takes longer than 25 s to start, again and again: add one that asks the same, with a failureThreshold that is enough for a slow start (advisory)`,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, err := pod.DecodeYAML([]byte(tc.manifest))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range Probes(w, compile(t, "{probes: {require: ["+tc.require+"]}}").ProbeRequirement) {
				value, advisory := "", ""
				if f.Value != nil {
					value = fmt.Sprint(" ", f.Value)
				}
				if f.Advisory {
					advisory = " (advisory)"
				}
				got = append(got, fmt.Sprintf("%s: %s%s: %s: %s%s", f.Container, f.Path, value, f.Message, f.Fix, advisory))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func BenchmarkProbes(b *testing.B) {
	w, err := pod.DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a, image: b, readinessProbe: {tcpSocket: {port: 1}}}, {name: c, image: d, readinessProbe: {tcpSocket: {port: 1}}}]}\n"))
	if err != nil {
		b.Fatal(err)
	}
	s := compile(b, "{probes: {require: [readiness]}}").ProbeRequirement
	b.ReportAllocs()
	for b.Loop() {
		if findings := Probes(w, s); len(findings) > 0 {
			b.Fatal(findings)
		}
	}
}
