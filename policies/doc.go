// Package policies is the API that admins write: PodPolicy, its strict loading from files, its defaults and
// validation, and the compiled form that answers "which policies apply to this workload, in which mode".
//
// Without it a misspelt field switches a rule off in silence, a glob that matches nothing looks like protection,
// and the webhook, the command line and the scan each read the same file a little differently. So there is one
// reading of a policy: [Load] refuses what it does not know and reports all problems at once, and [Compile] turns
// strings into types once, so that nothing past it has to ask whether a value is good.
//
// The API server refuses what [Validate] refuses, as far as OpenAPI and CEL can say it (manifests/crds is generated
// from the types here); where they cannot, Validate is the stricter of the two.
//
// +groupName=portcullis.dev
// +versionName=v1alpha1
// +kubebuilder:object:generate=true
package policies
