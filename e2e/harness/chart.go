package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// FindHelm builds the pinned Helm, the one of the suite on kind, and returns where it
// is. It stays in the build cache.
func FindHelm(ctx context.Context) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	find := exec.CommandContext(ctx, "go", "tool", "-n", "helm")
	find.Dir = filepath.Join(root, "e2e", "kind", "programs")
	output, err := find.Output()
	if err != nil {
		return "", fmt.Errorf("building helm: %w", err)
	}
	return strings.TrimSpace(string(output)), nil
}

// Release is a chart with what makes it an installation.
type Release struct {
	// Chart is a folder or a package. Empty: the chart that ships.
	Chart string
	// Namespace is that of the release. Empty: SystemNamespace.
	Namespace string
	// Values in YAML; they may be empty.
	Values string
}

// Render renders a release with a program as FindHelm returns it. An error has what
// Helm says.
func (r Release) Render(ctx context.Context, helm string) ([]*unstructured.Unstructured, error) {
	if r.Chart == "" {
		root, err := Root()
		if err != nil {
			return nil, err
		}
		r.Chart = filepath.Join(root, "manifests", "chart")
	}
	if r.Namespace == "" {
		r.Namespace = SystemNamespace
	}
	var stdout, stderr bytes.Buffer
	template := exec.CommandContext(ctx, helm, "template", "portcullis", r.Chart,
		"--namespace", r.Namespace, "--kube-version", "1.34", "--values", "-")
	template.Stdin, template.Stdout, template.Stderr = strings.NewReader(r.Values), &stdout, &stderr
	if err := template.Run(); err != nil {
		return nil, fmt.Errorf("rendering the chart: %w: %s", err, stderr.String())
	}
	return DecodeAll(&stdout)
}

// DecodeAll reads the objects of documents in YAML, and passes over those that have
// comments only.
func DecodeAll(r io.Reader) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(r)); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a document: %w", err)
		}
		data, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("reading a document: %w", err)
		}
		if string(data) == "null" {
			continue
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(data); err != nil {
			return nil, fmt.Errorf("reading an object: %w", err)
		}
		objects = append(objects, object)
	}
}
