package policies

import (
	"cmp"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/portcullis-dev/portcullis/policies/expression"
)

// CompiledExpression is an entry of spec.validate.expressions.
//
// +kubebuilder:object:generate=false
type CompiledExpression struct {
	Name string
	// Mode is the rule's own mode, or nil.
	Mode *Mode
	// OnError is what an expression does that cannot be evaluated.
	OnError ExpressionErrorAction
	// Message says what is wrong where Program does not say it. It is never empty.
	Message string
	// Fix says what to write instead. It is never empty.
	Fix string
	// Source is the text that Program was made of.
	Source  expression.Source
	Program *expression.Program
}

func defaultExpressions(list []Expression) {
	for i := range list {
		list[i].OnError = cmp.Or(list[i].OnError, ExpressionErrorDeny)
	}
}

// expressionName is that of a DNS label, since it becomes a part of names.
var expressionName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// maxExpressions bounds the entries of one policy, and maxExpression the length of
// each text in bytes.
const (
	maxExpressions         = 64
	maxExpressionVariables = 32
	maxExpression          = 16384
	maxExpressionMessage   = 1024
)

func (b *builder) expressions(path *field.Path, list []Expression) []CompiledExpression {
	if !b.atMost(path, len(list), maxExpressions) {
		return nil
	}
	compiled := make([]CompiledExpression, 0, len(list))
	names := map[string]bool{}
	for i := range list {
		e, at := &list[i], path.Index(i)
		switch {
		case e.Name == "":
			b.refuse(at.Child("name"), "is missing; findings are reported as expressions/NAME")
		case len(e.Name) > longestName || !expressionName.MatchString(e.Name):
			b.refuse(at.Child("name"), "%s is not a name; use up to %d lower-case letters, digits and - (not first or last)", quote(e.Name), longestName)
		case names[e.Name]:
			b.refuse(at.Child("name"), "%s is the name of an entry before it too", quote(e.Name))
		}
		names[e.Name] = true
		compiled = append(compiled, b.expression(at, e))
	}
	return compiled
}

func (b *builder) expression(path *field.Path, e *Expression) CompiledExpression {
	c := CompiledExpression{
		Name:    e.Name,
		Mode:    b.ruleMode(path.Child("mode"), e.Mode),
		OnError: oneOf(b, path.Child("onError"), e.OnError, "an action", ExpressionErrorActions()),
		Message: b.line(path.Child("message"), e.Message, "the expression is false: "+quoteLine(e.Expression)),
		Fix:     b.line(path.Child("fix"), e.Fix, "make the expression true: "+quoteLine(e.Expression)),
		Source:  e.Source(),
	}
	within := b.within(path.Child("expression"), e.Expression) && b.within(path.Child("messageExpression"), e.MessageExpression) &&
		b.atMost(path.Child("variables"), len(e.Variables), maxExpressionVariables)
	for i, v := range e.Variables {
		within = within && b.within(path.Child("variables").Index(i).Child("expression"), v.Expression)
	}
	if !within {
		return c
	}
	program, faults := expression.Compile(c.Source)
	for _, fault := range faults {
		at := path
		if fault.Variable >= 0 {
			at = path.Child("variables").Index(fault.Variable)
		}
		b.refuse(at.Child(fault.Part), "%s", fault.Message)
	}
	c.Program = program
	return c
}

// Source is the text that is compiled.
func (e *Expression) Source() expression.Source {
	s := expression.Source{Expression: e.Expression, Message: e.MessageExpression}
	for _, v := range e.Variables {
		s.Variables = append(s.Variables, expression.Variable{Name: v.Name, Expression: v.Expression})
	}
	return s
}

// within keeps to the limit of the CRD; what is longer is not read.
func (b *builder) within(path *field.Path, text string) bool {
	if len(text) > maxExpression {
		b.refuse(path, "has %d bytes; %d is the limit", len(text), maxExpression)
	}
	return len(text) <= maxExpression
}

// line is a text that becomes part of a message, or its default.
func (b *builder) line(path *field.Path, text, otherwise string) string {
	switch {
	case text == "":
		return otherwise
	case len(text) > maxExpressionMessage:
		b.refuse(path, "has %d bytes; %d is the limit", len(text), maxExpressionMessage)
	case strings.ContainsAny(text, "\r\n"):
		b.refuse(path, "%s has several lines; write one", quote(text))
	}
	return text
}

// quoteLine is an expression in one line, cut to a length that can be read.
func quoteLine(text string) string {
	const longest = 200
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}
