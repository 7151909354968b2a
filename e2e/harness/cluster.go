package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/freeport"
)

// Names in the manifests.
const (
	// SystemNamespace is where Portcullis is installed.
	SystemNamespace = "portcullis-system"
	// Name is that of all its objects.
	Name = "portcullis"
)

// Options say what a Cluster has beside an API server and the webhook.
type Options struct {
	// Controllers make pods of workloads.
	Controllers bool
	// Unregistered leaves the webhook configurations to the caller.
	Unregistered bool
	// Args are further flags of the Server that is registered.
	Args []string
}

// Cluster is an API server with Portcullis installed from manifests/base. What is
// left out is the Deployment and the Service, for which there are no nodes: the
// binary runs as a process, with the rights of the service account that the
// manifests bind, and the webhook configurations name its port.
type Cluster struct {
	*ControlPlane
	// Client and Clientset are a cluster admin's.
	Client    client.Client
	Clientset kubernetes.Interface
	Registry  *Registry
	// Authority issues the certificates of servers.
	Authority *Authority
	// Server is the one that the webhook configurations name. Nil if unregistered.
	Server *Server
	// Binary is the path of the built portcullis.
	Binary string
	// Configurations are the webhook configurations as they ship.
	Configurations []*unstructured.Unstructured

	// Ports are for programs that join the cluster.
	Ports freeport.Ports

	dir   string
	token string // of the service account

	mu      sync.Mutex
	servers []*Server
}

// Up starts a Cluster.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	if err := checkAssets(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "portcullis-e2e-")
	if err != nil {
		return nil, fmt.Errorf("starting a cluster: %w", err)
	}
	c := &Cluster{dir: dir}
	if err := c.up(ctx, o); err != nil {
		return nil, errors.Join(err, c.Down())
	}
	return c, nil
}

func (c *Cluster) up(ctx context.Context, o Options) error {
	var parts errgroup.Group
	parts.Go(func() (err error) { c.Binary, err = Build(ctx, c.dir); return err })
	parts.Go(func() (err error) { c.Registry, err = NewRegistry(); return err })
	parts.Go(func() (err error) { c.Authority, err = NewAuthority(); return err })
	parts.Go(func() (err error) { c.ControlPlane, err = StartControlPlane(c.dir); return err })
	if err := parts.Wait(); err != nil {
		return err
	}
	var err error
	if c.Client, err = client.New(c.Config, client.Options{}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if c.Clientset, err = kubernetes.NewForConfig(c.Config); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := c.install(ctx); err != nil {
		return err
	}
	if !o.Unregistered {
		if c.Server, err = c.Serve(ctx, ServeOptions{Registries: c.Registry.Config(), Args: o.Args}); err != nil {
			return err
		}
		if err := c.Register(ctx, c.Server.Endpoint); err != nil {
			return err
		}
	}
	if o.Controllers {
		return c.StartControllers()
	}
	return nil
}

// install applies the manifests, except for what cannot run here and for the
// webhook configurations, which Register applies.
func (c *Cluster) install(ctx context.Context) error {
	root, err := Root()
	if err != nil {
		return err
	}
	rendered, err := Render(filepath.Join(root, "manifests", "base"))
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	for _, object := range rendered {
		switch {
		case IsWebhookConfiguration(object):
			c.Configurations = append(c.Configurations, object)
		case object.GetKind() != "Deployment" && object.GetKind() != "Service":
			objects = append(objects, object)
		}
	}
	if err := apply(ctx, c.Client, objects); err != nil {
		return err
	}
	return c.requestToken(ctx)
}

// Unregister deletes the webhook configurations, and waits until the API server asks
// nobody any more, which it learns of by a watch.
func (c *Cluster) Unregister(ctx context.Context) error {
	var errs []error
	for _, shipped := range c.Configurations {
		errs = append(errs, client.IgnoreNotFound(c.Client.Delete(ctx, shipped.DeepCopy())))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	probe := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "probe", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "none"}}}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// Our webhook refuses that label, whoever answers or does not.
		err := c.Client.Create(ctx, probe.DeepCopy(), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "webhook") {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waiting for the API server to ask no webhook: %w", err)
		}
	}
}

// Register applies the webhook configurations, pointed to an endpoint.
func (c *Cluster) Register(ctx context.Context, to Endpoint) error {
	var objects []*unstructured.Unstructured
	for _, shipped := range c.Configurations {
		configuration := shipped.DeepCopy()
		if err := Redirect(configuration, to); err != nil {
			return err
		}
		objects = append(objects, configuration)
	}
	return apply(ctx, c.Client, objects)
}

// requestToken gets a token of the service account in the manifests, so that a
// right that the manifests lack is missing here too.
func (c *Cluster) requestToken(ctx context.Context) error {
	token, err := c.Clientset.CoreV1().ServiceAccounts(SystemNamespace).
		CreateToken(ctx, Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("getting a token of the service account: %w", err)
	}
	c.token = token.Status.Token
	return nil
}

// apiServer is where it listens.
func (c *Cluster) apiServer() Endpoint { return Endpoint{URL: c.Config.Host, CA: c.Config.CAData} }

// serviceAccountConfig writes a kubeconfig with that token into dir, for the API
// server or for what stands before it.
func (c *Cluster) serviceAccountConfig(dir string, target Endpoint) (string, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters[Name] = &clientcmdapi.Cluster{Server: target.URL, CertificateAuthorityData: target.CA}
	config.AuthInfos[Name] = &clientcmdapi.AuthInfo{Token: c.token}
	config.Contexts[Name] = &clientcmdapi.Context{Cluster: Name, AuthInfo: Name}
	config.CurrentContext = Name
	file := filepath.Join(dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of the service account: %w", err)
	}
	return file, nil
}

// ConfigThrough writes a kubeconfig of the service account into dir, for a proxy that
// stands before the API server.
func (c *Cluster) ConfigThrough(proxy *Proxy, dir string) (string, error) {
	return c.serviceAccountConfig(dir, proxy.endpoint())
}

// keep makes Down stop a server.
func (c *Cluster) keep(s *Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = append(c.servers, s)
}

// Down ends every process and removes every file.
func (c *Cluster) Down() error {
	c.mu.Lock()
	servers := c.servers
	c.mu.Unlock()
	var errs []error
	for _, s := range servers {
		errs = append(errs, s.Stop())
	}
	if c.ControlPlane != nil {
		errs = append(errs, c.Stop())
	}
	if c.Registry != nil {
		c.Registry.Close()
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
