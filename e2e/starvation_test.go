package e2e_test

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestF18OwnPods holds what lets our own pods live with little CPU: they are not
// throttled, and probes do not take one that is slow for one that is dead.
func TestF18OwnPods(t *testing.T) { eachOverlay(t, testStarvation) }

func testStarvation(t *testing.T, objects []*unstructured.Unstructured) {
	container := find[appsv1.Deployment](t, objects, "Deployment").Spec.Template.Spec.Containers[0]
	if limit, limited := container.Resources.Limits[corev1.ResourceCPU]; limited {
		t.Errorf("limits.cpu: got %s, want none", limit.String())
	}
	for _, env := range container.Env {
		if env.Name == "GOMAXPROCS" {
			t.Errorf("env: got %s=%s, want none: the runtime follows the limit by itself", env.Name, env.Value)
		}
	}
	for name, probe := range map[string]*corev1.Probe{"readinessProbe": container.ReadinessProbe, "livenessProbe": container.LivenessProbe} {
		if probe.TimeoutSeconds < 5 {
			t.Errorf("%s.timeoutSeconds: got %d, want 5 and more", name, probe.TimeoutSeconds)
		}
	}
}

// TestF18Processors holds that the binary takes as many threads as a CPU limit lets
// run, which a module of Go 1.25 and later does unless it says otherwise
// (https://go.dev/doc/go1.25#container-aware-gomaxprocs).
func TestF18Processors(t *testing.T) {
	data, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(data)
	if version == nil {
		t.Fatal("go.mod names no version of Go")
	}
	if minor, err := strconv.Atoi(string(version[1])); err != nil || minor < 25 {
		t.Errorf("go.mod: got Go 1.%s, want 1.25 or later", version[1])
	}
	for _, file := range []string{"../go.mod", "../cmd/portcullis/main.go", "../Dockerfile", "../Makefile"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`(?m)^godebug |//go:debug|GODEBUG=|GOMAXPROCS|containermaxprocs`).Find(data); found != nil {
			t.Errorf("%s: got %q, want the settings of the runtime left alone", file, found)
		}
	}
}
