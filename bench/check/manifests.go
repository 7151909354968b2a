package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"text/template"
)

// manifest is what the files differ in.
type manifest struct {
	Kind     string
	Indent   string // of the pod template
	Name     string
	Team     string
	Replicas int
	Port     int
	Tag      string
	// What the restricted level refuses, each in some of the files.
	Privileged, RunAsRoot, HostPath, NoSeccomp, KeepsCapabilities bool
}

// generate writes count manifests of about 3 kB each as files of a folder, half
// of them Pods and half Deployments, the same ones for the same seed.
func generate(folder string, count int) error {
	random := rand.New(rand.NewPCG(6, 2026))
	one := func(in int) bool { return random.IntN(in) == 0 }
	for i := range count {
		m := manifest{
			Kind: "Pod", Name: fmt.Sprintf("service-%04d", i), Team: fmt.Sprintf("team-%02d", random.IntN(40)),
			Replicas: 1 + random.IntN(5), Port: 8000 + random.IntN(1000), Tag: fmt.Sprintf("1.%d.%d", random.IntN(30), random.IntN(10)),
			Privileged: one(20), RunAsRoot: one(8), HostPath: one(25), NoSeccomp: one(6), KeepsCapabilities: one(6),
		}
		if i%2 == 1 {
			m.Kind, m.Indent = "Deployment", "    "
		}
		text, err := m.text()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, m.Name+".yaml"), text, 0o600); err != nil {
			return fmt.Errorf("writing a manifest: %w", err)
		}
	}
	return nil
}

func (m manifest) text() ([]byte, error) {
	var spec, all bytes.Buffer
	if err := podSpec.Execute(&spec, m); err != nil {
		return nil, fmt.Errorf("writing a pod spec: %w", err)
	}
	var indented bytes.Buffer
	for line := range bytes.Lines(spec.Bytes()) {
		if len(bytes.TrimSpace(line)) > 0 {
			indented.WriteString(m.Indent)
		}
		indented.Write(line)
	}
	err := object.Execute(&all, struct {
		manifest
		Spec string
	}{m, indented.String()})
	if err != nil {
		return nil, fmt.Errorf("writing an object: %w", err)
	}
	return all.Bytes(), nil
}

var object = template.Must(template.New("object").Parse(`# {{.Name}} is run by {{.Team}}.
apiVersion: {{if eq .Kind "Pod"}}v1{{else}}apps/v1{{end}}
kind: {{.Kind}}
metadata:
  name: {{.Name}}
  namespace: {{.Team}}
  labels:
    app.kubernetes.io/name: {{.Name}}
    app.kubernetes.io/part-of: shop
    app.kubernetes.io/managed-by: kustomize
    team: {{.Team}}
  annotations:
    contact: "{{.Team}}@example.com"
    description: Answers requests for {{.Name}} and keeps its own cache
    prometheus.io/scrape: "true"
    prometheus.io/port: "{{.Port}}"
spec:
{{- if eq .Kind "Deployment"}}
  replicas: {{.Replicas}}
  revisionHistoryLimit: 3
  selector:
    matchLabels:
      app.kubernetes.io/name: {{.Name}}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 25%
      maxUnavailable: 0
  template:
    metadata:
      labels:
        app.kubernetes.io/name: {{.Name}}
        team: {{.Team}}
    spec:
{{- end}}
{{.Spec}}`))

var podSpec = template.Must(template.New("spec").Parse(`  serviceAccountName: {{.Name}}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 30
  securityContext:
    runAsNonRoot: true
    fsGroup: 2000
{{- if not .NoSeccomp}}
    seccompProfile:
      type: RuntimeDefault
{{- end}}
  topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {app.kubernetes.io/name: {{.Name}}}
  initContainers:
  # The schema has to be there before the first request.
  - name: migrate
    image: registry.example.com/{{.Team}}/migrate:{{.Tag}}
    args: ["--target", "latest", "--timeout=60s"]
    env:
    - name: DATABASE_URL
      valueFrom:
        secretKeyRef:
          name: {{.Name}}-database
          key: url
    securityContext:
      allowPrivilegeEscalation: false
{{- if .RunAsRoot}}
      runAsUser: 0
{{- end}}
      capabilities:
        drop: [ALL]
  containers:
  - name: app
    image: registry.example.com/{{.Team}}/{{.Name}}:{{.Tag}}
    imagePullPolicy: IfNotPresent
    ports:
    - name: http
      containerPort: {{.Port}}
      protocol: TCP
    env:
    - name: LOG_LEVEL
      value: info
    - name: LISTEN
      value: ":{{.Port}}"
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: CACHE_SIZE
      value: "1000"
    resources:
      requests:
        cpu: 100m
        memory: 128Mi
      limits:
        memory: 256Mi
    readinessProbe:
      httpGet:
        path: /ready
        port: http
      periodSeconds: 5
    livenessProbe:
      httpGet:
        path: /alive
        port: http
      initialDelaySeconds: 15
      periodSeconds: 20
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
{{- if .Privileged}}
      privileged: true
{{- end}}
      capabilities:
        drop:
        - {{if .KeepsCapabilities}}NET_RAW{{else}}ALL{{end}}
    volumeMounts:
    - name: cache
      mountPath: /var/cache/app
    - name: settings
      mountPath: /etc/app
      readOnly: true
  volumes:
  - name: cache
{{- if .HostPath}}
    hostPath:
      path: /var/lib/cache
{{- else}}
    emptyDir:
      sizeLimit: 256Mi
{{- end}}
  - name: settings
    configMap:
      name: {{.Name}}-settings
`))
