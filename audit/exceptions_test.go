package audit

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/portcullis-dev/portcullis/report"
)

// TestExceptionUses counts what exceptions are good for: by workload, with what
// counts with its owner, and those that cover nothing.
func TestExceptionUses(t *testing.T) {
	pager := clusterOf(t,
		made{kind: "Deployment", name: "web", image: "bad:1"},
		made{kind: "ReplicaSet", name: "web-1", owner: "Deployment/web", image: "bad:1"},
		made{kind: "Pod", name: "web-1-a", owner: "ReplicaSet/web-1", image: "bad:1"},
		made{kind: "Deployment", name: "same", image: "bad:1"}, // as web, and not named
		made{kind: "Deployment", name: "api", image: "good:1"},
		made{kind: "Deployment", name: "operator", image: "bad:2"},
		made{kind: "ReplicaSet", name: "operator-1", owner: "Deployment/operator", image: "bad:2"},
	)
	unused := report.ExceptionUse{Exemption: report.Exemption{Exception: "sys/unused"}}
	judge := &imageJudge{
		rules:     Rules{Exceptions: []report.ExceptionUse{unused}},
		excepting: map[string]string{"web": "sys/web", "web-1": "sys/web", "web-1-a": "sys/web", "api": "sys/web", "operator-1": "sys/sets"},
	}
	scan, err := (&Scanner{Pager: pager, Judge: judge}).Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range scan.Exceptions {
		got = append(got, fmt.Sprintf("%s %d of %d, %v", x.Exception, x.Needed, x.Objects, x.In))
	}
	want := []string{
		"sys/sets 1 of 1, map[shop:{1 1}]", // by the ReplicaSet, whose Deployment is not covered
		"sys/unused 0 of 0, map[]",
		"sys/web 1 of 2, map[shop:{2 1}]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestExceptionUsesOfAPart has nobody told that an exception can go that something may
// need which was not looked at.
func TestExceptionUsesOfAPart(t *testing.T) {
	unused := report.ExceptionUse{Exemption: report.Exemption{Exception: "sys/unused", ExpiresAt: "2999-01-01T00:00:00Z"}}
	judge := &imageJudge{rules: Rules{Exceptions: []report.ExceptionUse{unused}}}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", errors.New("no"))
	for _, test := range []struct {
		name       string
		namespaces []string
		failed     map[string]error
		want       int
	}{
		{"everything", nil, nil, 1},
		{"a namespace", []string{"shop"}, nil, 0},
		{"a kind may not be listed", nil, map[string]error{"/apis/apps/v1/deployments": forbidden}, 0},
	} {
		cluster := clusterOf(t, made{kind: "Deployment", name: "web", image: "bad:1"})
		cluster.failed = test.failed
		scan, err := (&Scanner{Pager: cluster, Judge: judge, Namespaces: test.namespaces}).Scan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(scan.Exceptions) != test.want {
			t.Errorf("%s: got exceptions %v, want %d", test.name, scan.Exceptions, test.want)
		}
	}
}
