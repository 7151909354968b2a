package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// singleFiles are installations in one file each, by the overlay that they are.
var singleFiles = map[string]string{
	"install.yaml":              "self-signed",
	"install-cert-manager.yaml": "cert-manager",
}

// Generated are the files below a folder of manifests that are made of others in
// it, by their paths: installations in one file, and what the chart cannot write as
// a template because it has braces of its own.
func Generated(manifests string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, overlay := range singleFiles {
		options := krusty.MakeDefaultOptions()
		options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: webhooks last
		rendered, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), filepath.Join(manifests, "overlays", overlay))
		if err != nil {
			return nil, fmt.Errorf("rendering overlay %q: %w", overlay, err)
		}
		text, err := rendered.AsYaml()
		if err != nil {
			return nil, fmt.Errorf("writing overlay %q: %w", overlay, err)
		}
		files[name] = append([]byte("# manifests/overlays/"+overlay+" in one file, made by `make generate`.\n"), text...)
	}
	crds, err := filepath.Glob(filepath.Join(manifests, "crds", "*_*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("listing the CRDs: %w", err)
	}
	for _, path := range crds {
		if files["chart/files/crds/"+filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("reading a CRD: %w", err)
		}
	}
	if err := addParts(files, manifests); err != nil {
		return nil, err
	}
	if err := addFallback(files); err != nil {
		return nil, err
	}
	if err := addTenantGuard(files); err != nil {
		return nil, err
	}
	if err := addChartFiles(files, manifests); err != nil {
		return nil, err
	}
	return files, nil
}

// exportVAP runs portcullis export vap, and returns the comments and the objects
// that it writes.
func exportVAP(want int, args ...string) ([][]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	export := exec.Command("go", append([]string{"run", "./cmd/portcullis", "export", "vap"}, args...)...)
	export.Dir = root
	output, err := export.Output()
	if err != nil {
		return nil, fmt.Errorf("exporting %v: %w", args, err)
	}
	parts := bytes.Split(output, []byte("---\n"))
	if len(parts) != want {
		return nil, fmt.Errorf("exporting %v: got %d parts, want %d: comments, and policies with bindings", args, len(parts), want)
	}
	return parts, nil
}

// addTenantGuard adds the rules that hold tenants off Portcullis, each object in a
// file of its own.
func addTenantGuard(files map[string][]byte) error {
	names := []string{"policies", "namespace", "definitions", "labels"}
	parts, err := exportVAP(1+2*len(names), "--guard")
	if err != nil {
		return err
	}
	for i, name := range names {
		for j, kind := range []string{"validatingadmissionpolicy", "validatingadmissionpolicybinding"} {
			file := fmt.Sprintf("components/tenant-guard/%d-%s-%s.yaml", 10+2*i+j, kind, name)
			files[file] = append([]byte("# Written by portcullis export vap --guard.\n"), parts[1+2*i+j]...)
		}
	}
	return nil
}

// addFallback adds the preset baseline as the API server enforces it itself, each
// object in a file of its own.
func addFallback(files map[string][]byte) error {
	parts, err := exportVAP(3, "--preset", "baseline")
	if err != nil {
		return err
	}
	const folder = "components/native-fallback/"
	files[folder+"10-validatingadmissionpolicy.yaml"] = append(parts[0], parts[1]...)
	files[folder+"11-validatingadmissionpolicybinding.yaml"] = append([]byte("# Written by portcullis export vap.\n"), parts[2]...)
	return nil
}

// addParts adds the parts of objects that the chart takes over as they are.
func addParts(files map[string][]byte, manifests string) error {
	for name, part := range map[string]struct{ source, path string }{
		"chart/files/dashboard.json": {"components/dashboard/10-configmap.yaml", "data/portcullis.json"},
		"chart/files/alerts.yaml":    {"components/monitoring/12-prometheusrule.yaml", "spec"},
	} {
		data, err := os.ReadFile(filepath.Join(manifests, part.source))
		if err != nil {
			return fmt.Errorf("reading a component: %w", err)
		}
		var object any
		if err := yaml.Unmarshal(data, &object); err != nil {
			return fmt.Errorf("reading %s: %w", part.source, err)
		}
		for key := range strings.SplitSeq(part.path, "/") {
			fields, ok := object.(map[string]any)
			if !ok || fields[key] == nil {
				return fmt.Errorf("reading %s: it has no %s", part.source, part.path)
			}
			object = fields[key]
		}
		if text, ok := object.(string); ok {
			files[name] = []byte(text)
			continue
		}
		var b bytes.Buffer
		encoder := yaml.NewEncoder(&b)
		encoder.SetIndent(2)
		if err := encoder.Encode(object); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		files[name] = b.Bytes()
	}
	return nil
}
