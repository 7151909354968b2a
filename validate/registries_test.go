package validate

import (
	"testing"

	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/policies"
)

// TestPatternsReadHostsAsReferencesDo holds the two readings of a registry's host
// against each other: policies may not import image, and a spelling that they
// read differently would be a way around a pattern.
func TestPatternsReadHostsAsReferencesDo(t *testing.T) {
	for _, host := range []string{
		"docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO", "docker.io:443", "registry.example.com",
		"REGISTRY.example.com:443", "registry.example.com:5000", "localhost:5000", "10.0.0.1:5000",
	} {
		name := host + "/team/app"
		ref, err := image.ParseReference(name)
		if err != nil {
			t.Errorf("reference %s: %v", name, err)
			continue
		}
		pattern, err := policies.ParseImagePattern(name)
		if err != nil {
			t.Errorf("pattern %s: %v", name, err)
			continue
		}
		if !pattern.Match(ref.Name()) {
			t.Errorf("pattern %s does not match %s, which is what the same text means as a reference", name, ref.Name())
		}
	}
}
