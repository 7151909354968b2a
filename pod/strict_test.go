package pod

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

func TestStrict(t *testing.T) {
	const head = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, labels: {any: thing}, creationTimestamp: null}\n"
	for _, test := range []struct{ name, text, want string }{
		{"nothing", head + "spec: {replicas: 1, template: {spec: {containers: [{name: app, resources: {limits: {cpu: 1, memory: 1Gi}}, ports: [{containerPort: 80}]}]}}}\nstatus: {}\n", ""},
		{"the template", head + "spec: {templat: {spec: {containers: []}}}\n", "spec.templat (spec.template)"},
		{
			"several", head + "spec: {template: {spec: {securityContext: {runAsNonroot: true}, containers: [{name: a}, {nam: b, readinesProbe: {}, zzzzzz: 1}]}}}\n",
			"spec.template.spec.containers[1].nam (spec.template.spec.containers[1].name), " +
				"spec.template.spec.containers[1].readinesProbe (spec.template.spec.containers[1].readinessProbe), " +
				"spec.template.spec.containers[1].zzzzzz (), " +
				"spec.template.spec.securityContext.runAsNonroot (spec.template.spec.securityContext.runAsNonRoot)",
		},
		{
			"inlined fields", head + "spec: {template: {spec: {volumes: [{name: a, emptydir: {}}, {name: b, configMap: {nam: c}}]}}}\n",
			"spec.template.spec.volumes[0].emptydir (spec.template.spec.volumes[0].emptyDir), spec.template.spec.volumes[1].configMap.nam (spec.template.spec.volumes[1].configMap.name)",
		},
		{"another type", head + "spec: {replicas: x}\n", "; spec.replicas: got a string, expected int32"},
		{"both", head + "spec: {replicas: x}\nspecc: {}\n", "specc (spec); spec.replicas: got a string, expected int32"},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSONStrict([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			kind, _ := KindFor(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"})
			unknown, err := Strict(kind, data)
			var fields []string
			for _, f := range unknown {
				fields = append(fields, f.Path.String()+" ("+f.Meant.String()+")")
			}
			got := strings.Join(fields, ", ")
			if err != nil {
				got += "; " + err.Error()
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestStrictKnowsEveryKind requires that what one kind has is known of that kind.
func TestStrictKnowsEveryKind(t *testing.T) {
	own := map[string]string{
		"Pod": `{"spec":{"nodeName":"n"}}`, "PodTemplate": `{"template":{}}`, "ReplicationController": `{"spec":{"selector":{"a":"b"}}}`,
		"Deployment": `{"spec":{"strategy":{}}}`, "ReplicaSet": `{"spec":{"minReadySeconds":1}}`, "StatefulSet": `{"spec":{"serviceName":"s"}}`,
		"DaemonSet": `{"spec":{"updateStrategy":{}}}`, "Job": `{"spec":{"completions":1}}`, "CronJob": `{"spec":{"schedule":"s"}}`,
	}
	for _, kind := range Kinds() {
		if unknown, err := Strict(kind, []byte(own[kind.Name])); len(unknown) > 0 || err != nil {
			t.Errorf("%s: got %v, error %v, want nothing", kind.Name, unknown, err)
		}
		if unknown, err := Strict(kind, []byte(`{"metadata":{"nam":"x"},"sepc":{}}`)); len(unknown) != 2 || err != nil {
			t.Errorf("%s: got %v, error %v, want two fields", kind.Name, unknown, err)
		}
	}
}
