package harness

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"sigs.k8s.io/yaml"
)

// revision matches the annotation by which replicas know what an admin wants
// registered.
var revision = regexp.MustCompile(`(portcullis\.dev/registration-revision: )r-[0-9a-f]+`)

// Revised are the files below a folder of manifests with webhook configurations,
// with the revision that belongs to what they register. A replica that runs takes
// another registration over only if it comes with another revision.
func Revised(manifests string) (map[string][]byte, error) {
	names := []string{"60-mutatingwebhookconfiguration.yaml", "61-validatingwebhookconfiguration.yaml"}
	sum := sha256.New()
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(manifests, "base", name))
		if err != nil {
			return nil, fmt.Errorf("reading a webhook configuration: %w", err)
		}
		var configuration struct {
			Webhooks []any `json:"webhooks"`
		}
		if err := yaml.Unmarshal(data, &configuration); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if err := json.NewEncoder(sum).Encode(configuration.Webhooks); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	files := map[string][]byte{}
	for folder, names := range map[string][]string{
		"base": names, filepath.Join("chart", "templates"): names,
		filepath.Join("components", "cert-manager"): {"21-mutatingwebhookconfiguration-patch.yaml", "22-validatingwebhookconfiguration-patch.yaml"},
	} {
		for _, name := range names {
			data, err := os.ReadFile(filepath.Join(manifests, folder, name))
			if err != nil {
				return nil, fmt.Errorf("reading a webhook configuration: %w", err)
			}
			if !revision.Match(data) {
				return nil, fmt.Errorf("reading %s of %s: it has no revision", name, folder)
			}
			files[filepath.Join(folder, name)] = revision.ReplaceAll(data, fmt.Appendf(nil, "${1}r-%x", sum.Sum(nil)[:6]))
		}
	}
	return files, nil
}
