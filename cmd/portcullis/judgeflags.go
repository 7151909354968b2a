package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/image/lock"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
)

// defaultPreset is what objects are judged by where nobody says by what: the
// policy to arrive at, so that nothing is passed over unseen.
const defaultPreset = "restricted"

// judgeFlags say what a command judges by.
type judgeFlags struct {
	policies        []string
	exceptions      []string
	preset          string
	bundle          string
	namespaceLabels string
	online          bool
	registries      string
	lock            string
	// completes is set where the command adds to the lock what registries say.
	completes bool
	// cluster is the kubeconfig of a cluster to judge by the policies of, nil: none.
	cluster *string
}

func (f *judgeFlags) register(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.policies, "policy", nil, "`files` or folders of PodPolicies and PolicyExceptions to judge by")
	flags.StringSliceVar(&f.exceptions, "exception-namespaces", []string{policies.DefaultExceptionNamespace}, "`namespaces` that PolicyExceptions of --policy count in, as the webhook's flag says")
	flags.StringVar(&f.preset, "preset", "", "`preset` to judge by: "+strings.Join(policies.PresetNames(), ", ")+" (default: "+defaultPreset+", where neither --policy nor --bundle is given)")
	flags.StringVar(&f.bundle, "bundle", "", "`file` with the PodPolicies, PolicyExceptions and labelled Namespaces of a cluster, as portcullis export bundle writes it")
	flags.StringVar(&f.namespaceLabels, "namespace-labels", "", "`file` of Namespaces whose labels count, such as kubectl get namespaces -o yaml writes; those in the input come before it")
	flags.BoolVar(&f.online, "online", false, "ask registries about images; without it rules that need them say skip")
	flags.StringVar(&f.registries, "registries", "", "`file` of kind RegistryConfig, for --online")
	flags.StringVar(&f.lock, "lock", "", "`file` of digests by tag, as portcullis fix writes it, which go before what registries say")
}

// judge reads what the flags name. Notes for the user go to stderr.
func (f *judgeFlags) judge(ctx context.Context, stderr io.Writer) (*judge, error) {
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	now := time.Now()
	var by rules
	var err error
	if f.cluster != nil {
		by, err = f.clusterRules(ctx, now, stderr)
	} else {
		by, err = f.rules(ctx, now)
	}
	keep(err)
	if f.cluster == nil && len(f.policies) == 0 && f.bundle == "" && f.preset == "" {
		fmt.Fprintf(stderr, "portcullis: no --policy, --preset or --bundle is given: judging by the preset %s\n", defaultPreset)
	}
	noteEnded(stderr, by.exceptions, now)
	if f.namespaceLabels != "" {
		labels, err := readNamespaces(ctx, f.namespaceLabels)
		keep(err)
		if by.namespaces == nil {
			by.namespaces = map[string]map[string]string{}
		}
		maps.Copy(by.namespaces, labels)
	}
	j := &judge{list: by.policies, namespaces: by.namespaces, now: now, offline: !f.online}
	registries, err := f.images()
	keep(err)
	if registries != nil {
		j.images = registries
	}
	if f.lock != "" {
		j.lock, err = readLock(f.lock)
		if errors.Is(err, fs.ErrNotExist) && f.completes && f.online {
			j.lock, err = lock.New(), nil
		}
		keep(err)
		j.images = &lock.Images{Lock: j.lock, Next: j.images, Add: f.completes}
	}
	if len(errs) > 0 {
		return nil, usageError{errors.Join(errs...)}
	}
	if j.policies, err = by.compile(); err != nil {
		return nil, usageError{err}
	}
	for _, p := range by.policies {
		if selectsByLabels(p) {
			j.selector = p.Name
		}
	}
	if j.engine, err = engine.New(); err != nil {
		return nil, err
	}
	return j, nil
}

