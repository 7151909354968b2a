package rewrite

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"
)

// style is how a document is written.
type style struct {
	json bool
	// indented is set where the dashes of a list stand deeper than its key.
	indented bool
}

// styleOf reads the style off the first list in the text.
func styleOf(text []byte, root *yaml.Node) style {
	if isJSON(text) {
		return style{json: true}
	}
	indented, _ := indentedLists(root)
	return style{indented: indented}
}

func isJSON(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{' && json.Valid(text)
}

func indentedLists(node *yaml.Node) (indented, found bool) {
	for i, child := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 1 && child.Kind == yaml.SequenceNode && child.Style&yaml.FlowStyle == 0 {
			return child.Column > node.Content[i-1].Column, true
		}
		if indented, found = indentedLists(child); found {
			return indented, true
		}
	}
	return false, false
}

// block writes a value as lines that are indented so far.
func (s style) block(value any, indent int) ([]string, error) {
	node, err := toNode(value)
	if err != nil {
		return nil, err
	}
	text, err := s.encode(node)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.Repeat(" ", indent) + line
	}
	return lines, nil
}

// below writes the value of a key that is indented so far, as the lines that
// follow the key.
func (s style) below(key string, value any, indent int) ([]string, error) {
	lines, err := s.block(map[string]any{key: value}, indent)
	if err != nil {
		return nil, err
	}
	if len(lines) < 2 {
		return nil, errMultiline
	}
	return lines[1:], nil
}

// simple is text that needs no quotes anywhere, if it is not one of the words that
// YAML 1.1 has for other values: those have none of the characters of reference.
var (
	simple    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/@:-]*[A-Za-z0-9]$`)
	reference = regexp.MustCompile(`[/@:]`)
)

// as writes a text with the quotes of the one in whose place it comes.
func as(old *yaml.Node, value any) (string, bool) {
	text, isText := value.(string)
	if !isText || old.Kind != yaml.ScalarNode || !simple.MatchString(text) {
		return "", false
	}
	switch {
	case old.Style&yaml.DoubleQuotedStyle != 0:
		return `"` + text + `"`, true
	case old.Style&yaml.SingleQuotedStyle != 0:
		return "'" + text + "'", true
	}
	return text, reference.MatchString(text)
}

// inline writes a value on one line, in the style of JSON where it is an object
// or a list.
func (s style) inline(value any) (string, error) {
	if s.json {
		data, err := json.Marshal(value)
		return string(data), err
	}
	return s.inList(value)
}

// inBlock writes a text as it may stand after a key and to the end of its line.
func (s style) inBlock(value any) (string, error) {
	switch value.(type) {
	case []any, map[string]any:
		return s.inline(value)
	}
	lines, err := s.block(value, 0)
	if err != nil || len(lines) != 1 {
		return s.inline(value)
	}
	return lines[0], nil
}

func (s style) inlineField(key string, value any) (string, error) {
	if s.json {
		name, err := json.Marshal(key)
		if err != nil {
			return "", err
		}
		text, err := s.inline(value)
		return string(name) + ": " + text, err
	}
	text, err := s.inList(map[string]any{key: value})
	return strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}"), err
}

// inList quotes a text as it has to be between commas and brackets.
func (s style) inList(value any) (string, error) {
	node, err := toNode([]any{value})
	if err != nil {
		return "", err
	}
	flow(node)
	text, err := s.encode(node)
	return strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), err
}

func (s style) encode(node *yaml.Node) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if !s.indented {
		e.CompactSeqIndent()
	}
	if err := e.Encode(node); err != nil {
		return "", fmt.Errorf("writing a value: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// toNode is a value of encoding/json as YAML. Fields are in the order of their
// names, but for the ones that people write first.
func toNode(value any) (*yaml.Node, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("writing a value: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("writing a value: %w", err)
	}
	plain(document.Content[0])
	return document.Content[0], nil
}

// plain takes the style of JSON away, and quotes where nobody needs them: kubectl
// reads YAML 1.1, in which yes, on and 0o7 are no texts.
func plain(node *yaml.Node) {
	if node.Kind != yaml.ScalarNode {
		node.Style = 0
	} else if node.Tag == "!!str" {
		var read any
		if sigsyaml.Unmarshal([]byte(node.Value), &read) == nil && read == any(node.Value) {
			node.Style = 0
		}
	}
	if node.Kind == yaml.MappingNode {
		nameFirst(node)
	}
	for _, child := range node.Content {
		plain(child)
	}
}

// nameFirst puts the field name before the others.
func nameFirst(node *yaml.Node) {
	for i := 2; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == "name" {
			key, value := node.Content[i], node.Content[i+1]
			copy(node.Content[2:i+2], node.Content[:i])
			node.Content[0], node.Content[1] = key, value
		}
	}
}

func flow(node *yaml.Node) {
	if node.Kind != yaml.ScalarNode {
		node.Style = yaml.FlowStyle
	}
	for _, child := range node.Content {
		flow(child)
	}
}
