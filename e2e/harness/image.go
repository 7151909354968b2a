package harness

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Config is what an image says about how it is run.
type Config = v1.Config

// Platform is an image for one platform.
type Platform struct {
	// OS and Architecture are linux and amd64 if empty.
	OS, Architecture string
	Config
	// Passwd is the content of /etc/passwd. Empty: there is no such file.
	Passwd string
}

// Health is a HEALTHCHECK that runs a command.
func Health(command ...string) *v1.HealthConfig {
	return &v1.HealthConfig{
		Test: append([]string{"CMD"}, command...), Interval: 10 * time.Second, Timeout: 2 * time.Second, Retries: 3, StartPeriod: 20 * time.Second,
	}
}

// Push stores an image of one platform under a name and tag.
func (r *Registry) Push(image string, config Config) error {
	return r.PushManifest(image, Platform{Config: config})
}

// PushManifest stores an image of one platform, which no index names.
func (r *Registry) PushManifest(image string, platform Platform) error {
	built, err := platform.build()
	if err != nil {
		return fmt.Errorf("making image %q: %w", image, err)
	}
	ref, err := r.reference(image)
	if err != nil {
		return err
	}
	if err := remote.Write(ref, built); err != nil {
		return fmt.Errorf("pushing image %q: %w", image, err)
	}
	return r.remember(image, built)
}

// PushIndex stores an image of two platforms, which say the same, under a name and
// tag.
func (r *Registry) PushIndex(image string, config Config) error {
	return r.PushPlatforms(image, Platform{Config: config}, Platform{Config: config, Architecture: "arm64"})
}

// PushPlatforms stores an image of several platforms under a name and tag.
func (r *Registry) PushPlatforms(image string, platforms ...Platform) error {
	index := v1.ImageIndex(empty.Index)
	for _, p := range platforms {
		built, err := p.build()
		if err != nil {
			return fmt.Errorf("making image %q: %w", image, err)
		}
		p = p.withDefaults()
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        built,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.OS, Architecture: p.Architecture}},
		})
	}
	ref, err := r.reference(image)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		return fmt.Errorf("pushing image %q: %w", image, err)
	}
	return r.remember(image, index)
}

func (p Platform) withDefaults() Platform {
	if p.OS == "" {
		p.OS = "linux"
	}
	if p.Architecture == "" {
		p.Architecture = "amd64"
	}
	return p
}

func (p Platform) build() (v1.Image, error) {
	p = p.withDefaults()
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: p.OS, Architecture: p.Architecture, Config: p.Config, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil || p.Passwd == "" {
		return image, err
	}
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644, Size: int64(len(p.Passwd))}
	if err := archive.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(archive, p.Passwd); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

// Remove has the registry forget an image, by its reference with a digest.
func (r *Registry) Remove(image string) error {
	ref, err := r.reference(image)
	if err != nil {
		return err
	}
	if err := remote.Delete(ref); err != nil {
		return fmt.Errorf("removing image %q: %w", image, err)
	}
	return nil
}
