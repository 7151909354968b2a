package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestDemo runs the demo as `make demo` does, without staying.
func TestDemo(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"--exit"}, os.Stdin, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{
		"+      - image: docker.io/example/flask-web:1.4@sha256:",
		"    image: python:3.11-slim@sha256:",
		`Pod "python-hello-world" is refused`,
		"spec.containers[0].securityContext.allowPrivilegeEscalation is not set",
		"Fix: set it to false.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("the demo is coloured although nobody looks")
	}
}
