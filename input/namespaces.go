package input

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/portcullis-dev/portcullis/pod"
)

// Namespaces are the labels of the namespaces that the input itself has, by
// name. What is written next to a workload is what will be applied with it. A
// namespace that is there twice with different labels is a problem, since it is
// not known by which of them to judge.
func (in *Input) Namespaces(ctx context.Context) (map[string]map[string]string, []*Problem) {
	found := map[string]map[string]string{}
	first := map[string]*Document{}
	var problems []*Problem
	work := func(_ context.Context, f *File) []*Document { return f.namespaces() }
	done := func(documents []*Document) error {
		for _, d := range documents {
			labels, again := found[d.Name]
			if !again {
				found[d.Name], first[d.Name] = d.Labels, d
				continue
			}
			if maps.Equal(labels, d.Labels) {
				continue
			}
			p := &Problem{Source: d.Source, Document: d.Index, Field: "metadata.labels", Message: fmt.Sprintf(
				"Namespace %s has other labels in document %d of %s; check the two apart, or give both the same",
				quote(d.Name), first[d.Name].Index, first[d.Name].Source)}
			p.Line, p.Column = d.Position(pod.Path{}.Child("metadata").Child("labels"))
			problems = append(problems, p)
		}
		return nil
	}
	if err := Each(ctx, in, work, done); err != nil {
		problems = append(problems, &Problem{Message: err.Error()})
	}
	return found, problems
}

// namespaces are the objects of kind Namespace. What is wrong with the file is
// said when it is judged.
func (f *File) namespaces() []*Document {
	if f.problem != nil || !bytes.Contains(f.Data, []byte("Namespace")) {
		return nil
	}
	var all []*Document
	for d := range f.Documents() {
		if d != nil && d.APIVersion == "v1" && d.Kind == "Namespace" {
			all = append(all, d)
		}
	}
	return all
}
