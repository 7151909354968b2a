package policies

// LoggingInjection are the settings of spec.mutate.logging.
//
// +kubebuilder:validation:XValidation:rule="self.defaultCatalog == 'Include' || (has(self.catalog) && size(self.catalog) > 0) || (has(self.env) && size(self.env) > 0) || self.terminationMessagePolicy != 'Unchanged'",message="this changes nothing; set defaultCatalog to Include, or give catalog, env or a terminationMessagePolicy"
// +kubebuilder:validation:XValidation:rule="self.defaultCatalog == 'Include' || !has(self.runtimes) || (has(self.catalog) && self.runtimes.all(r, self.catalog.exists(e, e.name == r)))",message="a runtime is in no catalog; name entries of catalog, or set defaultCatalog to Include",fieldPath=".runtimes"
type LoggingInjection struct {
	MutatorSettings `json:",inline"`

	// Runtimes by image, with the variables that make them log to their standard
	// output. They are looked at before the shipped ones; one with the name of a
	// shipped one replaces it.
	// Example: [{name: shop, images: ["registry.example.com/shop/**"], env: [{name: LOG_TO, value: stdout}]}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Catalog []LoggingRuntime `json:"catalog,omitempty"`

	// Whether the catalog that Portcullis ships (docs/logging.md) counts too.
	// Default: Include.
	// +optional
	// +kubebuilder:default="Include"
	DefaultCatalog CatalogUse `json:"defaultCatalog,omitempty"`

	// The entries of both catalogs that count, by name. Left out: all of them.
	// Example: [python, rails].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Runtimes []string `json:"runtimes,omitempty"`

	// Whether variables count that make a runtime write JSON instead of text:
	// Structured lets them count, Unchanged leaves the format as it is. Default:
	// Structured.
	// +optional
	// +kubebuilder:default="Structured"
	Format LogFormat `json:"format,omitempty"`

	// Variables for every container that does not set them itself, whatever its
	// image. Left out: none. Example: [{name: LOG_LEVEL, value: info}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Env []LoggingVariable `json:"env,omitempty"`

	// What happens to containers with envFrom, whose ConfigMaps and Secrets may set
	// anything. Skip gives them no variable; Add gives them those that env does not
	// set, and what env sets beats envFrom. Default: Skip.
	// +optional
	// +kubebuilder:default="Skip"
	EnvFrom EnvFromAction `json:"envFrom,omitempty"`

	// FallbackToLogsOnError has the end of its log become the termination message
	// of a container that fails without having written one, at most 2,048 bytes or
	// 80 lines; whoever may read the Pod can then read them. It replaces File, which
	// the API server fills in where the field is left out; what a container writes
	// into its file still comes first, and one that names another file than
	// /dev/termination-log is left alone. Unchanged leaves the field alone. Default:
	// FallbackToLogsOnError.
	// +optional
	// +kubebuilder:default="FallbackToLogsOnError"
	TerminationMessagePolicy TerminationMessages `json:"terminationMessagePolicy,omitempty"`

	// The log collector in use, which is told by annotations of the pod template
	// what the catalog knows of each container. Left out: no annotation is set.
	// +optional
	Collector LogCollector `json:"collector,omitempty"`
}

// LoggingRuntime is what runs in some images, and what it reads. At least one of
// images and imageEnv is required, and an image that matches either has it.
//
// +kubebuilder:validation:XValidation:rule="(has(self.images) && size(self.images) > 0) || (has(self.imageEnv) && size(self.imageEnv) > 0)",message="no image can match; name some by images, imageEnv or both"
type LoggingRuntime struct {
	// The name by which runtimes and messages call it: lower-case letters, digits
	// and - (not first or last).
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// Images, written as in validate.registries.
	// Example: ["registry.example.com/shop/**"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Images []string `json:"images,omitempty"`

	// Variables of the image's own ENV, any of which marks it: NAME, NAME* for all
	// that begin so, or NAME=VALUE, in which * stands for any run of characters.
	// Example: [PYTHON_VERSION, "SPRING_*", APP_RUNTIME=ruby*].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[-._a-zA-Z][-._a-zA-Z0-9]*(\*|=.*)?$`
	ImageEnv []string `json:"imageEnv,omitempty"`

	// The variables that it reads.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Env []RuntimeVariable `json:"env"`
}

// RuntimeVariable is a variable that makes a runtime log as it should.
type RuntimeVariable struct {
	// The name of the variable. Where a container or its image sets it, in any
	// spelling of upper and lower case, it is left alone.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z][-._a-zA-Z0-9]*$`
	Name string `json:"name"`

	// Its value.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`

	// Variables that decide the same: where the container or its image sets one,
	// this variable is not added. NAME, or NAME* for all that begin so.
	// Example: [FORCE_COLOR].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[-._a-zA-Z][-._a-zA-Z0-9]*\*?$`
	Unless []string `json:"unless,omitempty"`

	// Whether the variable makes every line a JSON object. Such a one counts only
	// with format Structured, and the collector is told. Default: false.
	// +optional
	Structured bool `json:"structured,omitempty"`
}

// LoggingVariable is a variable for every container.
type LoggingVariable struct {
	// The name of the variable.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z][-._a-zA-Z0-9]*$`
	Name string `json:"name"`

	// Its value.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Value string `json:"value"`
}

// LoggingRequirement are the settings of spec.validate.logging.
type LoggingRequirement struct {
	// Enforce, Warn or Audit for this check alone. Left out: Warn, or the policy's
	// mode where that is milder.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// What of mutate.logging every container must have after all webhooks have run.
	// environment: the variables of its runtime, by the settings of mutate.logging
	// of this policy, or by the shipped catalog if it has none.
	// terminationMessagePolicy: FallbackToLogsOnError. Left out: neither; the
	// section then looks for logs that no collector sees. Example: [environment].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=2
	Require []LoggingCheck `json:"require,omitempty"`
}
