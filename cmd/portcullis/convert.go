package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	psconfig "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/admission/api/load"
	psvalidation "k8s.io/pod-security-admission/admission/api/validation"
	psapi "k8s.io/pod-security-admission/api"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
)

func newConvert(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "convert",
		Short: "Write policies that say what another configuration says",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("what to convert is missing; see %s --help", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(newConvertPSAConfig(s))
	return cmd
}

func newConvertPSAConfig(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "psa-config FILE",
		Short: "Convert the configuration of Kubernetes' Pod Security admission",
		Long: `Psa-config reads the file that kube-apiserver --admission-control-config-file names,
or the PodSecurityConfiguration inside of it, and writes the PodPolicies that mean the
same: one for the labels of namespaces, and one for each default level, for the
namespaces without the label. Exempt namespaces, users and runtime classes are left
out of all of them. Changing an exemption then takes kubectl apply, and not another
start of the API server. FILE can be - for standard input.`,
		Example: `  portcullis convert psa-config /etc/kubernetes/admission.yaml > policies.yaml
  kubectl apply -f policies.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("got %d files, want one; see %s --help", len(args), cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			config, err := readPSAConfig(args[0], s.in)
			if err != nil {
				return usageError{fmt.Errorf("reading %q: %w", args[0], err)}
			}
			data, err := convertPSAConfig(config)
			if err != nil {
				return usageError{fmt.Errorf("converting %q: %w", args[0], err)}
			}
			for _, note := range psaNotes(config) {
				fmt.Fprintln(s.err, "portcullis:", note)
			}
			_, err = s.out.Write(data)
			return err
		},
	}
}

// maxPSAConfig is the size of the largest file that is read, in bytes.
const maxPSAConfig = 1 << 20

// readPSAConfig reads a PodSecurityConfiguration with Kubernetes' own code, alone or
// as a plugin of an AdmissionConfiguration, in which it may be another file.
func readPSAConfig(path string, stdin io.Reader) (*psconfig.PodSecurityConfiguration, error) {
	data, err := readLimited(path, stdin)
	if err != nil {
		return nil, err
	}
	var outer struct {
		Kind    string `json:"kind"`
		Plugins []struct {
			Name          string `json:"name"`
			Path          string `json:"path"`
			Configuration any    `json:"configuration"`
		} `json:"plugins"`
	}
	if err := yaml.Unmarshal(data, &outer); err != nil {
		return nil, err
	}
	switch outer.Kind {
	case "PodSecurityConfiguration", "":
	case "AdmissionConfiguration":
		data = nil
		for _, plugin := range outer.Plugins {
			switch {
			case plugin.Name != "PodSecurity":
				continue
			case plugin.Configuration != nil:
				data, err = yaml.Marshal(plugin.Configuration)
			case plugin.Path != "":
				data, err = readLimited(relative(filepath.Dir(path), plugin.Path), nil)
			}
			if err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("it is of kind %q; want a PodSecurityConfiguration, or an AdmissionConfiguration with one", outer.Kind)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil, fmt.Errorf("there is no PodSecurityConfiguration in it, alone or as plugin PodSecurity of an AdmissionConfiguration")
	}
	config, err := load.LoadFromData(data)
	if err != nil {
		return nil, err
	}
	return config, psvalidation.ValidatePodSecurityConfiguration(config).ToAggregate()
}

func readLimited(path string, stdin io.Reader) ([]byte, error) {
	reader := stdin
	if path != "-" || stdin == nil {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		reader = file
	}
	data, err := io.ReadAll(io.LimitReader(reader, maxPSAConfig+1))
	if err == nil && len(data) > maxPSAConfig {
		err = fmt.Errorf("it is larger than %d bytes", maxPSAConfig)
	}
	return data, err
}

// psaDefault is the default level of one mode.
type psaDefault struct {
	name, label, level, version string
	mode                        policies.Mode
	// kinds are those that Kubernetes applies the mode to; none: all.
	kinds []policies.WorkloadKind
}

func psaDefaults(d psconfig.PodSecurityDefaults) []psaDefault {
	return []psaDefault{
		// Kubernetes enforces no level on templates.
		{"psa-enforce", psapi.EnforceLevelLabel, d.Enforce, d.EnforceVersion, policies.ModeEnforce, []policies.WorkloadKind{policies.KindPod}},
		{"psa-warn", psapi.WarnLevelLabel, d.Warn, d.WarnVersion, policies.ModeWarn, nil},
		{"psa-audit", psapi.AuditLevelLabel, d.Audit, d.AuditVersion, policies.ModeAudit, nil},
	}
}

// convertPSAConfig writes the policies, each as short as it can be.
func convertPSAConfig(config *psconfig.PodSecurityConfiguration) ([]byte, error) {
	exempt := func(more map[string]any) map[string]any {
		lists := map[string][]string{
			"excludeNamespaces": config.Exemptions.Namespaces, "excludeUsernames": config.Exemptions.Usernames,
			"excludeRuntimeClasses": config.Exemptions.RuntimeClasses,
		}
		for name, list := range lists {
			if len(list) > 0 {
				more[name] = list
			}
		}
		return more
	}
	var b strings.Builder
	b.WriteString("# Written by portcullis convert psa-config.\n")
	write := func(comment, name string, spec map[string]any) error {
		data, err := yaml.Marshal(map[string]any{
			"apiVersion": policies.GroupVersion().String(), "kind": policies.Kind, "metadata": map[string]any{"name": name}, "spec": spec,
		})
		fmt.Fprintf(&b, "---\n# %s\n%s", comment, data)
		return err
	}
	err := write("The labels of namespaces, as Kubernetes takes them.", "psa-labels", map[string]any{
		"match":    exempt(map[string]any{}),
		"validate": map[string]any{"podSecurity": map[string]any{"namespaceLabels": policies.NamespaceLabelsHonor, "templates": policies.TemplatesWarn}},
	})
	if err != nil {
		return nil, err
	}
	for _, d := range psaDefaults(config.Defaults) {
		if d.level == string(psapi.LevelPrivileged) {
			continue
		}
		match := exempt(map[string]any{"namespaceSelector": map[string]any{"matchExpressions": []any{map[string]any{"key": d.label, "operator": "DoesNotExist"}}}})
		if len(d.kinds) > 0 {
			match["kinds"] = d.kinds
		}
		err := write("The default for namespaces without the label "+d.label+".", d.name, map[string]any{
			"match": match, "mode": d.mode,
			"validate": map[string]any{"podSecurity": map[string]any{"level": d.level, "version": d.version, "namespaceLabels": policies.NamespaceLabelsIgnore}},
		})
		if err != nil {
			return nil, err
		}
	}
	// What is not accepted by kubectl apply is not written either.
	if _, err := policies.Load([]byte(b.String()), "policies"); err != nil {
		return nil, err
	}
	return []byte(b.String()), nil
}

// psaNotes are what the policies do not say as Kubernetes does, and what nobody
// may have meant.
func psaNotes(config *psconfig.PodSecurityConfiguration) []string {
	var notes []string
	for _, d := range psaDefaults(config.Defaults) {
		if d.version != psapi.VersionLatest {
			notes = append(notes, fmt.Sprintf("a namespace that has the label %s and not %s-version is judged by the latest version, where Kubernetes takes the default %s; set both labels",
				d.label, d.label, engine.Quote(d.version)))
		}
	}
	for _, name := range config.Exemptions.Usernames {
		if strings.HasPrefix(name, "system:serviceaccount:kube-system:") && strings.HasSuffix(name, "-controller") {
			notes = append(notes, fmt.Sprintf("user %s is exempt, and creates the pods of everybody", engine.Quote(name)))
		}
	}
	return notes
}
