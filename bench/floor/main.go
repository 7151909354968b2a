// Floor is the least that a validating webhook for the Pod Security Standards
// does: it decodes the review and the object with encoding/json, runs upstream's
// evaluator once and answers. What a real webhook costs beyond that is its own.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("floor", flag.ContinueOnError)
	flags.SetOutput(stderr)
	address := flags.String("address", "127.0.0.1:9443", "`host:port` to answer on")
	cert := flags.String("tls-cert-file", "tls.crt", "certificate `file`")
	key := flags.String("tls-private-key-file", "tls.key", "key `file`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fmt.Fprintf(stderr, "floor: building the evaluator: %v\n", err)
		return 1
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/validate", handler{evaluator, api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}})
	server := &http.Server{Addr: *address, Handler: mux}
	fmt.Fprintf(stderr, "floor: %v\n", server.ListenAndServeTLS(*cert, *key))
	return 1
}

type handler struct {
	evaluator policy.Evaluator
	level     api.LevelVersion
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	meta, spec, err := decode(review.Request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	if result := policy.AggregateCheckResults(h.evaluator.EvaluatePod(h.level, meta, spec)); !result.Allowed {
		response.Allowed = false
		response.Result = &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: result.ForbiddenDetail(),
		}
	}
	w.Header().Set("Content-Type", "application/json")
	// The client of a benchmark notices an answer that does not arrive.
	_ = json.NewEncoder(w).Encode(admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: response})
}

func decode(request *admissionv1.AdmissionRequest) (*metav1.ObjectMeta, *corev1.PodSpec, error) {
	if request.Kind.Kind == "Pod" {
		var p corev1.Pod
		err := json.Unmarshal(request.Object.Raw, &p)
		return &p.ObjectMeta, &p.Spec, err
	}
	var d appsv1.Deployment
	err := json.Unmarshal(request.Object.Raw, &d)
	return &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec, err
}
