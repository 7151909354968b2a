package expression

import (
	"slices"

	"github.com/google/cel-go/common/ast"
)

// Reads says what an expression looks at, so that facts are gathered before it is
// judged, what is not known is not judged, and a finding names a field.
type Reads struct {
	// Object, OldObject, Images: it reads them.
	Object, OldObject, Images bool
	// UID: it also reads the uid behind the USER of an image.
	UID bool
	// Caller: it reads of the request what only the API server knows, such as who
	// sent it.
	Caller bool
	// Namespace: it reads more of the namespace than its name and its labels.
	Namespace bool

	pod, object path
}

// path is the longest beginning that all fields have which are read of a variable.
type path struct {
	read   bool
	fields []string
}

func (p *path) add(fields []string) {
	if !p.read {
		p.read, p.fields = true, fields
		return
	}
	n := 0
	for n < len(fields) && n < len(p.fields) && fields[n] == p.fields[n] {
		n++
	}
	p.fields = p.fields[:n]
}

// knownOfRequest are the fields of a request that follow from the object.
var knownOfRequest = []string{"kind", "resource", "subResource", "requestKind", "requestResource", "requestSubResource", "name", "namespace", "operation"}

// visit follows e; fields are those that are selected of it, the innermost last.
// The names of variables that are read are added to used.
func (r *Reads) visit(e ast.Expr, fields []string, used map[string]bool) {
	switch e.Kind() {
	case ast.IdentKind:
		slices.Reverse(fields)
		used[e.AsIdent()] = true
		r.ident(e.AsIdent(), fields)
	case ast.SelectKind:
		s := e.AsSelect()
		r.UID = r.UID || s.FieldName() == "uid"
		r.visit(s.Operand(), append(fields, s.FieldName()), used)
	case ast.CallKind:
		r.call(e.AsCall(), fields, used)
	case ast.ListKind:
		for _, element := range e.AsList().Elements() {
			r.visit(element, nil, used)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.visit(entry.AsMapEntry().Key(), nil, used)
			r.visit(entry.AsMapEntry().Value(), nil, used)
		}
	case ast.StructKind:
		for _, field := range e.AsStruct().Fields() {
			r.visit(field.AsStructField().Value(), nil, used)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		for _, part := range []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			r.visit(part, nil, used)
		}
	}
}

func (r *Reads) call(c ast.CallExpr, fields []string, used map[string]bool) {
	args := c.Args()
	if c.FunctionName() == "_?._" && len(args) == 2 && args[1].Kind() == ast.LiteralKind {
		if name, ok := args[1].AsLiteral().Value().(string); ok {
			r.visit(args[0], append(fields, name), used)
			return
		}
	}
	if c.IsMemberFunction() {
		r.visit(c.Target(), nil, used)
	}
	for _, arg := range args {
		r.visit(arg, nil, used)
	}
}

// ident takes in a variable and the fields that are selected of it. A variable of
// a macro with the name of ours is taken for ours: more is gathered than is needed.
func (r *Reads) ident(name string, fields []string) {
	switch name {
	case podName:
		r.pod.add(fields)
	case objectName:
		r.Object = true
		r.object.add(fields)
	case oldObjectName:
		r.OldObject = true
	case imagesName:
		r.Images = true
	case requestName:
		r.Caller = r.Caller || len(fields) == 0 || !slices.Contains(knownOfRequest, fields[0])
	case namespaceName:
		known := len(fields) > 1 && fields[0] == "metadata" && (fields[1] == "name" || fields[1] == "labels")
		r.Namespace = r.Namespace || !known
	}
}

// merge takes in what a variable reads.
func (r *Reads) merge(o Reads) {
	r.Object, r.OldObject, r.Images = r.Object || o.Object, r.OldObject || o.OldObject, r.Images || o.Images
	r.UID, r.Caller, r.Namespace = r.UID || o.UID, r.Caller || o.Caller, r.Namespace || o.Namespace
	if o.pod.read {
		r.pod.add(o.pod.fields)
	}
	if o.object.read {
		r.object.add(o.object.fields)
	}
}

// Field is the field that a finding is about: the longest path that all fields have
// in common which the expression reads. OfObject tells a path in the object from one
// in the pod template; where the expression reads both it is the whole template.
func (r Reads) Field() (fields []string, ofObject bool) {
	switch {
	case r.object.read && !r.pod.read:
		return r.object.fields, true
	case r.pod.read && !r.object.read:
		return r.pod.fields, false
	}
	return nil, false
}
