package policies

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
)

// TestPodChecks has a pod without any container fail each of the pod's own checks: no exemption of containers could help.
func TestPodChecks(t *testing.T) {
	spec := &corev1.PodSpec{
		HostNetwork:     true,
		Volumes:         []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}},
		SecurityContext: &corev1.PodSecurityContext{Sysctls: []corev1.Sysctl{{Name: "kernel.msgmax", Value: "1"}}},
	}
	var got []string
	for _, check := range pspolicy.DefaultChecks() {
		newest := check.Versions[len(check.Versions)-1]
		if !newest.CheckPod(&metav1.ObjectMeta{}, spec).Allowed {
			got = append(got, string(check.ID))
		}
	}
	slices.Sort(got)
	if want := podChecks(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWhyNotEvaluated compares our reading of upstream's registry with what the evaluator runs: as many checks, at each level and version.
func TestWhyNotEvaluated(t *testing.T) {
	all := pspolicy.DefaultChecks()
	evaluator, err := pspolicy.NewEvaluator(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	versions := []psapi.Version{psapi.LatestVersion()}
	for minor := range 40 {
		versions = append(versions, psapi.MajorMinorVersion(1, minor))
	}
	for _, version := range versions {
		for _, level := range []psapi.Level{psapi.LevelPrivileged, psapi.LevelBaseline, psapi.LevelRestricted} {
			lv := psapi.LevelVersion{Level: level, Version: version}
			evaluated := 0
			for _, check := range all {
				if whyNotEvaluated(check, all, lv) == "" {
					evaluated++
				}
			}
			if want := len(evaluator.EvaluatePod(lv, &metav1.ObjectMeta{}, &corev1.PodSpec{})); evaluated != want {
				t.Errorf("%s: got %d checks, want %d", lv, evaluated, want)
			}
		}
	}
}

// TestExemptionsInCRD requires that the CEL rules, which list checks by hand, refuse the same exemptions as Validate does.
func TestExemptionsInCRD(t *testing.T) {
	server := newAPIServer(t)
	for _, level := range []psapi.Level{psapi.LevelPrivileged, psapi.LevelBaseline, psapi.LevelRestricted} {
		for _, check := range pspolicy.DefaultChecks() {
			exemption := PodSecurityExemption{Checks: []string{string(check.ID)}, Containers: []string{"a"}}
			p := &PodPolicy{}
			p.Name = "p"
			p.Spec.Validate.PodSecurity = &PodSecurity{Level: level, Exemptions: []PodSecurityExemption{exemption}}
			Default(p)
			object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p)
			if err != nil {
				t.Fatal(err)
			}
			problems, errs := Validate(p), server.admit(t, object)
			if (len(problems) > 0) != (len(errs) > 0) {
				t.Errorf("%s at %s: Validate says %v, the API server %v", check.ID, level, problems, errs)
			}
		}
	}
}
