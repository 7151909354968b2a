package image

import (
	"slices"
	"strings"
)

// windows is how the configuration of an image names the operating system.
const windows = "windows"

// IsWindows reports whether the platform is one of Windows.
func (p Platform) IsWindows() bool { return p.OS == windows }

// NumericUser reports whether the kubelet reads USER as a number. It refuses to run
// a name where runAsNonRoot is true, since it does not know the number of a name
// (verifyRunAsNonRoot in k8s.io/kubernetes/pkg/kubelet/kuberuntime).
func (p Platform) NumericUser() bool {
	name, _, _ := strings.Cut(p.User, ":")
	return name != "" && strings.Trim(name, "0123456789") == ""
}

// PlatformsFor are the platforms whose USER counts for a pod that spec.os says is
// for Windows, or does not. One of Windows does not count where the pod is for
// Windows, and where a node runs it only if it is one; an image of a single manifest
// runs anywhere, whatever its configuration says.
func (f Fact) PlatformsFor(windowsPod bool) []Platform {
	if !slices.ContainsFunc(f.Platforms, Platform.IsWindows) {
		return f.Platforms
	}
	if windowsPod {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.Platforms), func(p Platform) bool { return p.IsWindows() && p.Selected })
}
