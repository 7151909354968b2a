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

// readBundle reads a cluster's policies and the labels of its namespaces: a
// file of PodPolicies and Namespaces, each a document of its own. With it the
// verdict on a file is that of the cluster.
func readBundle(ctx context.Context, path string) ([]*policies.PodPolicy, map[string]map[string]string, error) {
	in := input.Open(ctx, input.Options{Paths: []string{path}})
	var list []*policies.PodPolicy
	for i := range in.Len() {
		file := in.File(i)
		text := bytes.Clone(file.Data)
		found := false
		for d, p := range file.Documents() {
			switch {
			case p != nil:
				return nil, nil, fmt.Errorf("reading --bundle: %w", p)
			case d.Item != (pod.Path{}):
				return nil, nil, fmt.Errorf("reading --bundle: %s: document %d is a list; write its items as documents, with --- between them", d.Source, d.Index)
			case d.Kind == policies.Kind:
				found = true
			case d.APIVersion == "v1" && d.Kind == "Namespace":
				blank(text[d.Offset() : d.Offset()+len(d.Raw())])
			default:
				return nil, nil, fmt.Errorf("reading --bundle: %s: document %d is a %s, want PodPolicy or Namespace", d.Source, d.Index, engine.Quote(d.Kind))
			}
		}
		if !found {
			continue
		}
		of, err := policies.Load(text, file.Name)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, of...)
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("reading --bundle: %q has no PodPolicy, so that it says nothing about what is allowed", path)
	}
	namespaces, problems := in.Namespaces(ctx)
	for _, p := range problems {
		return nil, nil, fmt.Errorf("reading --bundle: %w", p)
	}
	return list, namespaces, nil
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
