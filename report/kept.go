package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portcullis-dev/portcullis/engine"
)

const (
	// MaxKept bounds a report object, in bytes of JSON. etcd takes requests of up to
	// 1.5 MiB, and whoever watches reports gets all of them.
	MaxKept = 512 << 10
	// maxKeptText bounds one text in it, in bytes.
	maxKeptText = 1 << 10
	// keptSlack is what the API server adds: managed fields, times.
	keptSlack = 16 << 10
)

// KeptAPI is a kind of report object. Those of OpenReports and of the Policy Report
// API have the same fields.
type KeptAPI struct {
	Group, Version string
	// Kind and Resource are those of the object of a namespace, ClusterKind and
	// ClusterResource those of the one of the cluster.
	Kind, Resource               string
	ClusterKind, ClusterResource string
}

// KeptAPIs are the kinds that can be written, the preferred one first.
// Sources: https://github.com/openreports/reports-api and
// https://github.com/kubernetes-sigs/wg-policy-prototypes/tree/master/policy-report
func KeptAPIs() []KeptAPI {
	return []KeptAPI{
		{"openreports.io", "v1alpha1", "Report", "reports", "ClusterReport", "clusterreports"},
		{"wgpolicyk8s.io", "v1alpha2", "PolicyReport", "policyreports", "ClusterPolicyReport", "clusterpolicyreports"},
	}
}

// KeptName is the name of each report object.
const KeptName = "portcullis"

// Kept is what a report object says.
type Kept struct {
	API KeptAPI
	// Namespace is empty for the report of the cluster.
	Namespace string
	Summary   Summary
	// Findings are the worst ones, Overflow how many more there are.
	Findings []KeptFinding
	Overflow int
}

// KeptFinding is a finding with its history.
type KeptFinding struct {
	Result
	// FirstSeen and LastSeen are the first and the last scan that had it.
	FirstSeen, LastSeen time.Time
}

// ID is the same for a finding as long as the object has it.
func (r *Result) ID() string {
	text := strings.Join([]string{r.Kind, r.Namespace, r.Name, r.Policy, r.Rule, r.Check, string(r.Result), r.Container, r.Field, engine.Quote(r.Value)}, "\x00")
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:12])
}

// Worst orders findings for a report that has not room for all: what denies before
// what warns, and what was not judged at last.
func Worst(a, b *Result) int {
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Policy, b.Policy), cmp.Compare(ruleID(*a), ruleID(*b)), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Container, b.Container),
	)
}

func rank(r *Result) int {
	switch {
	case r.Result == Fail:
		return 0
	case r.Result == Error:
		return 1
	case r.Result == Warn && r.Mode == "Warn":
		return 2
	case r.Result == Warn:
		return 3
	}
	return 4
}

// The properties of a finding in a report object.
const (
	keptID        = "id"
	keptFirstSeen = "first-seen"
	keptLastSeen  = "last-seen"
)

// Object is the report as the API server takes it, smaller than MaxKept: where the
// findings are too large they count as overflow, the last ones first.
func (k *Kept) Object() ([]byte, error) {
	results := make([]policyReportResult, len(k.Findings))
	sizes := 0
	fit := len(results)
	for i := range k.Findings {
		results[i] = k.Findings[i].kept()
		data, err := json.Marshal(results[i])
		if err != nil {
			return nil, fmt.Errorf("encoding a finding in namespace %q: %w", k.Namespace, err)
		}
		sizes += len(data) + len(",")
		if sizes > MaxKept-keptSlack && fit > i {
			fit = i
		}
	}
	object := keptObject{
		APIVersion: k.API.Group + "/" + k.API.Version, Kind: k.API.Kind,
		Metadata: keptMetadata{
			Name: KeptName, Namespace: k.Namespace,
			Labels:      map[string]string{"app.kubernetes.io/managed-by": "portcullis"},
			Annotations: map[string]string{"portcullis.dev/findings-left-out": strconv.Itoa(k.Overflow + len(results) - fit)},
		},
		Summary: policyReportSummary{Pass: k.Summary.Pass, Fail: k.Summary.Fail, Warn: k.Summary.Warn, Error: k.Summary.Error, Skip: k.Summary.Skip},
		Results: results[:fit],
	}
	if k.Namespace == "" {
		object.Kind = k.API.ClusterKind
	} else {
		object.Scope = &policyReportObject{APIVersion: "v1", Kind: "Namespace", Name: k.Namespace}
	}
	if k.API.Group == "openreports.io" {
		object.Source = "portcullis"
	}
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encoding the report on namespace %q: %w", k.Namespace, err)
	}
	return data, nil
}

