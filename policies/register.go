package policies

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The names under which the API server and the files know the policy and its exceptions.
const (
	Group   = "portcullis.dev"
	Version = "v1alpha1"
	Kind    = "PodPolicy"
	// ExceptionKind is that of the exceptions from policies.
	ExceptionKind = "PolicyException"
)

// DefaultExceptionNamespace is where exceptions count if the admin lists no other namespaces: the one that Portcullis is installed in.
const DefaultExceptionNamespace = "portcullis-system"

// GroupVersion is the API group and version of everything in this package.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: Group, Version: Version}
}

// AddToScheme lets clients and caches built on s read and write objects of both kinds.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion(), &PodPolicy{}, &PodPolicyList{}, &PolicyException{}, &PolicyExceptionList{})
	metav1.AddToGroupVersion(s, GroupVersion())
	return nil
}
