package expression

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/cel-go/cel"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Source is the text of one rule.
type Source struct {
	// Variables are expressions that the others can use as variables.NAME, each also
	// those after it. They are evaluated once, when they are first used.
	Variables []Variable
	// Expression is true where the rule holds.
	Expression string
	// Message is an expression for the text of a finding; empty: there is none.
	Message string
}

// Variable is one named expression.
type Variable struct{ Name, Expression string }

// The parts of a Source that a Fault can be in.
const (
	PartName       = "name"
	PartExpression = "expression"
	PartMessage    = "messageExpression"
)

// Fault is one thing that is wrong with a Source.
type Fault struct {
	// Variable counts the variables from 0; it is -1 for the rule itself.
	Variable int
	// Part is one of the parts above.
	Part string
	// Message says where in the text, as line:column from 1, and what is wrong.
	Message string
}

// Program is a compiled Source. It is safe for concurrent use.
type Program struct {
	// Reads is what the rule looks at, its message left out: a message that cannot
	// be had is replaced.
	Reads Reads
	// ImageFacts tells whether the rule or its message reads images.
	ImageFacts bool

	holds     cel.Program
	message   cel.Program // nil: none
	variables []variable
}

type variable struct {
	name    string // variables.NAME
	program cel.Program
}

// Compile reads and type-checks a rule. It returns everything that is wrong. Who
// follows the policies of a cluster compiles all of them with each change of one,
// so that the latest programs are kept.
func Compile(source Source) (*Program, []Fault) {
	env, err := base()
	if err != nil {
		return nil, []Fault{{Variable: -1, Part: PartExpression, Message: err.Error()}}
	}
	key := fmt.Sprintf("%q", source)
	if p := env.programs.get(key); p != nil {
		return p, nil
	}
	p, faults := compile(env.Env, source)
	if p != nil {
		env.programs.put(key, p)
	}
	return p, faults
}

func compile(env *cel.Env, source Source) (*Program, []Fault) {
	c := &compiler{env: env, declared: source.Variables}
	p := &Program{}
	for i, v := range source.Variables {
		c.variable(p, source.Variables[:i], v)
	}
	c.at = -1
	if holds, program := c.compile(PartExpression, source.Expression, cel.BoolType); program != nil {
		p.holds = program
		p.Reads.merge(readsOf(holds, c.reads))
	}
	p.ImageFacts = p.Reads.Images
	if source.Message != "" {
		if message, program := c.compile(PartMessage, source.Message, cel.StringType); program != nil {
			p.message = program
			p.ImageFacts = p.ImageFacts || readsOf(message, c.reads).Images
		}
	}
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	return p, nil
}

// compiler compiles the parts of one Source.
type compiler struct {
	env *cel.Env
	// declared are all variables.
	declared []Variable
	// at is the variable that is compiled, -1 for the rule.
	at     int
	faults []Fault
	// reads are those of each variable, with those of the variables that it uses.
	reads map[string]Reads
}

// identifier is that of the CEL grammar.
var identifier = regexp.MustCompile(`^[_a-zA-Z][_a-zA-Z0-9]*$`)

func (c *compiler) refuse(part, format string, args ...any) {
	c.faults = append(c.faults, Fault{Variable: c.at, Part: part, Message: fmt.Sprintf(format, args...)})
}

func (c *compiler) variable(p *Program, before []Variable, v Variable) {
	c.at = len(before)
	switch {
	case !identifier.MatchString(v.Name):
		c.refuse(PartName, "%q is not a name; use letters, digits and _, no digit first", v.Name)
		return
	case slices.ContainsFunc(before, func(b Variable) bool { return b.Name == v.Name }):
		c.refuse(PartName, "%q is the name of a variable before it too", v.Name)
		return
	}
	name := variablesName + "." + v.Name
	compiled, program := c.compile(PartExpression, v.Expression, nil)
	t := cel.DynType // its fault is reported once, and not where it is used
	if program != nil {
		t = compiled.OutputType()
		if c.reads == nil {
			c.reads = map[string]Reads{}
		}
		c.reads[name] = readsOf(compiled, c.reads)
		p.variables = append(p.variables, variable{name, program})
	}
	env, err := c.env.Extend(cel.Variable(name, t))
	if err != nil {
		c.refuse(PartName, "%q cannot be declared: %v", v.Name, err)
		return
	}
	c.env = env
}

