package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// addChartFiles adds what the chart takes over of components that programs write: its
// templates change nothing in it but what values are for. The other components are
// there already.
func addChartFiles(files map[string][]byte, manifests string) error {
	reports, err := filepath.Glob(filepath.Join(manifests, "components", "policy-reports", "*_*.yaml"))
	if err != nil {
		return fmt.Errorf("listing the CRDs of reports: %w", err)
	}
	for _, path := range reports {
		if files["chart/files/policy-reports/"+filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return fmt.Errorf("reading a CRD of reports: %w", err)
		}
	}
	files["chart/files/native-fallback.yaml"] = documents(
		files["components/native-fallback/10-validatingadmissionpolicy.yaml"], files["components/native-fallback/11-validatingadmissionpolicybinding.yaml"])
	// The chart writes its own names in the place of these four.
	guard, err := exportVAP(9, "--guard", "--system-namespace=system-namespace", "--exception-namespaces=exception-namespaces",
		"--trusted-groups=trusted-groups", "--trusted-users=trusted-users")
	if err != nil {
		return err
	}
	guard[1] = append([]byte("# Written by portcullis export vap --guard.\n"), guard[1]...)
	files["chart/files/tenant-guard.yaml"] = documents(guard[1:]...)
	files["chart/files/serve-flags.txt"], err = serveFlags()
	return err
}

func documents(list ...[]byte) []byte { return bytes.Join(list, []byte("---\n")) }

// serveFlags lists the flags of portcullis serve, one a line, so that the chart can
// refuse what is none.
func serveFlags() ([]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	help := exec.Command("go", "run", "./cmd/portcullis", "serve", "--help")
	help.Dir = root
	output, err := help.Output()
	if err != nil {
		return nil, fmt.Errorf("asking portcullis serve for its flags: %w", err)
	}
	var list []byte
	for _, match := range regexp.MustCompile(`(?m)^ +--([a-z0-9-]+)`).FindAllSubmatch(output, -1) {
		list = append(append(list, match[1]...), '\n')
	}
	if list == nil {
		return nil, errors.New("asking portcullis serve for its flags: got none")
	}
	return list, nil
}
