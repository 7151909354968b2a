package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"sigs.k8s.io/yaml"
)

// The parts of a PolicyReport that are written, which are the same in all
// versions of the wgpolicyk8s.io/v1alpha2 CRD.
// Source: https://github.com/kubernetes-sigs/wg-policy-prototypes/tree/master/policy-report
type (
	policyReport struct {
		APIVersion string               `json:"apiVersion"`
		Kind       string               `json:"kind"`
		Metadata   policyReportMetadata `json:"metadata"`
		Summary    policyReportSummary  `json:"summary"`
		Results    []policyReportResult `json:"results"`
	}
	policyReportMetadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace,omitempty"`
		Labels    map[string]string `json:"labels"`
	}
	policyReportSummary struct {
		Pass  int `json:"pass"`
		Fail  int `json:"fail"`
		Warn  int `json:"warn"`
		Error int `json:"error"`
		Skip  int `json:"skip"`
	}
	policyReportResult struct {
		Source     string                 `json:"source"`
		Policy     string                 `json:"policy"`
		Rule       string                 `json:"rule"`
		Category   string                 `json:"category,omitempty"`
		Result     Outcome                `json:"result"`
		Severity   string                 `json:"severity,omitempty"`
		Scored     bool                   `json:"scored"`
		Message    string                 `json:"message"`
		Resources  []policyReportObject   `json:"resources,omitempty"`
		Timestamp  *policyReportTimestamp `json:"timestamp,omitempty"`
		Properties map[string]string      `json:"properties,omitempty"`
	}
	policyReportObject struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind"`
		Namespace  string `json:"namespace,omitempty"`
		Name       string `json:"name"`
	}
	policyReportTimestamp struct {
		Seconds int64 `json:"seconds"`
		Nanos   int32 `json:"nanos"`
	}
)

// writePolicyReport writes one PolicyReport for each namespace, as documents of
// one YAML stream. Objects without a namespace, and sources that cannot be read,
// are in one without a namespace, which kubectl gives the current one.
func writePolicyReport(w io.Writer, r *Report, o Options) error {
	byNamespace := map[string]*Report{}
	var namespaces []string
	for _, result := range r.sorted() {
		namespace := plain(result.Namespace)
		if byNamespace[namespace] == nil {
			byNamespace[namespace] = &Report{}
			namespaces = append(namespaces, namespace)
		}
		byNamespace[namespace].Add(result)
	}
	slices.Sort(namespaces)
	for i, namespace := range namespaces {
		data, err := yaml.Marshal(policyReportOf(namespace, byNamespace[namespace], o))
		if err != nil {
			return fmt.Errorf("encoding the report on namespace %q: %w", namespace, err)
		}
		if i > 0 {
			data = append([]byte("---\n"), data...)
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

func policyReportOf(namespace string, r *Report, o Options) policyReport {
	p := policyReport{
		APIVersion: "wgpolicyk8s.io/v1alpha2",
		Kind:       "PolicyReport",
		Metadata: policyReportMetadata{
			Name:      "portcullis-check",
			Namespace: namespace,
			Labels:    map[string]string{"app.kubernetes.io/managed-by": "portcullis"},
		},
		Summary: policyReportSummary{
			Pass: r.Summary.Pass, Fail: r.Summary.Fail, Warn: r.Summary.Warn, Error: r.Summary.Error, Skip: r.Summary.Skip,
		},
	}
	for _, result := range r.Results {
		p.Results = append(p.Results, policyReportResultOf(result, o))
	}
	return p
}

func policyReportResultOf(r Result, o Options) policyReportResult {
	result := policyReportResult{
		Source:   "portcullis",
		Policy:   plain(r.Policy),
		Rule:     plain(ruleID(r)),
		Category: helpFor(ruleID(r)).category,
		Result:   r.Result,
		Severity: severity(r),
		Scored:   r.Result == Pass || r.Result == Fail,
		Message:  sentence(r),
	}
	if result.Policy == "" {
		result.Policy = "portcullis" // required
	}
	if r.Name != "" || r.Kind != "" {
		result.Resources = []policyReportObject{{APIVersion: apiVersion(r.Kind), Kind: plain(r.Kind), Namespace: plain(r.Namespace), Name: plain(r.Name)}}
	}
	if !o.Time.IsZero() {
		result.Timestamp = &policyReportTimestamp{Seconds: o.Time.Unix()}
	}
	if result.Message == "" && r.Result == Pass {
		result.Message = "nothing was found"
	}
	result.Properties = policyReportProperties(r)
	return result
}

func policyReportProperties(r Result) map[string]string {
	properties := map[string]string{"location": place(r)}
	if r.Value != nil {
		properties["value"] = value(r)
	}
	for name, text := range map[string]string{"container": r.Container, "field": r.Field, "fix": r.Fix, "mode": r.Mode} {
		if text != "" {
			properties[name] = plain(text)
		}
	}
	if a := r.AdmittedWhileDown; a != nil {
		properties["admittedWhileDown"] = plain(a.From + "/" + cmp.Or(a.Until, ".."))
	}
	if e := r.Exemption; e != nil {
		properties["exception"], properties["exceptionOwner"], properties["exceptionExpiresAt"] = plain(e.Exception), plain(e.Owner), plain(e.ExpiresAt)
		properties["exceptionReason"] = plain(e.Reason)
	}
	return properties
}

// severity uses the three values that every version of the CRD allows.
func severity(r Result) string {
	switch {
	case r.Result == Fail:
		return "high"
	case r.Result == Warn && r.Mode != "Audit":
		return "medium"
	case r.Result == Warn:
		return "low"
	}
	return ""
}

// apiVersion is that of a kind that carries a pod template, empty for others.
func apiVersion(kind string) string {
	switch kind {
	case "Pod", "PodTemplate", "ReplicationController":
		return "v1"
	case "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet":
		return "apps/v1"
	case "Job", "CronJob":
		return "batch/v1"
	}
	return ""
}
