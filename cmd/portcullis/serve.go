package main

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/webhook"
)

// noPreset is the value of --preset with which nothing is in force while the
// cluster has no PodPolicy.
const noPreset = "none"

// serveFlags are the flags of the serve command as they are typed.
type serveFlags struct {
	kubeconfig     string
	address        string
	metricsAddress string
	healthAddress  string
	certDir        string
	selfSigned     bool
	secret         string
	dnsNames       []string
	lifetime       time.Duration
	policies       []string
	preset         string
	registries     string
	lock           string
	pullSecrets    bool
	clientCAs      string
	exceptions     []string
	warning        time.Duration
	lease          string
	heartbeat      heartbeatFlags
	denied         deniedFlags
	registration   string
	shutdownDelay  time.Duration
	logLevel       string
	logFormat      string
	audit          auditServeFlags
	alerts         alertFlags
}

func newServe(stderr io.Writer) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer the API server's admission reviews",
		Long: `Serve answers the API server's admission reviews at /mutate and /validate.

The policies in force are the PodPolicy objects of the cluster, each change
within a second. While there is none, a preset is in force: audit, which only
watches. With --policy the files count instead of the cluster.

One of the replicas also judges what already runs, every --audit-interval, and
keeps a report for each namespace: a Report of openreports.io where the cluster
has that kind, else a PolicyReport of wgpolicyk8s.io, else none. What is new is
told by Events on the workloads, and to --cloudevents-url.`,
		Example: `  portcullis serve --self-signed
  portcullis serve --kubeconfig ~/.kube/config --cert-dir ./certs --policy policy.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("policy") && len(f.policies) == 0 {
				return usageError{errors.New("reading --policy: it is empty; name a file or a folder, or leave it out for the cluster's policies")}
			}
			options, err := f.options(stderr)
			if err != nil {
				return usageError{err}
			}
			// What libraries write without a logger, such as net/http of each connection that
			// breaks off, comes as everything else does, and is for who looks for it.
			slog.SetLogLoggerLevel(slog.LevelDebug)
			slog.SetDefault(options.Log)
			return delivering(cmd.Context(), options.Alerts, func() error { return webhook.Serve(cmd.Context(), options) })
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// register adds the flags.
func (f *serveFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, else the service account of the pod)")
	flags.StringVar(&f.address, "address", ":9443", "`host:port` to answer reviews on, with TLS")
	flags.StringVar(&f.metricsAddress, "metrics-address", ":8080", "`host:port` of /metrics, 0 for none")
	flags.StringVar(&f.healthAddress, "health-address", ":8081", "`host:port` of /healthz and /readyz, 0 for none")
	flags.StringVar(&f.clientCAs, "client-ca-file", "", "`file` of authorities, in PEM: reviews are answered only to who shows a certificate that one of them has signed, such as the API server (default: everybody who reaches the port)")
	flags.StringVar(&f.certDir, "cert-dir", "/run/portcullis/certs", "`folder` of tls.crt and tls.key, which are read again when they change; not used with --self-signed")
	flags.BoolVar(&f.selfSigned, "self-signed", false, "make and rotate the certificate, keep it in --secret, and set the caBundle of the webhook configurations")
	flags.StringVar(&f.secret, "secret", "portcullis-system/portcullis-certificate", "`namespace/name` of the Secret that keeps the self-signed certificate")
	flags.StringSliceVar(&f.dnsNames, "dns-names", []string{"portcullis.portcullis-system.svc"}, "`names` that the self-signed certificate is for")
	flags.DurationVar(&f.lifetime, "certificate-lifetime", 90*24*time.Hour, "how long a self-signed certificate is valid; its authority is four times as long. Both are renewed when a third is left")
	flags.StringSliceVar(&f.policies, "policy", nil, "`files` or folders of PodPolicies and PolicyExceptions that count instead of the cluster's")
	flags.StringSliceVar(&f.exceptions, "exception-namespaces", []string{policies.DefaultExceptionNamespace}, "`namespaces` that PolicyExceptions count in")
	flags.DurationVar(&f.warning, "exception-warning", exceptionWarning, "how long before the end of an exception its status, an Event and those who apply what it covers are told, 0 for not at all")
	flags.StringVar(&f.lease, "lease", "portcullis-system/portcullis", "`namespace/name` of the Lease by which replicas agree on the one that writes the status of PodPolicies and scans what runs")
	f.heartbeat.register(flags)
	flags.DurationVar(&f.heartbeat.interval, "heartbeat", presence.DefaultInterval, "how often a replica that can judge notes so in --heartbeat-lease, 0 for never: what is created while none does is found by the scan as admitted while the webhook was away")
	f.denied.register(flags)
	flags.DurationVar(&f.denied.interval, "denied-interval", denials.DefaultInterval, "how often at most a replica adds the requests that it refused to --denied, 0 for never: reports then do not tell them")
	flags.StringVar(&f.registration, "guard-registration", "", "`namespace/name` of the ConfigMap that keeps the webhook configurations as they are wanted; changes of them are undone (default: nobody undoes them)")
	flags.StringVar(&f.preset, "preset", "audit", "`preset` in force while the cluster has no PodPolicy: "+strings.Join(policies.PresetNames(), ", ")+" or "+noPreset)
	flags.StringVar(&f.registries, "registries", "", "`file` of kind RegistryConfig (default: public registries over https, no private addresses)")
	flags.StringVar(&f.lock, "lock", "", "`file` of digests by tag, as portcullis fix writes it, which go before what registries say; it is read once")
	flags.BoolVar(&f.pullSecrets, "pull-secrets", false, "ask registries with the imagePullSecrets of a workload and of its service account too, where they may be read")
	flags.DurationVar(&f.shutdownDelay, "shutdown-delay", 10*time.Second, "how long to go on answering after SIGTERM, while the API server turns to other replicas")
	f.audit.register(flags)
	f.alerts.register(flags)
	flags.StringVar(&f.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "`format`: text or json")
}
