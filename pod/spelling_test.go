package pod

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"template", "runAsNonRoot", "runAsUser", "readinessProbe", "livenessProbe", "name", "env", "tty"}
	for name, want := range map[string]string{
		"templat": "template", "Template": "template", "runAsNonroot": "runAsNonRoot", "readinesProbe": "readinessProbe",
		"nam": "name", "enf": "env", "ENV": "env", "x": "", "tt": "", "sidecars": "", "livenessCheck": "", "": "", "имя": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("Nearest(%q): got %q, want %q", name, got, want)
		}
	}
}
