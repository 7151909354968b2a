package policies

// ProbeSource is where mutate.probes may take a probe from.
//
// +kubebuilder:validation:Enum=Annotation;Catalog;Healthcheck;NamedPort;OnlyPort
type ProbeSource string

// The sources, in the order in which they are asked.
const (
	// ProbeFromAnnotation is the pod template's portcullis.dev/{readiness,liveness,startup}-probe.
	ProbeFromAnnotation ProbeSource = "Annotation"
	// ProbeFromCatalog is an entry for the image, of the policy or of those that are shipped.
	ProbeFromCatalog ProbeSource = "Catalog"
	// ProbeFromHealthcheck is the HEALTHCHECK of the image.
	ProbeFromHealthcheck ProbeSource = "Healthcheck"
	// ProbeFromNamedPort is a port of the container with a well-known name.
	ProbeFromNamedPort ProbeSource = "NamedPort"
	// ProbeFromOnlyPort is the container's only TCP port.
	ProbeFromOnlyPort ProbeSource = "OnlyPort"
)

// ProbeSources returns every source, in the order in which they are asked.
func ProbeSources() []ProbeSource {
	return []ProbeSource{ProbeFromAnnotation, ProbeFromCatalog, ProbeFromHealthcheck, ProbeFromNamedPort, ProbeFromOnlyPort}
}

// LivenessSource is where mutate.probes may take a probe from that restarts containers.
//
// +kubebuilder:validation:Enum=Annotation;Catalog;Healthcheck
type LivenessSource string

// The sources of probes that restart containers. Ports are none: that nobody accepts a connection is no reason to restart.
const (
	// LivenessFromAnnotation is ProbeFromAnnotation.
	LivenessFromAnnotation = LivenessSource(ProbeFromAnnotation)
	// LivenessFromCatalog is ProbeFromCatalog.
	LivenessFromCatalog = LivenessSource(ProbeFromCatalog)
	// LivenessFromHealthcheck is ProbeFromHealthcheck.
	LivenessFromHealthcheck = LivenessSource(ProbeFromHealthcheck)
)

// LivenessSources returns every source of probes that restart containers.
func LivenessSources() []LivenessSource {
	return []LivenessSource{LivenessFromAnnotation, LivenessFromCatalog, LivenessFromHealthcheck}
}

// ProbeKind is one of the three probes of a container.
//
// +kubebuilder:validation:Enum=readiness;liveness;startup
type ProbeKind string

// The probes.
const (
	// Readiness takes a pod out of its Services while it fails.
	Readiness ProbeKind = "readiness"
	// Liveness restarts the container when it fails.
	Liveness ProbeKind = "liveness"
	// Startup holds the other two back until it succeeds, and restarts the container when it does not.
	Startup ProbeKind = "startup"
)

// ProbeKinds returns the three probes.
func ProbeKinds() []ProbeKind { return []ProbeKind{Readiness, Liveness, Startup} }

// Field is the name of the probe's field in a container: readinessProbe.
func (k ProbeKind) Field() string { return string(k) + "Probe" }

// GRPCPortProbe says how a port named grpc is probed.
//
// +kubebuilder:validation:Enum=GRPC;TCPSocket
type GRPCPortProbe string

// The probes of a port named grpc.
const (
	// GRPCPortHealth asks the gRPC health service.
	GRPCPortHealth GRPCPortProbe = "GRPC"
	// GRPCPortConnect only opens a connection.
	GRPCPortConnect GRPCPortProbe = "TCPSocket"
)

// GRPCPortProbes returns the probes of a port named grpc.
func GRPCPortProbes() []GRPCPortProbe { return []GRPCPortProbe{GRPCPortHealth, GRPCPortConnect} }

// ProbeScheme is that of an HTTP probe.
//
// +kubebuilder:validation:Enum=HTTP;HTTPS
type ProbeScheme string

// The schemes.
const (
	// ProbeHTTP asks without TLS.
	ProbeHTTP ProbeScheme = "HTTP"
	// ProbeHTTPS asks over TLS and believes any certificate.
	ProbeHTTPS ProbeScheme = "HTTPS"
)

// ProbeSchemes returns the schemes.
func ProbeSchemes() []ProbeScheme { return []ProbeScheme{ProbeHTTP, ProbeHTTPS} }
