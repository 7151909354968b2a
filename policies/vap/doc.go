// Package vap writes policies as ValidatingAdmissionPolicies, which the API server
// evaluates itself.
//
// While the webhook is away, the API server goes by its failurePolicy: it refuses
// everything or lets everything pass. With the exported policies it goes on to
// enforce what needs no image: the Pod Security Standards, registries, digests and
// expressions. What cannot be said there is named, and never left out in silence:
// an export that looks complete and is not would be worse than none.
//
// There is a ValidatingAdmissionPolicy for each rule and each mode that the rule
// has somewhere, with one binding: cost limits, failurePolicy and validationActions
// are those of a policy as a whole.
package vap
