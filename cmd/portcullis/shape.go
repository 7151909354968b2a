package main

import (
	"bytes"
	"errors"
	"strings"

	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/pod"
)

// shape is what a workload is like before anything is judged of it: a field that is
// misspelt is one that no rule looks at.
type shape struct {
	// problem is why the API server would take the object for no workload at all: then
	// there is nothing to judge. Nil: there is none.
	problem *input.Problem
	// warnings are about fields that the API does not have, a line each.
	warnings []string
}

// shapes tells what workloads are like. It is safe for concurrent use. Nil reads the
// whole of each.
type shapes struct {
	// names are those of all fields that the nine kinds have; what is inside of one that
	// is true has names of somebody's own.
	names map[string]bool
}

func newShapes() *shapes { return &shapes{names: pod.FieldNames()} }

// of holds a workload against what the API has of its kind. To read the whole of an
// object again takes as long as to judge it; so that is done only where something is
// suspicious: no pods, or a word for a field that no kind has. A field that is spelt
// right and stands in the wrong place is not looked for in the others.
func (s *shapes) of(d *input.Document) shape {
	if _, missing := missingField(d.Workload); !missing && s != nil && s.knows(d.Raw()) {
		return shape{}
	}
	return shapeOf(d)
}

// knows reports whether every key in a text is surely the name of a field, or one of
// those that are free, such as those of labels.
func (s *shapes) knows(text []byte) bool {
	free := -1 // the indentation of the field whose keys are free
	for line := range bytes.Lines(text) {
		trimmed := bytes.TrimSpace(line)
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		if len(trimmed) == 0 || trimmed[0] == '#' || free >= 0 && indent > free {
			continue
		}
		free = -1
		for bytes.HasPrefix(trimmed, []byte("- ")) {
			rest := bytes.TrimLeft(trimmed[1:], " ")
			indent += len(trimmed) - len(rest)
			trimmed = rest
		}
		key, value, found := bytes.Cut(trimmed, []byte(":"))
		if !found || len(value) > 0 && value[0] != ' ' { // a word of a list, or a line of a text
			if opensFlow(trimmed) {
				return false
			}
			continue
		}
		isFree, known := s.names[string(key)]
		value = bytes.TrimLeft(value, " ")
		switch {
		case !known:
			return false
		case isFree && len(value) == 0:
			free = indent
		case !isFree && opensFlow(value), bytes.HasPrefix(value, []byte("&")), bytes.HasPrefix(value, []byte("*")):
			return false
		}
	}
	return true
}

// opensFlow reports whether a value is written in braces, with fields inside: a list of
// words has none.
func opensFlow(value []byte) bool {
	return bytes.HasPrefix(value, []byte("{")) && !bytes.HasPrefix(value, []byte("{}")) ||
		bytes.HasPrefix(value, []byte("[")) && bytes.IndexByte(value, '{') >= 0
}

// shapeOf holds all of a workload against what the API has of its kind.
func shapeOf(d *input.Document) shape {
	data, err := d.JSON()
	if err != nil {
		return shape{problem: problemAt(d, pod.Path{}, err.Error())}
	}
	unknown, err := pod.Strict(d.Workload.Kind, data)
	if at := (*pod.FieldError)(nil); errors.As(err, &at) {
		return shape{problem: problemAt(d, at.Path, at.Err.Error())}
	}
	var s shape
	missing, isMissing := missingField(d.Workload)
	for _, f := range unknown {
		message := "unknown field"
		if f.Meant != (pod.Path{}) {
			message += "; did you mean " + last(f.Meant) + "?"
		}
		if isMissing && s.problem == nil && within(missing, f.Meant) {
			s.problem = problemAt(d, f.Path, message)
			continue
		}
		p := problemAt(d, f.Path, strings.Replace(message, "unknown field", "unknown field, which the API server ignores and kubectl refuses", 1))
		s.warnings = append(s.warnings, "portcullis: warning: "+p.Error())
	}
	if isMissing && s.problem == nil {
		s.problem = problemAt(d, missing, "is not set, so that there are no pods to judge; the API server refuses that")
	}
	return s
}

// missingField is the field without which a workload makes no pods, if it has none.
func missingField(w *pod.Workload) (pod.Path, bool) {
	switch {
	case w.Spec == nil:
		return w.TemplatePath(), true
	case len(w.Spec.Containers) == 0:
		return w.SpecPath().Child("containers"), true
	}
	return pod.Path{}, false
}

// within reports whether a path leads through field, or to it.
func within(path, field pod.Path) bool {
	return field != (pod.Path{}) && strings.HasPrefix(path.Pointer()+"/", field.Pointer()+"/")
}

// last is the name that a path ends with.
func last(p pod.Path) string {
	names := p.Tokens()
	return names[len(names)-1]
}

func problemAt(d *input.Document, field pod.Path, message string) *input.Problem {
	p := &input.Problem{Source: d.Source, Document: d.Index, Field: unquoted(d.Path(field).String()), Message: message}
	p.Line, p.Column = d.Position(field)
	return p
}
