package pod

import "testing"

// TestExpands holds which texts the kubelet puts the value of A into.
func TestExpands(t *testing.T) {
	for text, want := range map[string]bool{
		"": false, "$": false, "A": false, "$A": false, "${A}": false, "$(A": false, "$(AB)": false, "$(B)": false, "x$": false,
		"$(A)": true, "x=$(A)y": true, "$(B)$(A)": true, "$(A)$(B)": true, "$x$(A)": true, "$$$(A)": true,
		"$$(A)": false, "$$$$(A)": false, "$(B$(A))": false,
	} {
		if got := expands(text, "A"); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}

// TestContainerExpands holds where the kubelet looks for $(A).
func TestContainerExpands(t *testing.T) {
	for container, want := range map[string]bool{
		"command: [a, $(A)]": true,
		"args: [$(A)]":       true,
		"livenessProbe: {exec: {command: [$(A)]}}":                    true,
		"readinessProbe: {exec: {command: [$(A)]}}":                   true,
		"startupProbe: {exec: {command: [$(A)]}}":                     true,
		"startupProbe: {tcpSocket: {port: 1}}":                        false,
		"volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(A)}]": true,
		"volumeMounts: [{name: v, mountPath: /v, subPath: $(A)}]":     false,
		"env: [{name: B, value: $(A)}]":                               false,
		"workingDir: $(A)":                                            false,
	} {
		w, err := DecodeYAML([]byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: c\n    " + container + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		for c := range w.Containers() {
			if got := c.Expands("A"); got != want {
				t.Errorf("%s: got %t, want %t", container, got, want)
			}
		}
	}
}
