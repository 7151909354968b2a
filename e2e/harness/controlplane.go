package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// assetsVariable names the folder with the control plane's programs.
const assetsVariable = "KUBEBUILDER_ASSETS"

// ControlPlane is an API server with its etcd, and on request the controllers.
type ControlPlane struct {
	// Config is a cluster admin's, without a limit of its own.
	Config *rest.Config
	// Kubeconfig is the path of a file that says the same.
	Kubeconfig string

	dir         string
	environment *envtest.Environment
	controllers *process
}

// StartControlPlane starts an API server whose own PodSecurity plugin is off, so
// that what refuses a pod is Portcullis. Its files go to dir.
func StartControlPlane(dir string) (*ControlPlane, error) {
	// The variable does not count for every program that envtest starts.
	e := &envtest.Environment{BinaryAssetsDirectory: os.Getenv(assetsVariable), ControlPlaneStartTimeout: time.Minute}
	args := e.ControlPlane.GetAPIServer().Configure()
	// Replaces envtest's list, which has ServiceAccount: it adds the volume that
	// pods in a cluster have.
	args.Set("disable-admission-plugins", "PodSecurity")
	config, err := e.Start()
	if err != nil {
		return nil, fmt.Errorf("starting the control plane: %w", err)
	}
	config.QPS = -1
	c := &ControlPlane{Config: config, Kubeconfig: filepath.Join(dir, "kubeconfig"), dir: dir, environment: e}
	if err := os.WriteFile(c.Kubeconfig, e.KubeConfig, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the kubeconfig: %w", err), c.Stop())
	}
	return c, nil
}

// StartControllers starts the controllers that turn workloads into pods, each
// with its own service account as in a cluster.
func (c *ControlPlane) StartControllers() error {
	key := filepath.Join(c.environment.ControlPlane.GetAPIServer().CertDir, "sa-signer.key")
	started, err := startProcess(Program("kube-controller-manager"),
		"--kubeconfig="+c.Kubeconfig,
		"--controllers=deployment-controller,replicaset-controller,statefulset-controller,daemonset-controller,replicationcontroller-controller,job-controller,serviceaccount-controller,namespace-controller,garbage-collector-controller,clusterrole-aggregation-controller",
		"--service-account-private-key-file="+key,
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--secure-port=0",
		// Clients of our own config are not limited, these would be.
		"--kube-api-qps=200", "--kube-api-burst=400",
	)
	if err != nil {
		return err
	}
	started.unhandled = true
	c.controllers = started
	return nil
}

// Stop ends all processes.
func (c *ControlPlane) Stop() error {
	var errs []error
	if c.controllers != nil {
		errs = append(errs, c.controllers.stop(10*time.Second))
	}
	return errors.Join(append(errs, c.environment.Stop())...)
}

// checkAssets says what to do where there are no programs to start.
func checkAssets() error {
	if os.Getenv(assetsVariable) != "" {
		return nil
	}
	return errors.New(assetsVariable + ` is not set, and a real API server is needed here: export ` +
		assetsVariable + `="$(make controlplane)", or run make test`)
}

// Program is the path of a program of the control plane, such as kubectl.
func Program(name string) string { return filepath.Join(os.Getenv(assetsVariable), name) }
