//go:build kind

package kind

import (
	"bytes"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// admissionCounts is what the API server counts of our webhooks. A client cannot see
// all of it: a repair that was passed over looks like one that was not needed.
//
// https://kubernetes.io/docs/reference/instrumentation/metrics/
type admissionCounts struct {
	// PassedOver are requests that went on although the webhook did not answer.
	PassedOver int
	// Unanswered are requests that were refused because it did not.
	Unanswered int
	// Refused are requests that the webhook itself refused.
	Refused int
	// Conditions are match conditions that could not be evaluated.
	Conditions int
}

func (a admissionCounts) minus(b admissionCounts) admissionCounts {
	return admissionCounts{a.PassedOver - b.PassedOver, a.Unanswered - b.Unanswered, a.Refused - b.Refused, a.Conditions - b.Conditions}
}

// admissionCounts reads the metrics of the API server, of which there is one.
func (c *cluster) admissionCounts(t testing.TB) admissionCounts {
	t.Helper()
	text, err := c.clientset.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatalf("reading the metrics of the API server: %v", err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("reading the metrics of the API server: %v", err)
	}
	ours := func(labels map[string]string) bool { return strings.HasSuffix(labels["name"], ".portcullis.dev") }
	unanswered := func(labels map[string]string) bool { return ours(labels) && labels["error_type"] != "no_error" }
	refused := func(labels map[string]string) bool { return ours(labels) && labels["error_type"] == "no_error" }
	return admissionCounts{
		PassedOver: sum(families["apiserver_admission_webhook_fail_open_count"], ours),
		Unanswered: sum(families["apiserver_admission_webhook_rejection_count"], unanswered),
		Refused:    sum(families["apiserver_admission_webhook_rejection_count"], refused),
		Conditions: sum(families["apiserver_admission_match_condition_evaluation_errors_total"], func(map[string]string) bool { return true }),
	}
}

// sum adds up the counters of a family whose labels are wanted. The API server has no
// family of which it has counted nothing.
func sum(family *dto.MetricFamily, wanted func(map[string]string) bool) int {
	total := 0
	for _, metric := range family.GetMetric() {
		labels := map[string]string{}
		for _, pair := range metric.GetLabel() {
			labels[pair.GetName()] = pair.GetValue()
		}
		if wanted(labels) {
			total += int(metric.GetCounter().GetValue())
		}
	}
	return total
}
