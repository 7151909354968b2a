package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
	"github.com/portcullis-dev/portcullis/policies"
)

// rules are what a command judges by.
type rules struct {
	policies   []*policies.PodPolicy
	exceptions []*policies.PolicyException
	// namespaces are labels by the name of the namespace.
	namespaces map[string]map[string]string
}

// readBundle reads a cluster's policies, the exceptions from them and the labels of
// its namespaces: a file of PodPolicies, PolicyExceptions and Namespaces, each a
// document of its own. With it the verdict on a file is that of the cluster.
func readBundle(ctx context.Context, path string) (rules, error) {
	in := input.Open(ctx, input.Options{Paths: []string{path}})
	var bundle rules
	for i := range in.Len() {
		file := in.File(i)
		text := bytes.Clone(file.Data)
		found := false
		for d, p := range file.Documents() {
			switch {
			case p != nil:
				return rules{}, fmt.Errorf("reading --bundle: %w", p)
			case d.Item != (pod.Path{}):
				return rules{}, fmt.Errorf("reading --bundle: %s: document %d is a list; write its items as documents, with --- between them", d.Source, d.Index)
			case d.Kind == policies.Kind || d.Kind == policies.ExceptionKind:
				found = true
			case d.APIVersion == "v1" && d.Kind == "Namespace":
				blank(text[d.Offset() : d.Offset()+len(d.Raw())])
			default:
				return rules{}, fmt.Errorf("reading --bundle: %s: document %d is a %s, want PodPolicy, PolicyException or Namespace", d.Source, d.Index, engine.Quote(d.Kind))
			}
		}
		if !found {
			continue
		}
		list, exceptions, err := policies.LoadStored(text, file.Name)
		if err != nil {
			return rules{}, err
		}
		bundle.policies = append(bundle.policies, list...)
		bundle.exceptions = append(bundle.exceptions, exceptions...)
	}
	if len(bundle.policies) == 0 {
		return rules{}, fmt.Errorf("reading --bundle: %q has no PodPolicy, so that it says nothing about what is allowed", path)
	}
	var problems []*input.Problem
	bundle.namespaces, problems = in.Namespaces(ctx)
	for _, p := range problems {
		return rules{}, fmt.Errorf("reading --bundle: %w", p)
	}
	return bundle, nil
}

// compile makes the set that is in force.
func (r rules) compile() (*policies.Set, error) {
	set, err := policies.Compile(r.policies)
	if err != nil || len(r.exceptions) == 0 {
		return set, err
	}
	return set.WithExceptions(r.exceptions)
}

// blank empties a document that has a kind, and leaves its lines and a marker, so
// that those of the others keep their numbers.
func blank(document []byte) {
	for i, c := range document {
		switch {
		case c == '\n':
		case i < len("---"):
			document[i] = '-'
		default:
			document[i] = ' '
		}
	}
}
