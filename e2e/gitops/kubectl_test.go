package gitops_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/portcullis-dev/portcullis/e2e/suite"
)

const (
	apply           = "kubectl apply -f web.yaml"
	applyServerSide = "kubectl apply --server-side -f web.yaml"
)

// TestApplyAgain holds that applying an unchanged file changes nothing, and that
// there is nothing to see for kubectl diff, whether or not the tag has moved.
func TestApplyAgain(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"client-side": apply, "server-side": applyServerSide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			first := a.pinned("1.4")
			diff := strings.Replace(line, "apply", "diff", 1)
			unchanged := func(after string) {
				t.Helper()
				a.run(t, line)
				a.want(t, after, first, 1)
				if got := a.run(t, diff); got != "" {
					t.Errorf("%s after %s: got\n%s\nwant nothing", diff, after, got)
				}
			}
			a.run(t, line)
			a.want(t, "the first apply", first, 1)
			unchanged("applying again")
			if a.move(t) == first {
				t.Fatal("the tag has not moved")
			}
			unchanged("applying again with the tag moved")
			a.wantReplicaSets(t, 1)

			a.commit(t, strings.Replace(example(t, "kind: Deployment"), "web:1.4", "web:1.5", 1))
			if got, err := a.try(t, diff); err == nil || !strings.Contains(got, "image: "+a.pinned("1.5")) {
				t.Errorf("%s with another tag in Git: got %v and\n%s\nwant a difference", diff, err, got)
			}
			a.run(t, line)
			a.want(t, "applying another tag", a.pinned("1.5"), 2)
		})
	}
}

// TestChangeOver holds what the document says about the first server-side apply
// of what was applied client-side.
func TestChangeOver(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	first := a.pinned("1.4")
	a.run(t, apply)
	output, err := a.try(t, applyServerSide)
	const want = `conflict with "kubectl-client-side-apply" using apps/v1: .spec.template.spec.containers[name="web"].image`
	if err == nil || !strings.Contains(output, want) {
		t.Fatalf("got %v and\n%s\nwant a conflict: %s", err, output, want)
	}
	a.run(t, applyServerSide+" --force-conflicts")
	a.want(t, "changing over", first, 2) // kubectl writes the annotation last-applied in another way
	a.run(t, applyServerSide)
	a.want(t, "applying after that", first, 2)
	a.wantReplicaSets(t, 1)
}

// TestRefresh holds that what the document names moves a digest, once.
func TestRefresh(t *testing.T) {
	t.Parallel()
	for _, start := range []string{"kubectl rollout restart", "kubectl annotate deployment/web --overwrite"} {
		for name, line := range map[string]string{"client-side": apply, "server-side": applyServerSide} {
			t.Run(start+"/"+name, func(t *testing.T) {
				t.Parallel()
				a := newApp(t)
				a.run(t, line)
				moved := a.move(t)
				a.run(t, command(t, start))
				a.want(t, start, moved, 2)
				a.move(t)
				a.run(t, line)
				a.want(t, "applying again", moved, 2)
			})
		}
	}
}

// TestUndo holds that kubectl rollout undo brings back the digest that ran, and
// that a restart moves it as before.
func TestUndo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, line string
		late       bool // the tag moves after the command and before the undo
	}{
		{"another tag", "kubectl set image deployment/web web=example/web:1.5", false},
		{"restart", command(t, "kubectl rollout restart"), false},
		{"restart before the tag moved", command(t, "kubectl rollout restart"), true},
		{"annotation", command(t, "kubectl annotate deployment/web --overwrite"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			first := a.pinned("1.4")
			a.run(t, apply)
			a.wantReplicaSets(t, 1)
			if !test.late {
				a.move(t)
			}
			a.run(t, test.line)
			a.wantReplicaSets(t, 2)
			if test.late {
				a.move(t)
			}
			a.run(t, command(t, "kubectl rollout undo"))
			a.want(t, "undo", first, 3)
			a.run(t, command(t, "kubectl rollout restart"))
			a.want(t, "a restart after undo", a.pinned("1.4"), 4)
		})
	}
}

// TestSetImage holds that another tag is pinned.
func TestSetImage(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.run(t, apply)
	a.run(t, "kubectl set image deployment/web web=example/web:1.5")
	a.want(t, "kubectl set image", a.pinned("1.5"), 2)
}

// TestScale holds that scaling changes the number of replicas and nothing else.
func TestScale(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.run(t, apply)
	a.move(t)
	a.wantReplicaSets(t, 1) // the controller has annotated the Deployment
	before := a.live(t)
	asked := a.Registry.Requests(a.repository)
	a.run(t, "kubectl scale deployment/web --replicas=5")
	after := a.live(t)
	*before.Spec.Replicas = 5
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("spec (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before.Annotations, after.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if got := a.Registry.Requests(a.repository); got != asked {
		t.Errorf("got %d requests to the registry, want none", got-asked)
	}
}

// wantReplicaSets requires that the Deployment comes to have had so many
// templates, and that each is what the Deployment had.
func (a *app) wantReplicaSets(t *testing.T, count int) {
	t.Helper()
	const patience = 3 * suite.Soon // the controllers may still be starting
	suite.Eventually(t, patience, func() error {
		d := a.live(t)
		if d.Status.ObservedGeneration != d.Generation {
			return fmt.Errorf("the controller has seen generation %d, want %d", d.Status.ObservedGeneration, d.Generation)
		}
		var sets appsv1.ReplicaSetList
		if err := a.Client.List(context.Background(), &sets, client.InNamespace(a.namespace)); err != nil {
			return err
		}
		if len(sets.Items) != count {
			return fmt.Errorf("got %d ReplicaSets, want %d", len(sets.Items), count)
		}
		return nil
	})
}
