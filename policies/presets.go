package policies

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed presets/*.yaml
var presetFiles embed.FS

// PresetNames returns the names of the embedded policies, sorted.
func PresetNames() []string {
	entries, err := presetFiles.ReadDir("presets")
	if err != nil {
		panic(err) // the folder is part of the binary
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = strings.TrimSuffix(entry.Name(), ".yaml")
	}
	return names
}

// Preset returns a fresh copy of the embedded policy of that name. The error for any other name lists those there are.
func Preset(name string) (*PodPolicy, error) {
	if !slices.Contains(PresetNames(), name) {
		return nil, fmt.Errorf("%s is not a preset; use %s", quote(name), either(PresetNames()))
	}
	data, err := presetFiles.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("reading preset %q: %w", name, err)
	}
	list, err := Load(data, "preset "+name)
	if err != nil {
		return nil, err
	}
	return list[0], nil
}
