//go:build kind

package kind

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/portcullis-dev/portcullis/e2e/harness"
)

const (
	// previousRevisionVariable names the revision that is upgraded from. Not set: the
	// last tag before this one, or firstRevision while there is none.
	previousRevisionVariable = "PREVIOUS_REVISION"
	// previousImageVariable names an image of that revision, as Docker knows it. Not
	// set: it is built.
	previousImageVariable = "PREVIOUS_IMAGE"
	// firstRevision is the first one that this suite can install.
	firstRevision = "a150da7e54ec"
)

// previous is what is upgraded from: a revision's program with its own manifests.
type previous struct {
	// revision is empty where there is none, in a shallow clone without tags. Then
	// program and manifests are those under test, and the image has another digest.
	revision string
	// root has the manifests.
	root string
}

// buildPrevious makes the image of the previous revision under a name of Docker.
func buildPrevious(ctx context.Context, root, dir, as string) (*previous, error) {
	p, err := findPrevious(ctx, root)
	if err != nil {
		return nil, err
	}
	if p.revision == "" {
		say("NO PREVIOUS REVISION: neither a tag nor %s is in this clone. TestUpgrade goes from the image under test to itself, with another digest. "+
			"git fetch --unshallow, or name one with %s", firstRevision, previousRevisionVariable)
		return p, relabel(ctx, cmp.Or(os.Getenv(previousImageVariable), os.Getenv(imageVariable)), as)
	}
	p.root = filepath.Join(dir, "previous")
	if err := unpack(ctx, root, p.revision, p.root); err != nil {
		return nil, fmt.Errorf("unpacking the previous revision %s: %w", p.revision, err)
	}
	if image := os.Getenv(previousImageVariable); image != "" {
		return p, relabel(ctx, image, as)
	}
	if err := p.build(ctx, as); err != nil {
		return nil, fmt.Errorf("building the previous revision %s: %w", p.revision, err)
	}
	return p, nil
}

// findPrevious chooses the revision. One that was asked for has to be there.
func findPrevious(ctx context.Context, root string) (*previous, error) {
	asked := os.Getenv(previousRevisionVariable)
	tag, err := git(ctx, root, "describe", "--tags", "--abbrev=0", "HEAD^")
	if err != nil {
		tag = "" // none, or no history
	}
	revision, err := git(ctx, root, "rev-parse", "--short=12", "--verify", cmp.Or(asked, tag, firstRevision)+"^{commit}")
	switch {
	case err == nil:
		return &previous{revision: revision}, nil
	case asked != "":
		return nil, fmt.Errorf("looking for %s %q: %w", previousRevisionVariable, asked, err)
	}
	return &previous{root: root}, nil
}

// git runs git in a folder, whoever it belongs to.
func git(ctx context.Context, folder string, args ...string) (string, error) {
	output, err := command{args: append([]string{"git", "-c", "safe.directory=*", "-C", folder}, args...)}.run(ctx)
	return strings.TrimSpace(output), err
}

// unpack writes the files of a revision into a folder.
func unpack(ctx context.Context, root, revision, folder string) error {
	archive := folder + ".tar"
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if _, err := git(ctx, root, "archive", "--format", "tar", "--output", archive, revision); err != nil {
		return err
	}
	_, err := command{args: []string{"tar", "--extract", "--file", archive, "--directory", folder}}.run(ctx)
	return err
}

// build makes the image by the revision's Dockerfile, with nothing below its program.
func (p *previous) build(ctx context.Context, as string) error {
	build := command{
		args: []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + p.revision, "-o", "bin/portcullis", "./cmd/portcullis"},
		dir:  p.root, env: []string{"CGO_ENABLED=0", "GOOS=linux"}, timeout: buildTimeout,
	}
	if _, err := build.run(ctx); err != nil {
		return err
	}
	return dockerBuild(ctx, p.root, as, "--target", "prebuilt", "--build-arg", "BASE=scratch")
}

// changes are the objects that differ between an installation of the previous
// revision and one of now, but for the Deployment, which always does.
func (p *previous) changes(root string) ([]string, error) {
	texts := map[string]string{}
	var changed []string
	for i, from := range []string{p.root, root} {
		objects, err := harness.Render(filepath.Join(from, base))
		if err != nil {
			return nil, err
		}
		for _, object := range objects {
			name, text := object.GetKind()+" "+object.GetName(), fmt.Sprint(object.Object)
			if object.GetKind() == "Deployment" {
				continue
			}
			if i == 1 && texts[name] != text {
				changed = append(changed, name)
			}
			texts[name] = text
		}
	}
	return changed, nil
}
