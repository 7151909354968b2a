package policies

// ProbeInjection are the settings of spec.mutate.probes.
type ProbeInjection struct {
	MutatorSettings `json:",inline"`

	// Where a probe may come from. They are asked in the order below whatever
	// their order here, and the first that knows one counts. Annotation: of the pod
	// template, portcullis.dev/{readiness,liveness,startup}-probe. Catalog: of
	// well-known images. Healthcheck: of the image. NamedPort: a port of the
	// container with a name such as http or grpc. OnlyPort: the only TCP port of
	// the container. Default: all five.
	// +optional
	// +listType=set
	// +kubebuilder:default={"Annotation","Catalog","Healthcheck","NamedPort","OnlyPort"}
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=5
	Sources []ProbeSource `json:"sources,omitempty"`

	// The sources a liveness probe may come from. A wrong one restarts a container
	// again and again, so only what was written with liveness in mind counts by
	// default; a startup probe always comes with it. Default: [Annotation, Catalog].
	// +optional
	// +listType=set
	// +kubebuilder:default={"Annotation","Catalog"}
	// +kubebuilder:validation:MaxItems=3
	LivenessSources []LivenessSource `json:"livenessSources,omitempty"`

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
	// HEALTHCHECK in the shell form is not used for them.
	// Example: ["gcr.io/distroless/**"]. Left out: none but those that are known
	// from their layers.
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
type ProbeCatalogEntry struct {
	// Images, written as in validate.registries.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Images []string `json:"images"`

	// +optional
	Readiness *ProbeTemplate `json:"readiness,omitempty"`
	// +optional
	Liveness *ProbeTemplate `json:"liveness,omitempty"`
	// +optional
	Startup *ProbeTemplate `json:"startup,omitempty"`
}

// ProbeTemplate is a probe as in a container, with exactly one of exec, httpGet,
// tcpSocket and grpc. There is no host: a probe asks the pod itself.
type ProbeTemplate struct {
	// +optional
	Exec *ExecProbe `json:"exec,omitempty"`
	// +optional
	HTTPGet *HTTPProbe `json:"httpGet,omitempty"`
	// +optional
	TCPSocket *TCPProbe `json:"tcpSocket,omitempty"`
	// +optional
	GRPC *GRPCProbe `json:"grpc,omitempty"`
}

// ExecProbe succeeds if a command in the container exits with 0.
type ExecProbe struct {
	// +required
	Command []string `json:"command"`
}

// HTTPProbe succeeds if a GET answers with a status from 200 to 399.
type HTTPProbe struct {
	// +required
	Port int32 `json:"port"`
	// +optional
	Path string `json:"path,omitempty"`
}

// TCPProbe succeeds if the port accepts a connection.
type TCPProbe struct {
	// +required
	Port int32 `json:"port"`
}

// GRPCProbe succeeds if the gRPC health service answers SERVING.
type GRPCProbe struct {
	// +required
	Port int32 `json:"port"`
	// +optional
	Service string `json:"service,omitempty"`
}

// ProbeRequirement are the settings of spec.validate.probes.
type ProbeRequirement struct {
	// Enforce, Warn or Audit for this check alone. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// The probes that every long-running container must have. Left out: none; the
	// section then warns of contradictory probes alone. Example: [readiness].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=3
	Require []ProbeKind `json:"require,omitempty"`
}