// selectsByLabels reports whether a policy selects namespaces by labels that are
// not known from their name.
func selectsByLabels(p *policies.PodPolicy) bool {
	s := p.Spec.Match.NamespaceSelector
	if s == nil {
		return false
	}
	for key := range s.MatchLabels {
		if key != namespaceNameLabel {
			return true
		}
	}
	return slices.ContainsFunc(s.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key != namespaceNameLabel })
}

// rules are the policies and exceptions to judge by, and with a bundle the
// namespaces to judge in.
func (f *judgeFlags) rules(ctx context.Context, now time.Time) (rules, error) {
	given := slices.DeleteFunc([]string{"--policy", "--preset", "--bundle"}, func(flag string) bool {
		return flag == "--policy" && len(f.policies) == 0 || flag == "--preset" && f.preset == "" || flag == "--bundle" && f.bundle == ""
	})
	if len(given) > 1 {
		return rules{}, fmt.Errorf("%s are given: give one of them", strings.Join(given, " and "))
	}
	switch {
	case len(f.policies) > 0:
		// An exception that has ended since it was written is no reason not to judge: it
		// covers nothing any more.
		terms := policies.ExceptionTerms{Namespaces: f.exceptions, Now: now, Ended: true}
		list, exceptions, err := policies.LoadAll(terms, f.policies...)
		return rules{policies: list, exceptions: exceptions}, err
	case f.bundle != "":
		return readBundle(ctx, f.bundle)
	}
	preset, err := policies.Preset(cmp.Or(f.preset, defaultPreset))
	if err != nil {
		return rules{}, fmt.Errorf("reading --preset: %w", err)
	}
	return rules{policies: []*policies.PodPolicy{preset}}, nil
}

// clusterRules are the policies and exceptions of a cluster, as audit reads them.
func (f *judgeFlags) clusterRules(ctx context.Context, now time.Time, stderr io.Writer) (rules, error) {
	config, err := restConfig(*f.cluster)
	if err != nil {
		return rules{}, err
	}
	fmt.Fprintln(stderr, "portcullis: no --policy, --preset or --bundle is given: judging by the policies and exceptions of the cluster")
	return (&auditFlags{judge: *f}).rules(ctx, config, now, stderr)
}

// images are the registries to ask, nil where none is asked.
func (f *judgeFlags) images() (*image.Registries, error) {
	if !f.online {
		if f.registries != "" {
			return nil, fmt.Errorf("reading --registries %q: it is for --online, which is missing", f.registries)
		}
		return nil, nil
	}
	var config image.Config
	if f.registries != "" {
		data, err := os.ReadFile(f.registries)
		if err != nil {
			return nil, fmt.Errorf("reading --registries: %w", err)
		}
		if config, err = image.LoadConfig(data, f.registries); err != nil {
			return nil, err
		}
	}
	return image.New(config, image.Options{Keychain: image.AmbientKeychain()}), nil
}

// add takes in the labels of the namespaces that are part of the input.
func (j *judge) add(namespaces map[string]map[string]string) {
	if j.namespaces == nil {
		j.namespaces = map[string]map[string]string{}
	}
	maps.Copy(j.namespaces, namespaces)
}

// readNamespaces are the labels of the Namespaces in a file.
func readNamespaces(ctx context.Context, path string) (map[string]map[string]string, error) {
	in := input.Open(ctx, input.Options{Paths: []string{path}})
	if err := unreadable(in); err != nil {
		return nil, fmt.Errorf("reading --namespace-labels: %w", err)
	}
	namespaces, problems := in.Namespaces(ctx)
	for _, p := range problems {
		return nil, fmt.Errorf("reading --namespace-labels: %w", p)
	}
	if len(namespaces) == 0 {
		return nil, fmt.Errorf("reading --namespace-labels: %q has no object of apiVersion v1, kind Namespace", path)
	}
	return namespaces, nil
}

// unreadable is the first problem of an input that has to be right as a whole.
func unreadable(in *input.Input) error {
	for i := range in.Len() {
		for _, p := range in.File(i).Documents() {
			if p != nil {
				return p
			}
		}
	}
	return nil
}
