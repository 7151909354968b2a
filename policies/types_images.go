package policies

// DigestPinning are the settings of spec.mutate.digests.
type DigestPinning struct {
	MutatorSettings `json:",inline"`
}

// RootUser are the settings of spec.validate.rootUser.
type RootUser struct {
	// Enforce, Warn or Audit for this check alone. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// The Kubernetes version whose Pod Security Standards say whether the root of
	// a user namespace counts: "latest", or a fixed one such as "v1.36". From
	// v1.35 on a pod with hostUsers: false may run as root, which is an ordinary
	// user on the node; by earlier versions it may not. Default: latest.
	// +optional
	// +kubebuilder:default="latest"
	// +kubebuilder:validation:Pattern=`^(latest|v1\.(0|[1-9][0-9]{0,8}))$`
	Version string `json:"version,omitempty"`
}

// DigestRequirement are the settings of spec.validate.digests.
//
// +kubebuilder:validation:XValidation:rule="self.require || (has(self.forbidTags) && size(self.forbidTags) > 0)",message="this judges nothing; set require to true, or name tags in forbidTags"
type DigestRequirement struct {
	// Enforce, Warn or Audit for this check alone. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// Whether every image must be named by digest. True refuses an image that has
	// a tag alone, or neither; false leaves it to forbidTags. Default: true.
	// +optional
	// +kubebuilder:default=true
	Require *bool `json:"require,omitempty"`

	// Tags that no image may have, with or without a digest after them. An image
	// without tag and digest has the tag latest, as it has for Kubernetes. Left
	// out: no tag is forbidden. Example: [latest].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`
	ForbidTags []string `json:"forbidTags,omitempty"`
}

// Registries are the settings of spec.validate.registries. At least one of
// allow and deny is required; an image passes if allow lists it, or is left
// out, and deny does not.
//
// +kubebuilder:validation:XValidation:rule="(has(self.allow) && size(self.allow) > 0) || (has(self.deny) && size(self.deny) > 0)",message="this judges nothing; name images in allow, deny or both"
// +kubebuilder:validation:XValidation:rule="!has(self.allow) || (has(self.deny) && size(self.deny) > 0) || !self.allow.exists(p, p == '**')",message="this allows every image; name the registries, or images in deny",fieldPath=".allow"
// +kubebuilder:validation:XValidation:rule="!has(self.allow) || !has(self.deny) || !self.allow.exists(p, p in self.deny)",message="an entry is both in allow and in deny",fieldPath=".allow"
type Registries struct {
	// Enforce, Warn or Audit for this check alone. Left out: the policy's mode.
	// +optional
	Mode *Mode `json:"mode,omitempty"`

	// The images that may run, by their names without tag and digest. * stands
	// for any run of characters within one part of the name (between slashes; in
	// the registry's host, between dots), a trailing /** for any number of further
	// parts, ** alone for every image. Short names mean Docker Hub: nginx is
	// docker.io/library/nginx. Left out: every image that deny does not list.
	// Example: ["docker.io/library/*", "registry.example.com/**"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Allow []string `json:"allow,omitempty"`

	// The images that may not run, whatever allow says, written as in allow. Left
	// out: none. Example: ["docker.io/**"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Deny []string `json:"deny,omitempty"`
}
