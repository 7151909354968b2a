package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/policies/vap"
)

// exportVAPFlags are the flags of the export vap command as they are typed.
type exportVAPFlags struct {
	policies []string
	preset   string
	file     string

	guard               bool
	trustedGroups       []string
	trustedUsers        []string
	namespace           string
	exceptionNamespaces []string
}

func newExportVAP(s streams) *cobra.Command {
	var f exportVAPFlags
	cmd := &cobra.Command{
		Use:   "vap",
		Short: "Write policies as ValidatingAdmissionPolicies, for while the webhook is away",
		Long: `Vap writes policies as ValidatingAdmissionPolicies with their bindings, which the
API server evaluates itself: Pod Security levels, registries, digests and
expressions go on to be enforced while the webhook is away. What needs images, and
what cannot be said there, is named on standard error and in comments of the
output. Kubernetes 1.30 and later has what is needed for it.

With --guard it writes rules of another kind: they keep everybody but those who
are trusted, whatever their rights, from changing PodPolicies, PolicyExceptions
outside --exception-namespaces, what is in the namespace of Portcullis, and the
labels of namespaces that begin with pod-security.kubernetes.io/ or portcullis.dev/.`,
		Example: `  portcullis export vap --policy production.yaml | kubectl apply -f -
  portcullis export vap --preset baseline --file baseline-vap.yaml
  portcullis export vap --guard --trusted-groups system:masters,platform | kubectl apply -f -`,
		Args: noArgs,
		RunE: func(_ *cobra.Command, _ []string) error { return f.run(s) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.policies, "policy", nil, "`files` or folders of PodPolicies to export; PolicyExceptions in them cannot be, and are named")
	flags.StringVar(&f.preset, "preset", "", "`preset` to export: "+strings.Join(policies.PresetNames(), ", "))
	flags.BoolVar(&f.guard, "guard", false, "write the rules that keep tenants off Portcullis, in the place of policies")
	flags.StringSliceVar(&f.trustedGroups, "trusted-groups", []string{"system:masters", "kubeadm:cluster-admins", "system:serviceaccounts:cert-manager"}, "`groups` that --guard lets through; those of Kubernetes' own components and of Portcullis come on top")
	flags.StringSliceVar(&f.trustedUsers, "trusted-users", nil, "`users` that --guard lets through, service accounts as system:serviceaccount:NAMESPACE:NAME")
	flags.StringVar(&f.namespace, "system-namespace", policies.DefaultExceptionNamespace, "`namespace` that --guard takes for that of Portcullis")
	flags.StringSliceVar(&f.exceptionNamespaces, "exception-namespaces", []string{policies.DefaultExceptionNamespace}, "`namespaces` that PolicyExceptions count in, by serve --exception-namespaces")
	flags.StringVar(&f.file, "file", "", "`file` to write, as a whole or not at all (default: standard output)")
	return cmd
}

func (f *exportVAPFlags) run(s streams) error {
	list, exceptions, err := f.read()
	if err != nil {
		return usageError{err}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# Written by portcullis export vap.\n")
	if f.guard {
		if err := writeExported(&out, vap.ExportGuard(vap.Guard{
			Namespace: f.namespace, ExceptionNamespaces: f.exceptionNamespaces, Groups: f.trustedGroups, Users: f.trustedUsers,
		})); err != nil {
			return err
		}
	}
	for _, e := range exceptions {
		const left = "what it exempts is refused by the API server; leave it out with spec.match of the policy"
		fmt.Fprintf(&out, "#\n# PolicyException %s/%s\n# Not exported: %s.\n", e.Namespace, e.Name, left)
		fmt.Fprintf(s.err, "portcullis: PolicyException %s/%s: not exported: %s\n", e.Namespace, e.Name, left)
	}
	for _, p := range list {
		if err := writeVAP(&out, s.err, p); err != nil {
			return err
		}
	}
	if f.file == "" {
		_, err := s.out.Write(out.Bytes())
		return err
	}
	if err := replaceFile(f.file, out.Bytes()); err != nil {
		return usageError{fmt.Errorf("writing --file %q: %w", f.file, err)}
	}
	return nil
}

func (f *exportVAPFlags) read() ([]*policies.PodPolicy, []*policies.PolicyException, error) {
	switch {
	case f.guard && (len(f.policies) > 0 || f.preset != ""):
		return nil, nil, fmt.Errorf("--guard is given with --policy or --preset: export them one after the other")
	case f.guard:
		return nil, nil, f.checkGuard()
	case len(f.policies) > 0 && f.preset != "":
		return nil, nil, fmt.Errorf("--policy and --preset are given: give one of them")
	case len(f.policies) > 0:
		// In which namespaces exceptions count makes no difference to what is not exported.
		return policies.LoadUnchecked(f.policies...)
	case f.preset == "":
		return nil, nil, fmt.Errorf("neither --policy nor --preset is given: name the policies to export")
	}
	preset, err := policies.Preset(f.preset)
	if err != nil {
		return nil, nil, fmt.Errorf("reading --preset: %w", err)
	}
	return []*policies.PodPolicy{preset}, nil, nil
}

// writeVAP writes the documents of one policy, and what is not in them to both.
func writeVAP(out, stderr io.Writer, p *policies.PodPolicy) error {
	exported := vap.Export(p)
	fmt.Fprintf(out, "#\n# PodPolicy %s\n", p.Name)
	for _, left := range exported.Left {
		fmt.Fprintf(out, "# Not exported: %s.\n", left)
		fmt.Fprintf(stderr, "portcullis: PodPolicy %s: not exported: %s\n", p.Name, left)
	}
	if len(exported.Policies) == 0 {
		fmt.Fprintf(stderr, "portcullis: PodPolicy %s: nothing of it can be exported\n", p.Name)
	}
	return writeExported(out, exported)
}

// checkGuard refuses names that trust nobody or everybody.
func (f *exportVAPFlags) checkGuard() error {
	for _, group := range f.trustedGroups {
		if group == "" || slices.Contains([]string{"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}, group) {
			return fmt.Errorf("reading --trusted-groups: %q is no group of people who are trusted; name groups that an admin puts people into", group)
		}
	}
	errs := []error{namespaceError("--system-namespace", f.namespace)}
	for _, namespace := range f.exceptionNamespaces {
		errs = append(errs, namespaceError("--exception-namespaces", namespace))
	}
	return errors.Join(errs...)
}

// writeExported writes policies and their bindings.
func writeExported(out io.Writer, exported *vap.Exported) error {
	for i := range exported.Policies {
		for _, object := range []any{exported.Policies[i], exported.Bindings[i]} {
			data, err := yaml.Marshal(object)
			if err != nil {
				return fmt.Errorf("writing the policy %q: %w", exported.Policies[i].Name, err)
			}
			text := strings.ReplaceAll(string(data), "status: {}\n", "")
			fmt.Fprintf(out, "---\n%s", text)
		}
	}
	return nil
}