// compile returns no program where something is wrong. A nil type is any.
func (c *compiler) compile(part, text string, want *cel.Type) (*cel.Ast, cel.Program) {
	if strings.TrimSpace(text) == "" {
		c.refuse(part, "is empty; write an expression in CEL")
		return nil, nil
	}
	compiled, issues := c.env.Compile(text)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			c.refuse(part, "%d:%d: %s", e.Location.Line(), e.Location.Column()+1, c.explain(e.Message, textFrom(text, e.Location.Line(), e.Location.Column())))
		}
		return nil, nil
	}
	if got := compiled.OutputType(); want != nil && !got.IsExactType(want) {
		c.refuse(part, "1:1: is of type %s; it must be of type %s", got, want)
		return nil, nil
	}
	program, err := c.env.Program(compiled, cel.InterruptCheckFrequency(celconfig.CheckFrequency))
	if err != nil {
		c.refuse(part, "1:1: %s", c.explain(err.Error(), text))
		return nil, nil
	}
	return compiled, program
}

// absent are the variables of ValidatingAdmissionPolicy that are not here, with
// what to write instead. It is never changed.
var absent = map[string]string{
	"params":     "there is no params: a policy carries its own values; write the value itself, or a variable",
	"authorizer": "there is no authorizer: judging asks nobody, so that it cannot wait; use request.userInfo.groups",
	"self":       "there is no self; use pod for the pod template, or object",
}

// textFrom is what stands in a text from a place on: the line from 1, and the column
// from 0, of characters.
func textFrom(text string, line, column int) string {
	lines := strings.SplitAfter(text, "\n")
	if line < 1 || line > len(lines) {
		return ""
	}
	rest := []rune(strings.Join(lines[line-1:], ""))
	return string(rest[min(max(column, 0), len(rest)):])
}

var usedVariable = regexp.MustCompile(`^` + variablesName + `\s*\.\s*([_a-zA-Z][_a-zA-Z0-9]*)`)

// unknownVariable says what is wrong with the use of a variable, which a text begins
// with.
func (c *compiler) unknownVariable(text string) string {
	found := usedVariable.FindStringSubmatch(text)
	if found == nil {
		return "variables is no value by itself; write variables.NAME"
	}
	known := c.declared
	if c.at >= 0 {
		known = c.declared[:c.at]
	}
	name := variablesName + "." + found[1]
	switch {
	case c.at >= 0 && slices.ContainsFunc(c.declared, func(v Variable) bool { return v.Name == found[1] }):
		return "there is no " + name + " yet; a variable can use those before it, so move it up"
	case len(known) == 0:
		return "there is no " + name + "; add it to variables"
	}
	names := make([]string, len(known))
	for i, v := range known {
		names[i] = strconv.Quote(v.Name)
	}
	return "there is no " + name + "; those that can be used here are " + strings.Join(names, ", ")
}

var undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)

// explain is a message of the compiler in one line of plain text. It is about what a
// text begins with.
func (c *compiler) explain(message, text string) string {
	message = strings.TrimSuffix(message, " (in container '')")
	message = strings.ReplaceAll(message, " (in container '')", "")
	if found := undeclared.FindStringSubmatch(message); found != nil {
		if found[1] == variablesName {
			return c.unknownVariable(text)
		}
		if hint := absent[found[1]]; hint != "" {
			return hint
		}
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, message)
}

// readsOf is what an expression reads, itself and by the variables that it uses.
func readsOf(compiled *cel.Ast, variables map[string]Reads) Reads {
	var r Reads
	used := map[string]bool{}
	r.visit(compiled.NativeRep().Expr(), nil, used)
	for name, reads := range variables {
		if used[name] {
			r.merge(reads)
		}
	}
	return r
}
