package policies

// ProbeInjection are the settings of spec.mutate.probes.
type ProbeInjection struct {
	MutatorSettings `json:",inline"`

	// Where a probe may come from. They are asked in the order below whatever
	// their order here. Annotation: of the pod template,
	// portcullis.dev/{readiness,liveness,startup}-probe, each for itself; of the
	// rest, the first that knows the container gives all. Catalog: of well-known
	// images. Healthcheck: of the image. NamedPort: a port of the container named
	// health, healthz, http, https, web or grpc. OnlyPort: the only TCP port of the
	// container. Default: all five.
	// +optional
	// +listType=set
	// +kubebuilder:default={"Annotation","Catalog","Healthcheck","NamedPort","OnlyPort"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Sources []ProbeSource `json:"sources,omitempty"`

	// The sources that a liveness or a startup probe may come from: both restart a
	// container, and a wrong one does so again and again. What sources leaves out
	// does not count here either. A liveness probe always comes with a startup
	// probe. [] adds readiness probes alone. Default: [Annotation, Catalog].
	// +optional
	// +listType=set
	// +kubebuilder:default={"Annotation","Catalog"}
	// +kubebuilder:validation:MaxItems=3
	LivenessSources []LivenessSource `json:"livenessSources,omitempty"`

	// How a port named grpc is probed. GRPC asks the gRPC health service, without
	// which a server never gets ready; TCPSocket only opens a connection.
	// Default: GRPC.
	// +optional
	// +kubebuilder:default="GRPC"
	GRPCPorts GRPCPortProbe `json:"grpcPorts,omitempty"`

	// Probes by image, looked at before the shipped catalog. The first entry that
	// matches the image counts.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Catalog []ProbeCatalogEntry `json:"catalog,omitempty"`

	// Whether the catalog that Portcullis ships (docs/probes.md) counts too.
	// Default: Include.
	// +optional
	// +kubebuilder:default="Include"
	DefaultCatalog CatalogUse `json:"defaultCatalog,omitempty"`

	// Images that have no /bin/sh, written as in validate.registries. A
	// HEALTHCHECK in the shell form is not used for them. Left out: none but those
	// that are known from their layers.
	// Example: ["gcr.io/distroless/**"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	ImagesWithoutShell []string `json:"imagesWithoutShell,omitempty"`
}

// ProbeCatalogEntry are the probes of some images. At least one probe is
// required, and liveness needs startup.
//
// +kubebuilder:validation:XValidation:rule="has(self.readiness) || has(self.liveness) || has(self.startup)",message="names no probe; add readiness, liveness or startup"
// +kubebuilder:validation:XValidation:rule="!has(self.liveness) || has(self.startup)",message="liveness without startup restarts a container that starts slowly; add startup"
// +kubebuilder:validation:XValidation:rule="!has(self.liveness) || !has(self.liveness.successThreshold) || self.liveness.successThreshold <= 1",message="a liveness probe succeeds at once; leave successThreshold out"
// +kubebuilder:validation:XValidation:rule="!has(self.startup) || !has(self.startup.successThreshold) || self.startup.successThreshold <= 1",message="a startup probe succeeds at once; leave successThreshold out"
type ProbeCatalogEntry struct {
	// Images, written as in validate.registries.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Images []string `json:"images"`

	// Whether the container gets traffic.
	// +optional
	Readiness *ProbeTemplate `json:"readiness,omitempty"`

	// Whether the container goes on running. It needs startup.
	// +optional
	Liveness *ProbeTemplate `json:"liveness,omitempty"`

	// Whether the container has started. Until it has, the other two wait; if it
	// has not after failureThreshold times periodSeconds, it is restarted.
	// +optional
	Startup *ProbeTemplate `json:"startup,omitempty"`
}

// ProbeTemplate is a probe as in a container, with exactly one of exec, httpGet,
// tcpSocket and grpc. There is no host: a probe asks the pod itself. What is 0
// or left out is Kubernetes' default.
//
// +kubebuilder:validation:XValidation:rule="(has(self.exec) ? 1 : 0) + (has(self.httpGet) ? 1 : 0) + (has(self.tcpSocket) ? 1 : 0) + (has(self.grpc) ? 1 : 0) == 1",message="has to have exactly one of exec, httpGet, tcpSocket and grpc"
// +kubebuilder:validation:XValidation:rule="(has(self.timeoutSeconds) && self.timeoutSeconds > 0 ? self.timeoutSeconds : 1) <= (has(self.periodSeconds) && self.periodSeconds > 0 ? self.periodSeconds : 10)",fieldPath=".timeoutSeconds",message="timeoutSeconds (1 if left out) is longer than periodSeconds (10 if left out)"
type ProbeTemplate struct {
	// A command in the container.
	// +optional
	Exec *ExecProbe `json:"exec,omitempty"`

	// A GET over HTTP.
	// +optional
	HTTPGet *HTTPProbe `json:"httpGet,omitempty"`

	// A connection to a TCP port.
	// +optional
	TCPSocket *TCPProbe `json:"tcpSocket,omitempty"`

	// A question to the gRPC health service.
	// +optional
	GRPC *GRPCProbe `json:"grpc,omitempty"`

	// Seconds from the start of the container to the first probe. Kubernetes'
	// default: 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`

	// Seconds from one probe to the next. Kubernetes' default: 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`

	// Seconds to wait for an answer, at most periodSeconds. Kubernetes' default: 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`

	// Successes after a failure until the probe counts as successful. Kubernetes'
	// default, and all that liveness and startup can have: 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	SuccessThreshold int32 `json:"successThreshold,omitempty"`

	// Failures after a success until the probe counts as failed. Kubernetes'
	// default: 3.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
}

// ExecProbe succeeds if a command in the container exits with 0.
//
// +kubebuilder:validation:XValidation:rule="size(self.command[0]) > 0",fieldPath=".command",message="begins with an empty string; write the program first"
type ExecProbe struct {
	// The program and its arguments. There is no shell around them, and $(NAME)
	// stands for a variable of the container. Example: [pg_isready, -q].
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command"`
}

// HTTPProbe succeeds if a GET answers with a status from 200 to 399.
type HTTPProbe struct {
	// The port of the container.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// The path, with its query. Left out: /.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/[!-~]*$`
	Path string `json:"path,omitempty"`

	// HTTP or HTTPS, which believes any certificate. Left out: HTTP.
	// +optional
	Scheme ProbeScheme `json:"scheme,omitempty"`
}

// TCPProbe succeeds if the port accepts a connection.
type TCPProbe struct {
	// The port of the container.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
}

// GRPCProbe succeeds if the gRPC health service answers SERVING.
type GRPCProbe struct {
	// The port of the container. It is asked without TLS.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`

	// The service to ask about. Left out: the server as a whole.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[!-~]*$`
	Service string `json:"service,omitempty"`
}

// ProbeRequirement are the settings of spec.validate.probes.
type ProbeRequirement struct {
	// Enforce, Warn or Audit for this check alone. Left out: the policy's mode.
	// Only a missing probe is ever refused; probes that contradict themselves are
	// warned of.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// The probes that every long-running container must have. Left out: none; the
	// section then warns of contradictory probes alone. Example: [readiness].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	Require []ProbeKind `json:"require,omitempty"`
}
