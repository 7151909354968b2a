package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

// demo is one performance.
type demo struct {
	cluster *harness.Cluster
	out     io.Writer
	colour  bool
	root    string // folder of the module
	page    string // host:port of the page of the last scan
}

// Namespaces that examples/policy.yaml goes by.
const (
	staging    = "staging"
	production = "production"
)

// show carries out the acts, and fails at the first that does not go as written.
func (d *demo) show(ctx context.Context, started time.Time) error {
	version, err := d.cluster.Clientset.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("asking the API server for its version: %w", err)
	}
	if d.root, err = harness.Root(); err != nil {
		return err
	}
	d.print(fmt.Sprintf("Kubernetes %s, ready after %.0f s. Portcullis is registered by manifests/base.\n", version, time.Since(started).Seconds()))
	for _, namespace := range []string{staging, production} {
		if err := d.namespace(ctx, namespace); err != nil {
			return err
		}
	}
	acts := []func(context.Context) error{
		d.policies,
		func(ctx context.Context) error {
			return d.admitted(ctx, staging, "python-web-app.yaml", harness.FlaskImage)
		},
		d.replicas,
		d.movedTag,
		func(ctx context.Context) error {
			return d.refused(ctx, production, "python-hello-world.yaml", "allowPrivilegeEscalation", "runAsNonRoot", "Fix: ")
		},
		func(ctx context.Context) error {
			return d.admitted(ctx, production, "python-hello-world-restricted.yaml", harness.PythonImage)
		},
		func(ctx context.Context) error {
			return d.refused(ctx, production, "python-web-app.yaml", `Deployment "python-web-app"`, "spec.template.spec", "Fix: ")
		},
		func(ctx context.Context) error {
			return d.admitted(ctx, production, "python-web-app-restricted.yaml", harness.FlaskImage)
		},
		func(ctx context.Context) error {
			return d.refused(ctx, production, "nginx-root.yaml", "rootUser", "no USER on linux/amd64", "Fix: ")
		},
	}
	for _, act := range acts {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// namespace creates a namespace with the service account that pods need, which
// the controllers make too, a moment later.
func (d *demo) namespace(ctx context.Context, name string) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}},
	}
	for _, object := range objects {
		if err := d.cluster.Client.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("creating namespace %s: %w", name, err)
		}
	}
	return nil
}

// policies applies the policies and waits until they are in force, both: each is
// seen in what a dry run says.
func (d *demo) policies(ctx context.Context) error {
	d.command("", "policy.yaml")
	output, err := d.kubectl(ctx, "apply", "-f", example("policy.yaml"))
	if err != nil {
		return err
	}
	d.print(output)
	d.print("Images are pinned to digests in every namespace, and production takes what meets Pod Security restricted.\n")
	return eventually(ctx, func() error {
		pinned, err := d.kubectl(ctx, "create", "--dry-run=server", "-n", staging, "-o", "yaml", "-f", example("python-web-app.yaml"))
		if err != nil || !strings.Contains(pinned, d.cluster.Registry.Pinned(harness.FlaskImage)) {
			return fmt.Errorf("policy everywhere is not in force (%w)", err)
		}
		_, err = d.kubectl(ctx, "create", "--dry-run=server", "-n", production, "-f", example("python-web-app.yaml"))
		if err == nil {
			return errors.New("policy production is not in force")
		}
		return nil
	})
}

// admitted applies an example and shows what was changed, among it the image.
func (d *demo) admitted(ctx context.Context, namespace, file, image string) error {
	d.command(namespace, file)
	// What the API server makes of it without us: kube-system is left out by name.
	before, err := d.kubectl(ctx, "create", "--dry-run=server", "-n", "kube-system", "-o", "json", "-f", example(file))
	if err != nil {
		return err
	}
	output, err := d.kubectl(ctx, "apply", "-n", namespace, "-f", example(file))
	if err != nil {
		return err
	}
	d.print(output)
	after, err := d.kubectl(ctx, "get", "-n", namespace, "-o", "json", "-f", example(file))
	if err != nil {
		return err
	}
	changes, err := diff(before, after)
	if err != nil {
		return err
	}
	d.print("Admitted. What Portcullis has changed:\n\n")
	d.changes(changes)
	if !adds(changes, "image: "+d.cluster.Registry.Pinned(image)) {
		return fmt.Errorf("%s in namespace %s: image %s is not pinned to the digest of its tag", file, namespace, image)
	}
	return nil
}

// refused applies an example and shows the refusal, which names all parts.
func (d *demo) refused(ctx context.Context, namespace, file string, parts ...string) error {
	d.command(namespace, file)
	output, err := d.kubectl(ctx, "apply", "-n", namespace, "-f", example(file))
	if err == nil {
		return fmt.Errorf("%s in namespace %s: got %s, want a refusal", file, namespace, output)
	}
	d.refusal(err.Error())
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			return fmt.Errorf("%s in namespace %s: the refusal does not say %q", file, namespace, part)
		}
	}
	return nil
}

// replicas shows the pods that the controllers make of the web application.
func (d *demo) replicas(ctx context.Context) error {
	want := d.cluster.Registry.Pinned(harness.FlaskImage)
	err := eventually(ctx, func() error {
		var pods corev1.PodList
		err := d.cluster.Client.List(ctx, &pods, client.InNamespace(staging), client.MatchingLabels{"app": "python-web-app"})
		if err != nil || len(pods.Items) != 3 {
			return fmt.Errorf("the ReplicaSet has made %d pods, want 3 (%w)", len(pods.Items), err)
		}
		for _, pod := range pods.Items {
			if got := pod.Spec.Containers[0].Image; got != want {
				return fmt.Errorf("pod %s: got image %q, want %q", pod.Name, got, want)
			}
		}
		return nil
	})
	if err == nil {
		d.print("\nIts three pods name this digest, whatever becomes of the tag. (There is no node here to run them.)\n")
	}
	return err
}

// movedTag pushes another image under the tag of the web application: applying
// the same manifest keeps what runs, and a restart takes the new one.
func (d *demo) movedTag(ctx context.Context) error {
	before := d.cluster.Registry.Pinned(harness.FlaskImage)
	if err := d.cluster.Registry.Push(harness.FlaskImage, v1.Config{User: "1000", Env: []string{"RELEASE=2"}}); err != nil {
		return err
	}
	after := d.cluster.Registry.Pinned(harness.FlaskImage)
	d.print("\nSomebody pushes another image as " + harness.FlaskImage + ".\n")
	d.command(staging, "python-web-app.yaml")
	if err := d.expectImage(ctx, before, "apply", "-n", staging, "-f", example("python-web-app.yaml")); err != nil {
		return err
	}
	d.print("It keeps the digest (\"configured\" is kubectl's word, the template is as it was). It takes the new image when somebody asks:\n")
	d.heading("kubectl rollout restart -n staging deployment python-web-app")
	return d.expectImage(ctx, after, "rollout", "restart", "-n", staging, "deployment", "python-web-app")
}

// expectImage runs a command, and shows which image the web application has then.
func (d *demo) expectImage(ctx context.Context, want string, command ...string) error {
	output, err := d.kubectl(ctx, command...)
	if err != nil {
		return err
	}
	d.print(output)
	image, err := d.kubectl(ctx, "get", "-n", staging, "deployment", "python-web-app", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	if err != nil {
		return err
	}
	d.print("image: " + image + "\n")
	if image != want {
		return fmt.Errorf("%s: got image %s, want %s", strings.Join(command, " "), image, want)
	}
	return nil
}

func example(file string) string { return filepath.Join("examples", file) }

// eventually calls check until it has no error.
func eventually(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
