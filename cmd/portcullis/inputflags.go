package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/portcullis-dev/portcullis/input"
)

// inputFlags say what a command reads.
type inputFlags struct {
	kustomize []string
	charts    []string
	values    []string
	namespace string
}

func (f *inputFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.kustomize, "kustomize", nil, "`folders` with a kustomization, to be rendered")
	flags.StringSliceVar(&f.charts, "helm", nil, "Helm `charts`, folders or archives, to be rendered")
	flags.StringSliceVar(&f.values, "values", nil, "`files` of values for --helm, the later one wins")
	flags.StringVar(&f.namespace, "namespace", "default", "`namespace` of objects that name none")
}

// namespaceError is what is wrong with a namespace that a flag names, nil for nothing.
func namespaceError(flag, namespace string) error {
	if len(validation.IsDNS1123Label(namespace)) == 0 {
		return nil
	}
	return fmt.Errorf("reading %s %q: it is no name of a namespace; use at most 63 lower case letters, digits and -, such as default", flag, namespace)
}

// open finds what the arguments and the flags name.
func (f *inputFlags) open(ctx context.Context, paths []string, stdin io.Reader) (*input.Input, error) {
	if len(paths)+len(f.kustomize)+len(f.charts) == 0 {
		return nil, usageError{errors.New("nothing to read: name files or folders, - for standard input, --kustomize or --helm")}
	}
	if i := slices.Index(paths, ""); i >= 0 {
		return nil, usageError{fmt.Errorf("argument %d is empty: name a file or folder, or - for standard input", i+1)}
	}
	if err := namespaceError("--namespace", f.namespace); err != nil {
		return nil, usageError{err}
	}
	if len(f.values) > 0 && len(f.charts) == 0 {
		return nil, usageError{fmt.Errorf("reading --values %q: they are for --helm, which is missing", f.values[0])}
	}
	options := input.Options{Paths: paths, Stdin: stdin, Kustomize: f.kustomize, Namespace: f.namespace}
	for _, chart := range f.charts {
		options.Charts = append(options.Charts, input.Chart{Path: chart, Values: f.values})
	}
	return input.Open(ctx, options), nil
}
