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

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/webhook"
)

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
