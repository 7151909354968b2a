package input

import (
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/portcullis-dev/portcullis/input/lines"
	"github.com/portcullis-dev/portcullis/pod"
)

// Position is the line and column, from 1, of a field of the object in its file:
// that of the key, or of the element of a list. Of a field that is not there it
// is the position of the nearest one around it. Both are 0 for what a chart or a
// kustomization rendered.
//
// The first call on a document may read its text once more, so that documents
// without findings do not pay for positions.
func (d *Document) Position(field pod.Path) (line, column int) {
	if d.text == nil { // an object that was in no file
		return 0, 0
	}
	return d.text.position(d.Path(field))
}

// tree is the text of a document as places.
type tree interface {
	// position is the place of a path of keys and indices, or of the last part of
	// it that is there.
	position(path []string) (line, column int)
}

func (t *text) position(path pod.Path) (line, column int) {
	if t.rendered {
		return 0, 0
	}
	if t.tree == nil {
		t.tree = t.places()
	}
	line, column = t.tree.position(path.Tokens())
	return t.line + line, column
}

func (t *text) places() tree {
	if t.json {
		return jsonPlaces(t.raw)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(t.raw, &root); err != nil || len(root.Content) == 0 {
		return nowhere{}
	}
	lines.Of(t.raw).Move(root.Content[0])
	return yamlTree{root.Content[0]}
}

// nowhere is the tree of what has no structure.
type nowhere struct{}

func (nowhere) position([]string) (int, int) { return 1, 1 }

// yamlTree finds places by the nodes of the YAML library.
type yamlTree struct{ root *yaml.Node }

func (t yamlTree) position(path []string) (line, column int) {
	at, node := t.root, t.root
	for _, token := range path {
		place, value := nodeChild(node, token, 0)
		if value == nil {
			break
		}
		at, node = place, value
	}
	return at.Line, at.Column
}

// nodeChild is the value at a token of a node, and the node that marks its place;
// nil where there is none. Fields that a merge key brings are found where they
// are written.
func nodeChild(node *yaml.Node, token string, depth int) (place, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.SequenceNode:
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(node.Content) {
			return nil, nil
		}
		return node.Content[i], node.Content[i]
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if key := node.Content[i]; key.Value == token {
				return key, node.Content[i+1]
			}
		}
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].ShortTag() != "!!merge" || depth == maxNested {
				continue
			}
			if place, value := merged(node.Content[i+1], token, depth+1); value != nil {
				return place, value
			}
		}
	}
	return nil, nil
}

// merged looks into the mapping, or the mappings, that a merge key names.
func merged(node *yaml.Node, token string, depth int) (place, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.SequenceNode {
		return nodeChild(node, token, depth)
	}
	for _, element := range node.Content {
		if place, value := nodeChild(element, token, depth); value != nil {
			return place, value
		}
	}
	return nil, nil
}
