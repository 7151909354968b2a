package policies

// ProbeSource is where mutate.probes may take a probe from.
//
// +kubebuilder:validation:Enum=Annotation;Catalog;Healthcheck;NamedPort;OnlyPort
type ProbeSource string

// LivenessSource is where mutate.probes may take a liveness probe from.
//
// +kubebuilder:validation:Enum=Annotation;Catalog;Healthcheck
type LivenessSource string

// ProbeKind is one of the three probes of a container.
//
// +kubebuilder:validation:Enum=readiness;liveness;startup
type ProbeKind string
