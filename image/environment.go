package image

import "iter"

// EnvFor iterates over the ENV of each platform that a node may run for a pod that spec.os says is for Windows, or does not. An image of
// a single manifest runs anywhere, whatever its configuration says.
func (f Fact) EnvFor(windowsPod bool) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for i := range f.Platforms {
			p := &f.Platforms[i]
			if (p.IsWindows() == windowsPod || !p.Selected) && !yield(p.Env) {
				return
			}
		}
	}
}
