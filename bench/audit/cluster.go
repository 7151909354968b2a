package main

import (
	"fmt"
	"strings"
)

// cluster is a cluster whose objects are made when they are asked for, always the
// same ones.
type cluster struct{ pods, perWorkload, workloadsPerNamespace int }

func (c cluster) workloads() int  { return c.pods / c.perWorkload }
func (c cluster) namespaces() int { return max(1, c.workloads()/c.workloadsPerNamespace) }

func (c cluster) namespace(workload int) string {
	return fmt.Sprintf("team-%04d", workload/c.workloadsPerNamespace%c.namespaces())
}

// count is how many objects a collection has.
func (c cluster) count(resource string) int {
	switch resource {
	case "namespaces":
		return c.namespaces()
	case "deployments", "replicasets":
		return c.workloads()
	case "pods":
		return c.pods
	}
	return 0
}

// managed stands for the managed fields of an object, of which real ones have about
// this much.
var managed = managedFields()

func managedFields() string {
	var fields []string
	for i := range 20 {
		fields = append(fields, fmt.Sprintf(`"k:{\"name\":\"main-%d\"}":{".":{},"f:env":{},"f:image":{},"f:resources":{".":{},"f:limits":{}}}`, i))
	}
	return `"managedFields":[{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{` +
		strings.Join(fields, ",") + `}}]`
}

// spec is a pod spec. Every fourth workload lacks what level restricted asks for,
// every twentieth is privileged.
func spec(workload int) string {
	security := `"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]},"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}`
	switch {
	case workload%20 == 0:
		security = `"privileged":true`
	case workload%4 == 0:
		security = `"allowPrivilegeEscalation":false`
	}
	var env []string
	for i := range 20 {
		env = append(env, fmt.Sprintf(`{"name":"SETTING_%d","value":"value-%d-of-%d"}`, i, i, workload))
	}
	container := func(name, image string) string {
		return fmt.Sprintf(`{"name":%q,"image":"registry.example.com/%s:1.%d","env":[%s],"ports":[{"containerPort":8080,"protocol":"TCP"}],`+
			`"readinessProbe":{"httpGet":{"path":"/ready","port":8080,"scheme":"HTTP"}},"resources":{"limits":{"memory":"128Mi"},"requests":{"cpu":"100m"}},`+
			`"securityContext":{%s},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}`,
			name, image, workload%50, strings.Join(env, ","), security)
	}
	return `"containers":[` + container("main", fmt.Sprintf("team/app-%d", workload)) + `,` + container("proxy", "mesh/proxy") +
		`],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","schedulerName":"default-scheduler"`
}

// object is the JSON of an object by its place in the collection.
func (c cluster) object(resource string, i int) string {
	switch resource {
	case "namespaces":
		name := fmt.Sprintf("team-%04d", i)
		return fmt.Sprintf(`{"metadata":{"name":%q,"uid":"ns-%d","resourceVersion":"1","labels":{"kubernetes.io/metadata.name":%q}},"spec":{},"status":{"phase":"Active"}}`, name, i, name)
	case "deployments", "replicasets":
		meta := fmt.Sprintf(`"name":"%s-%05d","namespace":%q,"uid":"%s-00000000-0000-%d","resourceVersion":"%d","labels":{"app":"app-%d"}`, resource, i, c.namespace(i), resource, i, 1000+i, i)
		if resource == "replicasets" {
			meta += fmt.Sprintf(`,"ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"deployments-%05d","uid":"deployments-00000000-0000-%d","controller":true}]`, i, i)
		}
		return fmt.Sprintf(`{"metadata":{%s,%s},"spec":{"replicas":%d,"template":{"metadata":{"labels":{"app":"app-%d"}},"spec":{%s}}},"status":{"replicas":10}}`,
			meta, managed, c.perWorkload, i, spec(i))
	}
	workload := i / c.perWorkload
	return fmt.Sprintf(`{"metadata":{"name":"pod-%06d","namespace":%q,"uid":"pod-00000000-0000-%d","resourceVersion":"%d","labels":{"app":"app-%d","pod-template-hash":"abc"},`+
		`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"replicasets-%05d","uid":"replicasets-00000000-0000-%d","controller":true}],%s},`+
		`"spec":{"nodeName":"node-%d",%s},"status":{"phase":"Running","podIP":"10.0.0.1","conditions":[%s],"containerStatuses":[%s]}}`,
		i, c.namespace(workload), i, 10000+i, workload, workload, workload, managed, i%100, spec(workload),
		strings.TrimSuffix(strings.Repeat(`{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"},`, 5), ","),
		strings.TrimSuffix(strings.Repeat(`{"name":"main","ready":true,"restartCount":0,"image":"registry.example.com/app","imageID":"registry.example.com/app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},`, 2), ","))
}
