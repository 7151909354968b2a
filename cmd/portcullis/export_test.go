package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/portcullis-dev/portcullis/policies"
)

// TestBundleRoundTrip requires that what is written of a cluster is read back.
func TestBundleRoundTrip(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := policies.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	preset := func(name string) *policies.PodPolicy {
		p, err := policies.Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{"tier": "gold"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bare"}},
		bundleException("portcullis-system", "team-a"), bundleException("elsewhere", "team-b"), bundleException("portcullis-system", ""),
	}
	for name, cluster := range map[string][]client.Object{
		"restricted": append([]client.Object{preset("restricted")}, objects...),
		"audit":      objects, // what the webhook goes by then
	} {
		reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cluster...).Build()
		w := &bundleWriter{cluster: reader, fallback: preset("audit"), exceptions: []string{"portcullis-system"}}
		data, err := w.write(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "bundle.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		bundle, err := readBundle(t.Context(), path)
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		if diff := cmp.Diff(map[string]map[string]string{"web": {"tier": "gold"}, "bare": nil}, bundle.namespaces); diff != "" {
			t.Errorf("namespaces (-want +got):\n%s", diff)
		}
		if len(bundle.policies) != 1 || bundle.policies[0].Name != name {
			t.Fatalf("got policies %+v, want %s", bundle.policies, name)
		}
		if diff := cmp.Diff(preset(name).Spec, bundle.policies[0].Spec); diff != "" {
			t.Errorf("spec of %s (-want +got):\n%s", name, diff)
		}
		if len(bundle.exceptions) != 1 {
			t.Fatalf("got %d exceptions, want 1: the one that counts", len(bundle.exceptions))
		}
		want := bundleException("portcullis-system", "team-a")
		got := bundle.exceptions[0]
		if diff := cmp.Diff(want.Spec, got.Spec); diff != "" || got.Namespace != want.Namespace || !got.CreationTimestamp.Equal(&want.CreationTimestamp) {
			t.Errorf("got exception %s of %s, want it of %s; spec (-want +got):\n%s", got.Name, got.CreationTimestamp, want.CreationTimestamp, diff)
		}
	}
}

// bundleException is invalid without an owner.
func bundleException(namespace, owner string) *policies.PolicyException {
	return &policies.PolicyException{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "e" + owner, CreationTimestamp: metav1.NewTime(time.Date(2026, 11, 1, 0, 0, 0, 0, time.Local))},
		Spec: policies.PolicyExceptionSpec{
			Owner: owner, Reason: "because", Policies: []string{"restricted"}, ExpiresAt: metav1.NewTime(time.Date(2026, 12, 1, 0, 0, 0, 0, time.Local)),
			Rules: []policies.ExceptionRule{{Rule: "validate.rootUser"}}, Match: policies.ExceptionMatch{Namespaces: []string{"web"}},
		},
	}
}

func TestExportUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"export"}, "portcullis: what to export is missing; see portcullis export --help\n"},
		{[]string{"export", "bundle", "--kubeconfig", "none"}, "portcullis: reading --kubeconfig \"none\": stat none: no such file or directory\n"},
	} {
		if got := execute(t, "", test.args...); got.code != 2 || got.stderr != test.want {
			t.Errorf("%v: got %+v, want exit code 2, %q", test.args, got, test.want)
		}
	}
}
