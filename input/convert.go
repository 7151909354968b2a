package input

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	goyaml "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/input/lines"
)

// toJSON reads the document as kubectl does: YAML 1.1, in which yes and off are
// booleans. A key that comes twice is an error.
func (t *text) toJSON() (jsontext.Value, error) {
	if data, places, ok := readBlock(t.raw); ok {
		t.tree = places
		return data, nil
	}
	data, err := yaml.YAMLToJSONStrict(t.raw)
	if err == nil || !strings.Contains(err.Error(), alreadySet) || !bytes.Contains(t.raw, []byte("<<")) {
		return data, err
	}
	// The library takes a field that stands beside a merge key, and replaces what
	// that brings, for one that comes twice.
	if err := t.repeated(); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(t.raw)
}

// alreadySet is part of the library's message about a key that comes twice.
const alreadySet = "already set in map"

// repeated is the error of the first key that comes twice in its own mapping.
func (t *text) repeated() error {
	var root goyaml.Node
	if err := goyaml.Unmarshal(t.raw, &root); err != nil {
		return err
	}
	return repeatedIn(&root)
}

func repeatedIn(node *goyaml.Node) error {
	seen := map[string]bool{}
	for i, child := range node.Content {
		if node.Kind == goyaml.MappingNode && i%2 == 0 && child.Kind == goyaml.ScalarNode && child.ShortTag() != "!!merge" {
			if seen[child.Value] {
				return fmt.Errorf("line %d: key %s %s", child.Line, quote(child.Value), alreadySet)
			}
			seen[child.Value] = true
		}
		if err := repeatedIn(child); err != nil {
			return err
		}
	}
	return nil
}

// lineOf is the line in the file for a line of the document, both from 1; 0
// where the text is in no file.
func (t *text) lineOf(line int) int {
	if t.rendered {
		return 0
	}
	return t.line + line
}

var (
	lineOfError = regexp.MustCompile(`^line (\d+): `)
	// The parser counts lines from 0 and the scanner from 1, and both end up in the
	// message as they are.
	parserError = regexp.MustCompile(`^did not find expected (<|node content|'-'|key|',' or)`)
)

// syntaxProblem puts the error of the YAML library on its line.
func (t *text) syntaxProblem(err error) *Problem {
	message := strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	message = strings.TrimPrefix(message, "yaml: ")
	message = strings.TrimSpace(strings.TrimPrefix(message, "unmarshal errors:"))
	line := 0
	if found := lineOfError.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		line, _ = strconv.Atoi(found[1])
		if parserError.MatchString(message) {
			line++
		}
		line = lines.Of(t.raw).Line(line)
	}
	p := &Problem{Message: "is not YAML: " + oneLine(message)}
	if line > 0 {
		p.Line = t.lineOf(line)
	}
	if strings.HasPrefix(message, "found character that cannot start any token") && t.tabbed(line) {
		p.Message = "is not YAML: a tab indents the line; use spaces"
	}
	if strings.Contains(message, alreadySet) {
		p.Message = oneLine(message) + "; keep one of the two"
	}
	if bytes.Contains(t.raw, []byte("{{")) && !t.rendered {
		p.Message += " (it looks like a template: give the chart to --helm, or pipe in what it renders)"
	}
	return p
}

// tabbed reports whether a tab is among what indents a line of the document, from 1.
func (t *text) tabbed(line int) bool {
	all := bytes.SplitN(t.raw, []byte("\n"), line+1)
	if line < 1 || line > len(all) {
		return false
	}
	text := all[line-1]
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	return bytes.IndexByte(indent, '\t') >= 0
}

// oneLine joins the lines of a message and makes control characters visible.
func oneLine(message string) string {
	var b strings.Builder
	for i, line := range strings.Split(message, "\n") {
		if i > 0 {
			b.WriteString("; ")
		}
		quoted := strconv.Quote(strings.TrimSpace(line))
		b.WriteString(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
	}
	return b.String()
}

// splitJSON cuts what is JSON into its values: a stream of them needs nothing in
// between. What is not valid JSON is left for YAML, of which JSON is nearly a
// part: an escaped surrogate pair or a tab is an error there.
func splitJSON(p part) []part {
	if !isJSON(p.text) {
		return []part{p}
	}
	var parts []part
	decoder := jsontext.NewDecoder(bytes.NewBuffer(p.text))
	for {
		value, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			return []part{p}
		}
		end := int(decoder.InputOffset())
		start := end - len(value)
		parts = append(parts, part{
			text: p.text[start:end], offset: p.offset + start, json: true,
			line: p.line + bytes.Count(p.text[:start], []byte("\n")),
		})
	}
}

func isJSON(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}
