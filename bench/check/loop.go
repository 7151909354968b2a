package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// loop is what somebody writes in an afternoon, and what portcullis check is
// measured against: one file after the other is read by sigs.k8s.io/yaml and
// judged by the Pod Security evaluator. It returns how many pods are refused.
func loop(folder string) (int, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return 0, fmt.Errorf("building the evaluator: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return 0, err
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	refused := 0
	for _, file := range files {
		meta, spec, err := read(file)
		if err != nil {
			return 0, err
		}
		for _, result := range evaluator.EvaluatePod(restricted, meta, spec) {
			if !result.Allowed {
				refused++
				break
			}
		}
	}
	return refused, nil
}

func read(file string) (*metav1.ObjectMeta, *corev1.PodSpec, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, nil, fmt.Errorf("reading %q: %w", file, err)
	}
	var object metav1.TypeMeta
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, nil, fmt.Errorf("reading %q: %w", file, err)
	}
	if object.Kind == "Pod" {
		var p corev1.Pod
		err := json.Unmarshal(data, &p)
		return &p.ObjectMeta, &p.Spec, err
	}
	var d appsv1.Deployment
	err = json.Unmarshal(data, &d)
	return &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec, err
}
