package policies

// Expression is one entry of spec.validate.expressions: a rule of the admin's own,
// written in CEL.
type Expression struct {
	// The name of the rule. Findings are reported as expressions/NAME, and
	// exceptions name it so. Example: team-label.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`

	// What must be true, in CEL with the functions and the variables of
	// ValidatingAdmissionPolicy: object, oldObject, request, namespaceObject and
	// variables. pod is the metadata and the spec of the pod template, so that one
	// expression serves Pods and all that make them; image(container) is what the
	// registry says about an image. Fields that are not set are asked for with has().
	// Example: has(pod.metadata.labels) && "team" in pod.metadata.labels.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Expression string `json:"expression"`

	// What is wrong where the expression is false, as a part of a sentence without a
	// full stop. Left out: that the expression is false. Example: "every pod names
	// its team".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// An expression for the message, of type string. Where it fails, is empty or has
	// several lines, message is used. Example: "'the team is ' +
	// pod.metadata.labels['team']".
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	MessageExpression string `json:"messageExpression,omitempty"`

	// What to write instead, as an imperative without a full stop. Left out: to make
	// the expression true. Example: "add the label team".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Fix string `json:"fix,omitempty"`

	// Enforce, Warn or Audit for this expression alone. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// What happens when the expression cannot be evaluated: it reads a field that is
	// not set, divides by zero, or costs too much. Deny counts it as false; Warn
	// tells the user and lets the workload pass. Default: Deny.
	// +optional
	// +kubebuilder:default="Deny"
	OnError ExpressionErrorAction `json:"onError,omitempty"`

	// Expressions that the others of this entry can use as variables.NAME, and each
	// those before it. Each is evaluated once at most, when it is first used. Left
	// out: none.
	// Example: [{name: images, expression: "pod.spec.containers.map(c, c.image)"}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Variables []ExpressionVariable `json:"variables,omitempty"`
}

// ExpressionVariable is a named expression.
type ExpressionVariable struct {
	// The name, which comes after "variables.": letters, digits and _.
	// Example: images.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[_a-zA-Z][_a-zA-Z0-9]*$`
	Name string `json:"name"`

	// The expression, of any type.
	// Example: pod.spec.containers.map(c, c.image).
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	Expression string `json:"expression"`
}
