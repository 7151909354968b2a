package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/audit"
	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
)

// auditFlags are the flags of the audit command as they are typed.
type auditFlags struct {
	judge      judgeFlags
	kubeconfig string
	namespaces []string
	versions   []string
	output     string
	color      string
	failOn     string
	heartbeat  heartbeatFlags
	denied     deniedFlags
}

func newAudit(s streams) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit [PATH...]",
		Short: "Judge what runs in a cluster, and what a policy would do to it",
		Long: `Audit judges all workloads of a cluster as if they were created now, by the same
engine as the webhook, and writes nothing to the cluster. Without --policy and
--preset it goes by the cluster's own PodPolicies; with them it tells what
candidates would do in their place: what would be denied, warned about and
changed, by namespace and workload.

With files or folders it judges the manifests in them in the place of a cluster:
by --bundle as the cluster would, from which it was exported, or by --policy or
--preset, with the labels of namespaces that the bundle has.

The readiness matrix says which namespaces could enforce the Pod Security levels
baseline and restricted, what stands in the way, and how many of the blocked
workloads mutate.hardening would repair.

Each workload is judged once: pods, ReplicaSets and Jobs count with what they
belong to, unless they say something that it does not. Lists are read in pages,
with ten requests a second.

Without --online no registry is asked: what would need one is reported as skip
with that reason, and hardening repairs what the manifests alone make safe.

Exit codes: 0 nothing enforced is violated, 1 it is, 2 wrong usage, the cluster
cannot be reached, or something in it may not be read; the rest is reported
nevertheless.`,
		Example: `  portcullis audit
  portcullis audit --policy candidate.yaml --output html > audit.html
  portcullis audit --preset restricted --namespace shop --namespace billing
  portcullis audit --bundle cluster.yaml --policy candidate.yaml deploy/
  portcullis audit -o json | jq '.readiness[] | select(.blocked == 0)'`,
		RunE: func(cmd *cobra.Command, paths []string) error { return f.run(cmd.Context(), paths, s) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringSliceVar(&f.judge.policies, "policy", nil, "`files` or folders of PodPolicies and PolicyExceptions to judge by in the place of the cluster's")
	flags.StringSliceVar(&f.judge.exceptions, "exception-namespaces", []string{policies.DefaultExceptionNamespace}, "`namespaces` that PolicyExceptions count in, as the webhook's flag says")
	flags.StringVar(&f.judge.preset, "preset", "", "`preset` to judge by in the place of the cluster's PodPolicies: "+strings.Join(policies.PresetNames(), ", ")+" (default: "+clusterPreset+", where the cluster has none)")
	flags.StringVar(&f.judge.bundle, "bundle", "", "`file` with the policies and labelled Namespaces of a cluster, as portcullis export bundle writes it, for files")
	flags.BoolVar(&f.judge.online, "online", false, "ask registries about images; without it rules that need them say skip")
	flags.StringVar(&f.judge.registries, "registries", "", "`file` of kind RegistryConfig, for --online")
	flags.StringSliceVar(&f.namespaces, "namespace", nil, "`namespaces` to audit (default: all)")
	f.heartbeat.register(flags)
	f.denied.register(flags)
	flags.StringSliceVar(&f.versions, "pod-security-version", nil, "`versions` of the readiness matrix (default: latest and the cluster's own)")
	flags.StringVarP(&f.output, "output", "o", "text", "`format`: "+auditFormatNames())
	flags.StringVar(&f.color, "color", "auto", "`when` to colour the text: auto (on a terminal, unless NO_COLOR is set), always or never")
	flags.StringVar(&f.failOn, "fail-on", failOnFail, "`result` that makes the exit code 1: fail, warn (and fail) or none")
	return cmd
}

// clusterPreset is in force in a cluster without PodPolicies, unless its webhook is
// told otherwise.
const clusterPreset = "audit"

func auditFormatNames() string {
	var names []string
	for _, format := range report.AuditFormats() {
		names = append(names, string(format))
	}
	return strings.Join(names, ", ")
}

func (f *auditFlags) run(ctx context.Context, paths []string, s streams) error {
	format, options, err := f.format(s.out)
	if err := errors.Join(err, f.checkFiles(paths)); err != nil {
		return usageError{err}
	}
	found, err := f.audit(ctx, paths, s)
	if err != nil {
		return err
	}
	if err := report.WriteAudit(s.out, format, found, options); err != nil {
		return usageError{err}
	}
	return f.verdict(found, s.err)
}

// audit judges files, or the cluster where none are named.
func (f *auditFlags) audit(ctx context.Context, paths []string, s streams) (*report.Audit, error) {
	if len(paths) > 0 {
		return (&fileAudit{auditFlags: f, streams: s}).run(ctx, paths)
	}
	found, err := f.cluster(ctx, s)
	if err != nil {
		return nil, usageError{err}
	}
	return found, nil
}

