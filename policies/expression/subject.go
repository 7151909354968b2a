package expression

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/interpreter"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

// Facts are the values of the variables of one review. Those that an expression
// does not read are not asked for.
type Facts struct {
	Template Template
	// Object and OldObject are objects of the Kubernetes API, or nil.
	Object, OldObject func() (any, error)
	Request           func() *admissionv1.AdmissionRequest
	Namespace         func() *corev1.Namespace
	Images            Images
}

// Subject evaluates rules on one review. It is for one goroutine. Values are made
// when the first rule asks for them, and kept for the next.
type Subject struct {
	facts  Facts
	images factsValue
	// budget is what is left of the cost that the rules of one policy may have.
	budget int64

	pod, object, oldObject, request, namespace ref.Val

	// What follows is of the rule that is evaluated.
	ctx       context.Context
	program   *Program
	variables []ref.Val
}

// NewSubject makes a Subject of facts.
func NewSubject(facts Facts) *Subject {
	return &Subject{facts: facts, images: factsValue{images: facts.Images}, budget: celconfig.RuntimeCELCostBudget}
}

// NextPolicy gives the rules that follow the cost that those of one policy may
// have together, which is that of a ValidatingAdmissionPolicy.
func (s *Subject) NextPolicy() { s.budget = celconfig.RuntimeCELCostBudget }

// MissingError says that a rule cannot be judged because facts about an image are
// not known.
type MissingError struct{ Err error }

// Error is that of the facts.
func (e *MissingError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the facts.
func (e *MissingError) Unwrap() error { return e.Err }

// errBudget is what the API server calls it too.
var errBudget = errors.New("the expressions of this policy cost more than they may together; make them simpler")

// Exceeded tells whether an expression could not be evaluated because it, or those
// of its policy together, cost more time or work than they may.
func Exceeded(err error) bool {
	var cancelled interpreter.EvalCancelledError
	return errors.Is(err, errBudget) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &cancelled) && cancelled.Cause == interpreter.CostLimitExceeded
}

// Holds evaluates a rule. The time is bounded by ctx, the cost by the limits of
// ValidatingAdmissionPolicy. The error is a *MissingError where facts about an image
// would decide.
func (s *Subject) Holds(ctx context.Context, p *Program) (bool, error) {
	s.ctx, s.program, s.images.missing = ctx, p, nil
	s.variables = append(s.variables[:0], make([]ref.Val, len(p.variables))...)
	value, err := s.eval(p.holds)
	switch {
	case err != nil && s.images.missing != nil:
		return false, &MissingError{s.images.missing}
	case err != nil:
		return false, err
	}
	return value == types.True, nil
}

// Message evaluates the message of the rule that Holds evaluated last. It is empty
// where there is none, and where it cannot be had: as the API server, we then fall
// back to the fixed message.
func (s *Subject) Message() string {
	if s.program.message == nil {
		return ""
	}
	value, err := s.eval(s.program.message)
	text, ok := value.(types.String)
	if err != nil || !ok || len(text) > celconfig.MaxEvaluatedMessageExpressionSizeBytes || strings.ContainsAny(string(text), "\r\n") {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (s *Subject) eval(p cel.Program) (ref.Val, error) {
	if s.budget <= 0 {
		return nil, errBudget
	}
	if s.ctx.Err() != nil { // else each of many would go on until it is first interrupted
		return nil, fmt.Errorf("the time of the request ran out: %w", s.ctx.Err())
	}
	value, details, err := p.ContextEval(s.ctx, s)
	if details != nil && details.ActualCost() != nil {
		s.budget -= int64(min(*details.ActualCost(), math.MaxInt64))
	}
	switch {
	case err != nil && s.ctx.Err() != nil:
		return nil, fmt.Errorf("the time of the request ran out: %w", s.ctx.Err())
	case err != nil:
		return nil, err
	case s.budget < 0:
		return nil, errBudget
	}
	return value, nil
}

// ResolveName is part of cel.Activation.
func (s *Subject) ResolveName(name string) (any, bool) {
	switch name {
	case podName:
		return lazy(&s.pod, func() (any, error) { return s.facts.Template, nil }), true
	case objectName:
		return lazy(&s.object, s.facts.Object), true
	case oldObjectName:
		return lazy(&s.oldObject, s.facts.OldObject), true
	case requestName:
		return lazy(&s.request, func() (any, error) { return s.facts.Request(), nil }), true
	case namespaceName:
		return lazy(&s.namespace, func() (any, error) { return s.facts.Namespace(), nil }), true
	case imagesName:
		return &s.images, true
	}
	for i := range s.program.variables {
		if v := &s.program.variables[i]; v.name == name {
			if s.variables[i] == nil {
				s.variables[i] = s.variable(v)
			}
			return s.variables[i], true
		}
	}
	return nil, false
}

// Parent is part of cel.Activation.
func (s *Subject) Parent() cel.Activation { return nil }

func (s *Subject) variable(v *variable) ref.Val {
	value, err := s.eval(v.program)
	if err != nil {
		return types.WrapErr(fmt.Errorf("%s: %w", v.name, err))
	}
	return value
}

func lazy(value *ref.Val, get func() (any, error)) ref.Val {
	if *value != nil {
		return *value
	}
	native, err := get()
	if err != nil {
		*value = types.WrapErr(err)
	} else {
		*value = common.SchemalessTypedToVal(native)
	}
	return *value
}
