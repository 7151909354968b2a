package mutate

import "testing"

func TestProbesFromPorts(t *testing.T) {
	ready := func(handler, evidence string) []string {
		return []string{`a: containers[0].readinessProbe {` + handler + `,` + readyTiming + `, from ` + evidence}
	}
	for _, tc := range []struct {
		name, settings, ports string
		want                  []string
	}{
		{"by the order of names", "", "{name: grpc, containerPort: 1}, {name: web, containerPort: 2}, {name: http, containerPort: 3}", ready(`"tcpSocket":{"port":"http"}`, `the port named "http"`)},
		{"health first", "", "{name: http, containerPort: 3}, {name: health, containerPort: 4}", ready(`"tcpSocket":{"port":"health"}`, `the port named "health"`)},
		{"grpc", "", "{name: grpc, containerPort: 1}, {name: metrics, containerPort: 2}", ready(`"grpc":{"port":1,"service":""}`, `the port named "grpc"`)},
		{"grpc, without its health service", "sources: [NamedPort, OnlyPort], grpcPorts: TCPSocket", "{name: grpc, containerPort: 1}", ready(`"tcpSocket":{"port":"grpc"}`, `the port named "grpc"`)},
		{"grpc, where names do not count", "sources: [OnlyPort]", "{name: grpc, containerPort: 1}", ready(`"tcpSocket":{"port":"grpc"}`, `the only TCP port, 1`)},
		{"names do not count", "sources: [OnlyPort]", "{name: http, containerPort: 1}, {containerPort: 2}", nil},
		{"other names", "sources: [NamedPort]", "{name: http-metrics, containerPort: 1}", nil},
		{"UDP", "", "{name: http, containerPort: 1, protocol: UDP}", nil},
		{"the only port", "", "{containerPort: 8080}", ready(`"tcpSocket":{"port":8080}`, `the only TCP port, 8080`)},
		{"the only TCP port", "", "{containerPort: 53, protocol: UDP}, {name: dns-tcp, containerPort: 53, protocol: TCP}", ready(`"tcpSocket":{"port":"dns-tcp"}`, `the only TCP port, 53`)},
		{"the same port twice", "", "{containerPort: 80, hostPort: 8080}, {containerPort: 80, hostPort: 8081}", ready(`"tcpSocket":{"port":80}`, `the only TCP port, 80`)},
		{"two ports", "", "{containerPort: 80}, {containerPort: 81}", nil},
		{"MySQL", "", "{containerPort: 3306}", nil},
		{"no port", "", "", nil},
	} {
		settings := "sources: [NamedPort, OnlyPort]"
		if tc.settings != "" {
			settings = tc.settings
		}
		t.Run(tc.name, probesCase{settings: settings, spec: "containers: [{name: a, image: gone, ports: [" + tc.ports + "]}]", want: tc.want}.run)
	}
}