// cluster judges what runs in the cluster.
func (f *auditFlags) cluster(ctx context.Context, s streams) (*report.Audit, error) {
	config, err := restConfig(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	j, err := f.clusterJudge(ctx, config, s.err)
	if err != nil {
		return nil, err
	}
	lists, err := audit.NewClient(config)
	if err != nil {
		return nil, err
	}
	scanner := audit.Scanner{Pager: lists, Judge: j, Namespaces: f.namespaces}
	f.heartbeat.interval = presence.DefaultInterval
	gaps, err := f.heartbeat.gaps(config)
	if err != nil {
		return nil, err
	}
	var unknown error
	scanner.Gaps, unknown = gaps(ctx)
	scan, err := scanner.Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("scanning the cluster at %s: %w", config.Host, err)
	}
	if unknown != nil && !apierrors.IsForbidden(unknown) { // who may not read it can live without
		fmt.Fprintf(s.err, "portcullis: not known when the webhook was away: %v\n", unknown)
	}
	f.denied.interval = denials.DefaultInterval
	denied, err := f.denied.read(config)
	if err != nil {
		return nil, err
	}
	counts, err := denied(ctx)
	if err != nil && !apierrors.IsForbidden(err) {
		fmt.Fprintf(s.err, "portcullis: not known what was refused: %v\n", err)
	}
	scan.SetDenied(counts)
	return scan.Report(), nil
}

// verdict is the exit code as an error.
func (f *auditFlags) verdict(found *report.Audit, stderr io.Writer) error {
	for _, what := range found.Unseen {
		fmt.Fprintf(stderr, "portcullis: not seen: %s\n", unquoted(what))
	}
	switch {
	case len(found.Unseen) > 0:
		return errUnjudged
	case f.failOn == failOnNone:
		return nil
	case found.Summary.Fail > 0, f.failOn == failOnWarn && found.Summary.Warn > 0:
		return errViolated
	}
	return nil
}

// format reads --output, --color and --fail-on.
func (f *auditFlags) format(out io.Writer) (report.Format, report.Options, error) {
	format, err := report.ParseAuditFormat(f.output)
	if err != nil {
		err = fmt.Errorf("reading --output: %w", err)
	}
	// What all reports have in common is read as check does.
	common := checkFlags{output: string(report.Formats()[0]), color: f.color, failOn: f.failOn}
	_, options, others := common.format(out)
	return format, options, errors.Join(err, others)
}

// clusterJudge reads what to judge by: files, a preset, or the cluster.
func (f *auditFlags) clusterJudge(ctx context.Context, config *rest.Config, stderr io.Writer) (*clusterJudge, error) {
	now := time.Now()
	by, err := f.rules(ctx, config, now, stderr)
	if err != nil {
		return nil, err
	}
	noteEnded(stderr, by.exceptions, now)
	j := &judge{list: by.policies, now: now, glass: glassOf(by.policies)}
	images, err := f.judge.images()
	if err != nil {
		return nil, err
	}
	if images != nil {
		j.images = images
	}
	if j.policies, err = by.compile(); err != nil {
		return nil, err
	}
	if j.engine, err = engine.New(); err != nil {
		return nil, err
	}
	versions := f.versions
	if len(versions) == 0 {
		if versions, err = podSecurityVersions(config); err != nil {
			return nil, err
		}
	}
	return newClusterJudge(j, "candidates", versions) // which one scan does not change
}

// rules are the policies and exceptions that flags name, else those in force in the
// cluster.
func (f *auditFlags) rules(ctx context.Context, config *rest.Config, now time.Time, stderr io.Writer) (rules, error) {
	if len(f.judge.policies) > 0 || f.judge.preset != "" {
		return f.judge.rules(ctx, now)
	}
	scheme := runtime.NewScheme()
	if err := policies.AddToScheme(scheme); err != nil {
		return rules{}, err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return rules{}, fmt.Errorf("connecting to the API server: %w", err)
	}
	var by rules
	if by.policies, err = clusterPolicies(ctx, reader); err != nil {
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
			err = fmt.Errorf("%w; give --policy or --preset to go by files", err)
		}
		return rules{}, err
	}
	if by.exceptions, err = clusterExceptions(ctx, reader, f.judge.exceptions); err != nil {
		return rules{}, err
	}
	if len(by.policies) > 0 {
		return by, nil
	}
	fmt.Fprintf(stderr, "portcullis: the cluster has no PodPolicy: judging by the preset %s\n", clusterPreset)
	preset, err := policies.Preset(clusterPreset)
	if err != nil {
		return rules{}, err
	}
	return rules{policies: []*policies.PodPolicy{preset}}, nil
}

// podSecurityVersions are latest and, where it is another, the API server's own:
// that is what the labels of namespaces are mostly set to.
func podSecurityVersions(config *rest.Config) ([]string, error) {
	versions := []string{"latest"}
	api, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	server, err := api.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its version: %w", err)
	}
	minor := strings.TrimRight(server.Minor, "+")
	if server.Major == "1" && minor != "" {
		versions = append(versions, "v1."+minor)
	}
	return versions, nil
}
