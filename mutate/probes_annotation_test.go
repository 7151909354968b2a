package mutate

import (
	"strings"
	"testing"
)

// TestProbeAnnotations holds the grammar, and which container an annotation is for.
func TestProbeAnnotations(t *testing.T) {
	const one = `containers: [{name: a, image: silent, ` + `ports: [{name: web, containerPort: 80}, {name: rpc, containerPort: 81}, {name: dns, containerPort: 53, protocol: UDP}]}]`
	ready := func(value string) string { return `portcullis.dev/readiness-probe: '` + value + `'` }
	edit := func(handler string) []string {
		return []string{`a: containers[0].readinessProbe {` + handler + `,` + readyTiming + `, from the annotation "portcullis.dev/readiness-probe"`}
	}
	wrong := func(message string) []string {
		return []string{`*annotation a metadata.annotations["portcullis.dev/readiness-probe"]: ` + message}
	}
	var cases []probesCase
	for value, handler := range map[string]string{
		`http:8080/`:               `"httpGet":{"path":"/","port":8080,"scheme":"HTTP"}`,
		`http:web/healthz?a=b&c=/`: `"httpGet":{"path":"/healthz?a=b\u0026c=/","port":"web","scheme":"HTTP"}`,
		`https:443/a/b`:            `"httpGet":{"path":"/a/b","port":443,"scheme":"HTTPS"}`,
		`tcp:65535`:                `"tcpSocket":{"port":65535}`,
		`tcp:web`:                  `"tcpSocket":{"port":"web"}`,
		`grpc:9000`:                `"grpc":{"port":9000,"service":""}`,
		`grpc:rpc/shop.v1.Cart`:    `"grpc":{"port":81,"service":"shop.v1.Cart"}`,
		`exec:["true"]`:            `"exec":{"command":["true"]}`,
		`exec: ["a", "", "b c:d"]`: `"exec":{"command":["a","","b c:d"]}`,
	} {
		cases = append(cases, probesCase{name: value, annotations: ready(value), spec: one, want: edit(handler)})
	}
	for value, message := range map[string]string{
		``:                   `it names no probe`,
		`8080`:               `it names no probe`,
		`HTTP:80/`:           `it names no probe`,
		`udp:53`:             `it names no probe`,
		`http:8080`:          `it has no path`,
		`http:/healthz`:      `"" is not a port`,
		`http:evil.com:80/x`: `"evil.com:80" is not a port`,
		`http://evil.com/x`:  `"" is not a port`,
		`http:80/a b`:        `its path has blanks or other characters that a URL has not, or more than 1024 of them`,
		`tcp:0`:              `"0" is not a port`,
		`tcp:65536`:          `"65536" is not a port`,
		`tcp:-1`:             `"-1" is not a port`,
		`tcp:+80`:            `"+80" is not a port`,
		`tcp:80/`:            `"80/" is not a port`,
		`tcp:dns`:            `the container declares no TCP port named "dns"`,
		`tcp:admin`:          `the container declares no TCP port named "admin"`,
		`grpc:80/`:           `its service is empty, has blanks or has more than 253 characters`,
		`grpc:80/a b`:        `its service is empty, has blanks or has more than 253 characters`,
		`grpc:admin`:         `the container declares no TCP port named "admin"`,
		`exec:true`:          `its command is not a JSON array of strings`,
		`exec:[1]`:           `its command is not a JSON array of strings`,
		`exec:["a"`:          `its command is not a JSON array of strings`,
		`exec:[]`:            `its command is empty, or has more than 64 words`,
		`exec:[""]`:          `its command is empty, or has more than 64 words`,
		`exec:["a` + strings.Repeat(`","a`, 64) + `"]`: `its command is empty, or has more than 64 words`,
		`exec:["` + strings.Repeat(`a`, 4096) + `"]`:   `it is longer than 4096 bytes`,
		`http:80/` + strings.Repeat(`a`, 1025):         `its path has blanks or other characters that a URL has not, or more than 1024 of them`,
		`grpc:80/` + strings.Repeat(`a`, 254):          `its service is empty, has blanks or has more than 253 characters`,
		`tcp:80` + "\u2028":                            `"80\u2028" is not a port`,
	} {
		cases = append(cases, probesCase{name: "wrong: " + value, annotations: ready(value), spec: one, findings: wrong(message)})
	}
	for _, tc := range cases {
		t.Run(tc.name, tc.run)
	}
}