type (
	keptObject struct {
		APIVersion string               `json:"apiVersion"`
		Kind       string               `json:"kind"`
		Metadata   keptMetadata         `json:"metadata"`
		Source     string               `json:"source,omitempty"`
		Scope      *policyReportObject  `json:"scope,omitempty"`
		Summary    policyReportSummary  `json:"summary"`
		Results    []policyReportResult `json:"results"`
	}
	keptMetadata struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace,omitempty"`
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	}
)

// kept is the finding as both APIs have it.
func (f *KeptFinding) kept() policyReportResult {
	p := policyReportResultOf(f.Result, Options{Time: f.FirstSeen})
	p.Message = short(p.Message)
	delete(p.Properties, "location") // it was in no file
	for name, text := range p.Properties {
		p.Properties[name] = short(text)
	}
	p.Properties[keptID] = f.ID()
	p.Properties[keptFirstSeen] = f.FirstSeen.UTC().Format(time.RFC3339)
	p.Properties[keptLastSeen] = f.LastSeen.UTC().Format(time.RFC3339)
	return p
}

func short(text string) string {
	if len(text) <= maxKeptText {
		return text
	}
	return strings.ToValidUTF8(text[:maxKeptText], "") + "..."
}

// ReadKept reads when the findings of a report object were first seen, by ID.
func ReadKept(object []byte) (map[string]time.Time, error) {
	var o struct {
		Results []struct {
			Properties map[string]string `json:"properties"`
		} `json:"results"`
	}
	if err := json.Unmarshal(object, &o); err != nil {
		return nil, fmt.Errorf("decoding a report: %w", err)
	}
	seen := make(map[string]time.Time, len(o.Results))
	for _, r := range o.Results {
		at, err := time.Parse(time.RFC3339, r.Properties[keptFirstSeen])
		if id := r.Properties[keptID]; err == nil && id != "" {
			seen[id] = at
		}
	}
	return seen, nil
}

// RuleCounts are results for the report of the cluster: one for each policy, rule
// and outcome, those that deny first.
func RuleCounts(results []Result) []Result {
	type key struct {
		policy, rule, check, mode string
		result                    Outcome
	}
	type count struct {
		findings            int
		objects, namespaces map[string]bool
	}
	counts := map[key]*count{}
	for _, r := range results {
		k := key{r.Policy, r.Rule, r.Check, r.Mode, r.Result}
		if strings.HasPrefix(r.Policy, "Namespace/") {
			k.policy = "namespace labels"
		}
		c := counts[k]
		if c == nil {
			c = &count{objects: map[string]bool{}, namespaces: map[string]bool{}}
			counts[k] = c
		}
		c.findings++
		c.namespaces[r.Namespace] = true
		c.objects[r.Namespace+"/"+r.Kind+"/"+r.Name] = true
	}
	var sums []Result
	for k, c := range counts {
		sums = append(sums, Result{
			Policy: k.policy, Rule: k.rule, Check: k.check, Mode: k.mode, Result: k.result,
			Message: fmt.Sprintf("%s in %s of %s", plural(c.findings, "finding"), plural(len(c.objects), "workload"), plural(len(c.namespaces), "namespace")),
		})
	}
	slices.SortFunc(sums, func(a, b Result) int { return Worst(&a, &b) })
	return sums
}
