// Package expression compiles and evaluates the CEL expressions of policies, in
// the environment of the API server's own ValidatingAdmissionPolicy.
//
// Without one place for it the expression that kubectl apply accepts, the one
// that portcullis check evaluates and the one that is exported would differ in
// functions, types and limits. It imports nothing else of this module: it knows
// expressions and values, not policies and workloads.
//
// The environment is that of k8s.io/apiserver/pkg/cel/environment, with these
// variables: object, oldObject, request, namespaceObject and variables as in a
// ValidatingAdmissionPolicy, and pod, which is the metadata and the spec of the
// pod template wherever the kind of object has it. The function image(container)
// is what the registry says about an image. There is no params, since a policy
// carries its own values, and no authorizer, since judging asks nobody.
//
// Where the API server warns about types, here they are checked: an expression
// that reads a field which no kind has does not compile.
package expression
