package audit

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// namespaces reads the labels of namespaces.
func (c *scanning) namespaces(ctx context.Context) error {
	for _, name := range c.Namespaces {
		if _, err := c.namespace(ctx, name); err != nil {
			return err
		}
		if c.gone[name] {
			return fmt.Errorf("namespace %q does not exist", name)
		}
	}
	if len(c.Namespaces) > 0 {
		return nil
	}
	err := list(ctx, c.Pager, Page{Path: collectionPath("", "v1", "namespaces", "")}, func() collector {
		clear(c.labels)
		return c.addNamespace
	})
	return c.problem(ctx, "namespaces", "", err)
}

func (c *scanning) addNamespace(object jsontext.Value) error {
	var n struct {
		Metadata struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(object, &n, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return fmt.Errorf("decoding a namespace: %w", err)
	}
	c.labels[n.Metadata.Name] = n.Metadata.Labels
	return nil
}

// namespaceNameLabel is the label that the API server sets on each namespace.
const namespaceNameLabel = "kubernetes.io/metadata.name"

// namespace are the labels of a namespace, one that is younger than the list too.
// Where they may not be read, all that is known is the name.
func (c *scanning) namespace(ctx context.Context, name string) (map[string]string, error) {
	labels, ok := c.labels[name]
	if ok || c.gone[name] {
		return labels, nil
	}
	body, err := c.Pager.Page(ctx, Page{Path: collectionPath("", "v1", "namespaces", "") + "/" + name})
	switch {
	case apierrors.IsNotFound(err):
		c.gone[name] = true
		return nil, nil
	case err != nil:
		if err := c.problem(ctx, "labels", name, err); err != nil {
			return nil, err
		}
		c.labels[name] = map[string]string{namespaceNameLabel: name}
		return c.labels[name], nil
	}
	defer body.Close()
	object, err := jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)).ReadValue()
	if err == nil {
		err = c.addNamespace(object)
	}
	if err != nil {
		return nil, fmt.Errorf("reading namespace %q: %w", name, err)
	}
	return c.labels[name], nil
}
