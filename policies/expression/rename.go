package expression

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/common"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/parser"
)

// ReplacePod writes name wherever text has the variable pod, which only we have.
// All else, white space too, stays as it is. The text must compile. It is an error
// where pod is also a name that the text gives to something else.
func ReplacePod(text, name string) (string, error) {
	p, err := parser.NewParser(parser.EnableOptionalSyntax(true), parser.EnableIdentEscapeSyntax(true))
	if err != nil {
		return "", fmt.Errorf("making a parser: %w", err)
	}
	// Without macros the tree has the names as they are written.
	parsed, issues := p.Parse(common.NewTextSource(text))
	if len(issues.GetErrors()) > 0 {
		return "", fmt.Errorf("parsing the expression: %s", issues.ToDisplayString())
	}
	var at []int // in characters
	var bound bool
	ast.PreOrderVisit(parsed.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			if e.AsIdent() == podName {
				at = append(at, int(parsed.SourceInfo().OffsetRanges()[e.ID()].Start))
			}
		case ast.CallKind:
			c := e.AsCall()
			bound = bound || c.IsMemberFunction() && bindsPod(c)
		}
	}))
	if bound {
		return "", fmt.Errorf("it uses %s as a name of its own in a macro; use another one", podName)
	}
	characters := []rune(text)
	slices.Sort(at)
	for _, start := range slices.Backward(at) {
		characters = slices.Replace(characters, start, start+len(podName), []rune(name)...)
	}
	return string(characters), nil
}

// bindsPod reports whether a call may be a macro that gives the name pod to the
// elements of a list.
func bindsPod(c ast.CallExpr) bool {
	switch c.FunctionName() {
	case "all", "exists", "exists_one", "existsOne", "filter", "map", "sortBy", "optMap", "optFlatMap", "transformList", "transformMap", "transformMapEntry":
	default:
		return false
	}
	for _, arg := range c.Args()[:max(0, min(2, len(c.Args())-1))] {
		if arg.Kind() == ast.IdentKind && arg.AsIdent() == podName {
			return true
		}
	}
	return false
}
