package input

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
)

// releaseName is that of the release that a chart is rendered for, the one that
// helm template takes.
const releaseName = "release-name"

// Chart is a Helm chart and what to render it with.
type Chart struct {
	// Path is the chart's folder or archive.
	Path string
	// Values are files of values; a later one wins.
	Values []string
}

// render is what helm template does, hooks included: nothing is asked of a
// cluster or of the network, so that lookup finds nothing, dependencies have to
// be in the chart, and values are not checked by the chart's schema, which may
// name others by URL. Each template becomes a file.
func (c Chart) render(ctx context.Context, namespace string) []entry {
	loaded, err := loader.Load(c.Path)
	if err != nil {
		return c.refuse("cannot be read as a chart: " + err.Error())
	}
	if missing := missingDependencies(loaded); len(missing) > 0 {
		return c.refuse("lacks its dependencies " + strings.Join(missing, ", ") + "; run helm dependency build first")
	}
	values, err := c.values()
	if err != nil {
		return c.refuse(err.Error())
	}
	rendered, err := c.renderWith(ctx, loaded, values, namespace)
	if err != nil {
		return c.refuse("cannot be rendered: " + err.Error())
	}
	var entries []entry
	for _, object := range loaded.CRDObjects() {
		entries = append(entries, c.entry(object.Filename, string(object.File.Data)))
	}
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if base := path.Base(name); strings.HasPrefix(base, "_") || base == "NOTES.txt" {
			continue
		}
		entries = append(entries, c.entry(name, rendered[name]))
	}
	return entries
}

func (c Chart) renderWith(ctx context.Context, loaded *chart.Chart, values map[string]any, namespace string) (map[string]string, error) {
	if err := chartutil.ProcessDependencies(loaded, values); err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: releaseName, Namespace: namespace, Revision: 1, IsInstall: true}
	const skipSchema = true
	all, err := commonutil.ToRenderValuesWithSchemaValidation(loaded, values, release, common.DefaultCapabilities, skipSchema)
	if err != nil {
		return nil, err
	}
	var e engine.Engine
	return e.RenderWithContext(ctx, loaded, all)
}

// values reads the files of values.
func (c Chart) values() (map[string]any, error) {
	values := map[string]any{}
	for _, name := range c.Values {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("has values in %s that cannot be read: %w", quote(name), reason(err))
		}
		of, err := loader.LoadValues(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("has values in %s that cannot be read: %w", quote(name), err)
		}
		values = loader.MergeMaps(values, of)
	}
	return values, nil
}

// entry names a template as it lies under the path that was given. Helm names it
// by the chart's own name instead: shop/templates/web.yaml.
func (c Chart) entry(name, text string) entry {
	if _, inside, ok := strings.Cut(name, "/"); ok {
		name = inside
	}
	return entry{name: join(c.Path, filepath.FromSlash(name)), data: []byte(text), rendered: true}
}

func (c Chart) refuse(message string) []entry {
	return []entry{{name: c.Path, problem: &Problem{Source: c.Path, Message: oneLine(message)}}}
}

// missingDependencies are those that Chart.yaml names and charts/ lacks.
func missingDependencies(c *chart.Chart) []string {
	var missing []string
	for _, wanted := range c.Metadata.Dependencies {
		if !slices.ContainsFunc(c.Dependencies(), func(d *chart.Chart) bool { return d.Metadata.Name == wanted.Name }) {
			missing = append(missing, quote(wanted.Name))
		}
	}
	return missing
}
