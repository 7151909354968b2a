package audit

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestYoungOwners creates workloads while lists are read.
func TestYoungOwners(t *testing.T) {
	deployment := made{kind: "Deployment", name: "web", image: "bad:1"}
	replicas := made{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "bad:1"}
	of := made{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "bad:1"}
	const namedDeployment = "/apis/apps/v1/namespaces/shop/deployments metadata.name=web"
	const namedReplicaSet = "/apis/apps/v1/namespaces/shop/replicasets metadata.name=web-1"
	for _, test := range []struct {
		name       string
		old, young []made
		want       []string
		asked      []string // by name
	}{
		{
			name: "nothing is young", old: []made{deployment, replicas, of},
			want: []string{"Deployment web pods=1 findings=1"},
		},
		{
			name: "a Deployment", old: []made{replicas, of}, young: []made{deployment},
			want: []string{"Deployment web pods=1 findings=1"}, asked: []string{namedDeployment},
		},
		{
			name: "all but the Pod", old: []made{of}, young: []made{deployment, replicas},
			want: []string{"Deployment web pods=1 findings=1"}, asked: []string{namedReplicaSet, namedDeployment},
		},
		{
			name: "one that is gone", old: []made{replicas, of},
			want: []string{"ReplicaSet web-1 pods=1 findings=1"}, asked: []string{namedDeployment},
		},
		{
			name: "another one of that name", old: []made{{kind: "Deployment", name: "web", uid: "later", image: "good:1"}, replicas},
			want: []string{"Deployment web pods=0 findings=0", "ReplicaSet web-1 pods=0 findings=1"}, asked: []string{namedDeployment},
		},
		{
			name: "kinds that are not scanned, and Pods", old: []made{
				{kind: "Pod", name: "a", owner: "Database/db", image: "bad:1"},
				{kind: "Pod", name: "b", owner: "Pod/a", image: "bad:1"},
			},
			want: []string{"Pod a pods=1 findings=1", "Pod b pods=1 findings=1"},
		},
		{
			name: "a name that would select more", old: []made{{kind: "Pod", name: "a", owner: "ReplicaSet/x,metadata.namespace!=y", image: "bad:1"}},
			want: []string{"Pod a pods=1 findings=1"}, asked: []string{`/apis/apps/v1/namespaces/shop/replicasets metadata.name=x\,metadata.namespace!\=y`},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cluster := clusterOf(t, test.old...)
			cluster.young = clusterOf(t, test.young...).objects
			delete(cluster.young, "/api/v1/namespaces")
			scan, err := (&Scanner{Pager: cluster, Judge: &imageJudge{}}).Scan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, lines(scan)); diff != "" || len(scan.Problems) > 0 {
				t.Errorf("problems %v (-want +got):\n%s", scan.Problems, diff)
			}
			if diff := cmp.Diff(test.asked, byName(cluster)); diff != "" {
				t.Errorf("asked by name (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOwnersAreBounded holds that neither references to what is not there nor lists
// that may not be read make a scan ask for each owner.
func TestOwnersAreBounded(t *testing.T) {
	var pods []made
	for i := range 3 * maxOwners {
		pods = append(pods, made{kind: "Pod", name: fmt.Sprintf("p-%d", i), owner: fmt.Sprintf("ReplicaSet/r-%d", i), image: "good:1"})
	}
	cluster := clusterOf(t, pods...)
	scanner := &Scanner{Pager: cluster, Judge: &imageJudge{}}
	scan, err := scanner.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(byName(cluster)); got != maxOwners || len(scan.Workloads) != len(pods) {
		t.Errorf("asked for %d owners, got %d workloads, want %d and %d", got, len(scan.Workloads), maxOwners, len(pods))
	}

	cluster.asked = nil
	cluster.failed = map[string]error{"/apis/apps/v1/replicasets": &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusForbidden, Message: "no"}}}
	if scan, err = scanner.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := byName(cluster); len(got) > 0 || len(scan.Problems) != 1 {
		t.Errorf("asked for %q, got problems %v, want none and one", got, scan.Problems)
	}
}

// byName are the requests for single objects.
func byName(l *lists) []string {
	var all []string
	for _, asked := range l.asked {
		if strings.Contains(asked, "metadata.name=") {
			all = append(all, asked)
		}
	}
	return all
}
