package gitops_test

import (
	"strings"
	"testing"
)

// inGit is the document's Deployment with the document's line for a digest.
func inGit(t *testing.T, pinned string) string {
	t.Helper()
	_, line, _ := strings.Cut(example(t, "web:1.4@sha256:"), "image: ")
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "example/web:1.4@sha256:") {
		t.Fatalf("got the image %q in docs/gitops.md, want one with a digest", line)
	}
	_, digest, _ := strings.Cut(pinned, "@")
	name, _, _ := strings.Cut(line, "@")
	return strings.Replace(example(t, "kind: Deployment"), "example/web:1.4", name+"@"+digest, 1)
}

// TestDigestInGit holds that a digest in Git is left alone.
func TestDigestInGit(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"client-side": apply, "server-side": applyServerSide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			first := a.pinned("1.4")
			a.commit(t, inGit(t, first))
			a.run(t, line)
			a.move(t)
			a.run(t, line)
			a.want(t, "applying again", first, 1)
			a.run(t, command(t, "kubectl rollout restart"))
			a.want(t, "a restart", first, 2)
			a.run(t, line)
			a.want(t, "applying after a restart", first, 2)
		})
	}
}

// TestDigestComesIntoGit holds the same for a workload that was pinned before: by
// itself where Git has another digest, and else with the document's command.
func TestDigestComesIntoGit(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"client-side": apply, "server-side": applyServerSide} {
		t.Run("another digest/"+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.run(t, line)
			second := a.move(t)
			a.commit(t, inGit(t, second))
			a.run(t, line)
			a.want(t, "a digest in Git", second, 2)
			a.move(t)
			a.run(t, command(t, "kubectl rollout restart"))
			a.want(t, "a restart", second, 3)
		})
		t.Run("the same digest/"+name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			first := a.pinned("1.4")
			a.run(t, line)
			a.commit(t, inGit(t, first))
			a.run(t, line)
			a.wantImage(t, "a digest in Git", first)
			a.run(t, command(t, "kubectl annotate deployment/web portcullis.dev/pinned-"))
			a.move(t)
			a.run(t, command(t, "kubectl rollout restart"))
			a.wantImage(t, "a restart", first)
		})
	}
}

// TestRefreshInGit holds that a commit can move a digest.
func TestRefreshInGit(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"client-side": apply, "server-side": applyServerSide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t)
			a.run(t, line)
			moved := a.move(t)
			a.commit(t, strings.Replace(example(t, "kind: Deployment"),
				"metadata:\n  name: web\n", example(t, "\n    portcullis.dev/refresh: "), 1))
			a.run(t, line)
			a.want(t, "applying the annotation", moved, 2)
			a.move(t)
			a.run(t, line)
			a.want(t, "applying again", moved, 2)
		})
	}
}