func TestProbeAnnotationsOfContainers(t *testing.T) {
	const two = `initContainers: [{name: i, image: x}, {name: s, image: z, restartPolicy: Always}], containers: [{name: a, image: healthy}, {name: b, image: healthy}], ephemeralContainers: [{name: e, image: x}]`
	tcp := func(container, path, port, key string) string {
		return container + `: ` + path + `.readinessProbe {"tcpSocket":{"port":` + port + `},` + readyTiming + `, from the annotation "portcullis.dev/readiness-probe` + key + `"`
	}
	healthy := func(container, path string) string {
		return container + `: ` + path + `.readinessProbe ` + healthyProbe + `, from the HEALTHCHECK of image "healthy"`
	}
	const ready = "portcullis.dev/readiness-probe"
	for _, tc := range []probesCase{
		{
			name: "the first", annotations: ready + `: "tcp:1"`, spec: two, needs: []string{"healthy"},
			want: []string{tcp("a", "containers[0]", "1", ""), healthy("b", "containers[1]")},
		},
		{
			name: "the default one", annotations: ready + `: "tcp:1", kubectl.kubernetes.io/default-container: b`, spec: two, needs: []string{"healthy"},
			want: []string{healthy("a", "containers[0]"), tcp("b", "containers[1]", "1", "")},
		},
		{
			name: "a default one that is not there", annotations: ready + `: "tcp:1", kubectl.kubernetes.io/default-container: s`, spec: two, needs: []string{"healthy"},
			want: []string{tcp("a", "containers[0]", "1", ""), healthy("b", "containers[1]")},
		},
		{
			name: "by name, which goes before the first", annotations: ready + `.a: "tcp:2", ` + ready + `: "tcp:1", ` + ready + `.s: "tcp:3", ` + ready + `.b: "tcp:4"`, spec: two,
			want: []string{tcp("s", "initContainers[1]", "3", ".s"), tcp("a", "containers[0]", "2", ".a"), tcp("b", "containers[1]", "4", ".b")},
		},
		{
			name: "names of others", annotations: ready + `.c: "tcp:2", ` + ready + `.i: "tcp:1", ` + ready + `.e: "tcp:3", ` + ready + `.a: "tcp:4", ` + ready + `.b: "tcp:5"`, spec: two,
			want: []string{tcp("a", "containers[0]", "4", ".a"), tcp("b", "containers[1]", "5", ".b")},
			findings: []string{
				`*annotation c metadata.annotations["portcullis.dev/readiness-probe.c"]: there is no container "c"`,
				`*annotation e metadata.annotations["portcullis.dev/readiness-probe.e"]: "e" is an ephemeral container, which can have no probe`,
				`*annotation i metadata.annotations["portcullis.dev/readiness-probe.i"]: "i" is an init container, which can have no probe`,
			},
		},
		{
			name: "one that cannot be read wants no other source instead", annotations: ready + `: nonsense, ` + ready + `.b: "tcp:1"`, spec: two,
			want:     []string{tcp("b", "containers[1]", "1", ".b")},
			findings: []string{`*annotation a metadata.annotations["portcullis.dev/readiness-probe"]: it names no probe`},
		},
		{
			name: "other annotations", annotations: ready + `s: x, portcullis.dev/skip: x, a.portcullis.dev/readiness-probe: x, portcullis.dev/exec-probe: x`,
			spec: `containers: [{name: a, image: silent}]`, needs: []string{"silent"},
		},
		{
			name: "a policy that takes none", settings: "sources: [NamedPort]", annotations: ready + `: nonsense`,
			spec:     `containers: [{name: a, image: silent, ports: [{name: http, containerPort: 80}]}]`,
			want:     []string{`a: containers[0].readinessProbe {"tcpSocket":{"port":"http"},` + readyTiming + `, from the port named "http"`},
			findings: []string{`unusedAnnotation a metadata.annotations["portcullis.dev/readiness-probe"]: the policy takes no probe from annotations`},
		},
		{
			name: "a container that is to end", annotations: ready + `: "tcp:1"`, spec: `restartPolicy: Never, containers: [{name: a, image: silent}]`,
			findings: []string{`unusedAnnotation a metadata.annotations["portcullis.dev/readiness-probe"]: the container is to end, and gets no probe`},
		},
		{
			name: "what is written stays", annotations: ready + `: "tcp:1"`, spec: `containers: [{name: a, image: silent, readinessProbe: {tcpSocket: {port: 7}}}]`,
		},
		{
			name: "no container", annotations: ready + `: "tcp:1"`, spec: `containers: []`,
			findings: []string{`*annotation  metadata.annotations["portcullis.dev/readiness-probe"]: there is no container ""`},
		},
	} {
		t.Run(tc.name, tc.run)
	}
}

// TestLivenessAnnotations holds that a liveness probe comes with a startup probe.
func TestLivenessAnnotations(t *testing.T) {
	const note = `portcullis.dev/liveness-probe: "http:80/live"`
	const live = `{"httpGet":{"path":"/live","port":80,"scheme":"HTTP"},`
	const liveness = `a: containers[0].livenessProbe ` + live + livenessTiming + `, from the annotation "portcullis.dev/liveness-probe"`
	for _, tc := range []probesCase{
		{
			name: "alone", annotations: note, spec: `containers: [{name: a, image: silent}]`, needs: []string{"silent"},
			want: []string{liveness, `a: containers[0].startupProbe ` + live + startupTiming + `, from its liveness probe`},
		},
		{
			name: "with its own", annotations: note + `, portcullis.dev/startup-probe: 'exec:["up"]'`, spec: `containers: [{name: a, image: silent}]`, needs: []string{"silent"},
			want: []string{liveness, `a: containers[0].startupProbe {"exec":{"command":["up"]},` + startupTiming + `, from the annotation "portcullis.dev/startup-probe"`},
		},
		{
			name: "startup alone, beside a liveness probe that is there", annotations: `portcullis.dev/startup-probe: 'exec:["up"]'`,
			spec: `containers: [{name: a, image: silent, livenessProbe: {tcpSocket: {port: 7}}}]`, needs: []string{"silent"},
			want: []string{`a: containers[0].startupProbe {"exec":{"command":["up"]},` + startupTiming + `, from the annotation "portcullis.dev/startup-probe"`},
		},
		{
			name: "with one that is there", annotations: note, spec: `containers: [{name: a, image: silent, startupProbe: {tcpSocket: {port: 7}}}]`, needs: []string{"silent"},
			want: []string{liveness},
		},
		{
			name: "a policy that takes none that restarts", settings: "livenessSources: [Catalog]", annotations: note, spec: `containers: [{name: a, image: silent}]`, needs: []string{"silent"},
			findings: []string{`unusedAnnotation a metadata.annotations["portcullis.dev/liveness-probe"]: the policy takes no probe that restarts containers from annotations`},
		},
	} {
		t.Run(tc.name, tc.run)
	}
}
