package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// location is where a path leads in a document.
type location struct {
	// parents are the collections on the way, from the root inwards.
	parents []place
	// key and value are the field; nil where the last of the parents lacks it. An
	// element of a list has no key.
	key, value *yaml.Node
	index      int
	// missing are the parts of the path that the last of the parents lacks.
	missing []string
}

// place is a collection, and the key that it is the value of.
type place struct {
	node, key *yaml.Node
	flow      bool // in the style of JSON
}

func (l *location) parent() place { return l.parents[len(l.parents)-1] }

// locate follows a path of keys and indices as far as it goes.
func locate(root *yaml.Node, path []string) (*location, error) {
	l := &location{}
	node, key := root, (*yaml.Node)(nil)
	flow := false
	for i, token := range path {
		if err := own(node, i > 0); err != nil {
			return nil, err
		}
		if isNull(node) && i > 0 {
			// The key is there and has nothing yet.
			l.key, l.value, l.missing = key, node, path[i:]
			return l, nil
		}
		flow = flow || node.Style&yaml.FlowStyle != 0
		l.parents = append(l.parents, place{node: node, key: key, flow: flow})
		next, nextKey, err := child(node, token)
		if err != nil {
			return nil, err
		}
		if next == nil {
			l.missing = path[i:]
			return l, nil
		}
		node, key = next, nextKey
		l.index, _ = strconv.Atoi(token)
	}
	if err := own(node, true); err != nil {
		return nil, err
	}
	l.key, l.value = key, node
	return l, nil
}

// own refuses what stands elsewhere in the document too.
func own(node *yaml.Node, inner bool) error {
	switch {
	case node.Kind == yaml.AliasNode:
		return fmt.Errorf("it is in the alias *%s, which other fields may share", node.Value)
	case inner && node.Anchor != "":
		return fmt.Errorf("it is in the anchor &%s, which other fields may share", node.Anchor)
	case node.Style&yaml.TaggedStyle != 0:
		return fmt.Errorf("it has the tag %s", node.Tag)
	}
	return nil
}

func child(node *yaml.Node, token string) (value, key *yaml.Node, err error) {
	switch node.Kind {
	case yaml.SequenceNode:
		i, err := strconv.Atoi(token)
		switch {
		case err != nil || i < 0 || i > len(node.Content):
			return nil, nil, fmt.Errorf("the list has %d elements, and no element %s", len(node.Content), token)
		case i == len(node.Content):
			return nil, nil, nil
		}
		return node.Content[i], nil, nil
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == token {
				return node.Content[i+1], node.Content[i], nil
			}
		}
		if merges(node) {
			return nil, nil, errors.New("it may come from a merge key (<<), which other fields share")
		}
		return nil, nil, nil
	}
	return nil, nil, fmt.Errorf("%s is neither an object nor a list", strconv.Quote(node.Value))
}

func merges(node *yaml.Node) bool {
	return slices.ContainsFunc(node.Content, func(n *yaml.Node) bool { return n.ShortTag() == "!!merge" })
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }
