package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/image"
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
	flags := cmd.Flags()
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
	return cmd
}

// options turns flags into what the webhook needs, with every file read.
func (f *serveFlags) options(stderr io.Writer) (webhook.Options, error) {
	o := webhook.Options{
		Address: f.address, MetricsAddress: f.metricsAddress, HealthAddress: f.healthAddress,
		CertDir: f.certDir, ShutdownDelay: f.shutdownDelay, PullSecrets: f.pullSecrets,
		ExceptionNamespaces: f.exceptions, ExceptionWarning: f.warning,
	}
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	o.Log, err = f.logger(stderr)
	keep(err)
	o.SelfSigned, err = f.certificate()
	keep(err)
	if len(f.policies) > 0 {
		// An exception that has ended since the last start is no reason not to start.
		terms := policies.ExceptionTerms{Namespaces: f.exceptions, Now: time.Now(), Ended: true}
		o.Policies, o.Exceptions, err = policies.LoadAll(terms, f.policies...)
		keep(err)
	}
	keep(f.checkExceptions())
	o.Lease, err = namespacedName("--lease", f.lease)
	keep(err)
	if f.registration != "" {
		registration, err := namespacedName("--guard-registration", f.registration)
		keep(err)
		o.Registration = &registration
	}
	o.Fallback, err = f.fallback()
	keep(err)
	o.Registries, err = readRegistries(f.registries)
	keep(err)
	o.ClientCAs, err = readClientCAs(f.clientCAs)
	keep(err)
	o.Lock, err = readLock(f.lock)
	keep(err)
	keep(checkAddress("--address", f.address, 1))
	keep(checkAddress("--metrics-address", f.metricsAddress, 0))
	keep(checkAddress("--health-address", f.healthAddress, 0))
	if f.shutdownDelay < 0 {
		keep(fmt.Errorf("reading --shutdown-delay %s: want no negative duration", f.shutdownDelay))
	}
	o.Heartbeat, err = namespacedName("--heartbeat-lease", f.heartbeat.lease)
	keep(err)
	o.HeartbeatInterval = f.heartbeat.interval
	keep(f.heartbeat.check())
	o.Denied, err = f.denied.parse()
	keep(err)
	o.DeniedInterval = f.denied.interval
	keep(f.audit.check())
	o.Config, err = restConfig(f.kubeconfig)
	keep(err)
	o.Alerts, err = f.alerts.sink(o.Log)
	keep(err)
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	err = f.addScan(&o)
	return o, err
}

// checkExceptions refuses namespaces that there cannot be: their exceptions would
// silently not count.
func (f *serveFlags) checkExceptions() error {
	var errs []error
	if len(f.exceptions) == 0 {
		errs = append(errs, errors.New("reading --exception-namespaces: it is empty; name the namespaces that PolicyExceptions count in"))
	}
	for _, namespace := range f.exceptions {
		errs = append(errs, namespaceError("--exception-namespaces", namespace))
	}
	if f.warning < 0 {
		errs = append(errs, fmt.Errorf("reading --exception-warning %s: want no negative duration", f.warning))
	}
	return errors.Join(errs...)
}

// checkAddress reads a host:port, in which port is at least the lowest; 0 alone is
// an address that is not listened on, where a port of 0 is allowed.
func checkAddress(flag, address string, lowest uint64) error {
	if address == "0" && lowest == 0 {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("reading %s %q: want host:port", flag, address)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number < lowest {
		return fmt.Errorf("reading %s %q: want a port from %d to 65535", flag, address, lowest)
	}
	return nil
}

// fallback is what is in force while the cluster has no policy.
func (f *serveFlags) fallback() ([]*policies.PodPolicy, error) {
	if f.preset == noPreset {
		return nil, nil
	}
	preset, err := policies.Preset(f.preset)
	if err != nil {
		return nil, fmt.Errorf("reading --preset: %w, or %s", err, noPreset)
	}
	return []*policies.PodPolicy{preset}, nil
}

// readRegistries reads the file of --registries, the defaults without one.
func readRegistries(file string) (image.Config, error) {
	if file == "" {
		return image.Config{}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return image.Config{}, fmt.Errorf("reading --registries: %w", err)
	}
	return image.LoadConfig(data, file)
}

// readClientCAs reads the file of --client-ca-file, nil without one.
func readClientCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading --client-ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("reading --client-ca-file %q: there is no certificate in it; want PEM", file)
	}
	return pool, nil
}

func namespacedName(flag, text string) (types.NamespacedName, error) {
	namespace, name, ok := strings.Cut(text, "/")
	if !ok || namespace == "" || name == "" {
		return types.NamespacedName{}, fmt.Errorf("reading %s %q: want namespace/name", flag, text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

func (f *serveFlags) certificate() (*webhook.SelfSigned, error) {
	if !f.selfSigned {
		return nil, nil
	}
	secret, err := namespacedName("--secret", f.secret)
	if err != nil {
		return nil, err
	}
	if len(f.dnsNames) == 0 {
		return nil, errors.New("reading --dns-names: --self-signed needs at least one name")
	}
	if f.lifetime < 5*time.Second {
		return nil, fmt.Errorf("reading --certificate-lifetime %s: want at least 5s", f.lifetime)
	}
	return &webhook.SelfSigned{
		Secret:        secret,
		DNSNames:      f.dnsNames,
		Configuration: webhook.ConfigurationName,
		Lifetime:      f.lifetime,
	}, nil
}

func (f *serveFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	var errs []error
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		errs = append(errs, fmt.Errorf("reading --log-level %q: want debug, info, warn or error", f.logLevel))
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	switch f.logFormat {
	case "text":
	case "json":
		handler = slog.NewJSONHandler(w, options)
	default:
		errs = append(errs, fmt.Errorf("reading --log-format %q: want text or json", f.logFormat))
	}
	return slog.New(handler), errors.Join(errs...)
}

// restConfig finds the API server as kubectl does, and in a pod as a pod does.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case err != nil && kubeconfig != "":
		return nil, fmt.Errorf("reading --kubeconfig %q: %w", kubeconfig, err)
	case err != nil:
		return nil, fmt.Errorf("finding the API server: set --kubeconfig or KUBECONFIG, or run in a pod: %w", err)
	}
	config.QPS = -1 // the API server's priority and fairness limits us, not ourselves
	config.UserAgent = "portcullis/" + version
	return config, nil
}
