package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/image"
	"github.com/portcullis-dev/portcullis/input"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// policyTestKind is the kind of a file of tests.
const policyTestKind = "PolicyTest"

// policyTest states what policies say about objects, for those who keep policies
// in Git. Paths are relative to the file.
type policyTest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	// Policies are files or folders of PodPolicies and PolicyExceptions; Preset is the
	// name of a policy that is built in. One of the two is given.
	Policies []string `json:"policies"`
	Preset   string   `json:"preset"`
	// Now is the time by which exceptions have ended. Default: that of the clock.
	Now metav1.Time `json:"now"`
	// ExceptionNamespaces are those that exceptions count in. Default:
	// portcullis-system.
	ExceptionNamespaces []string `json:"exceptionNamespaces"`
	// Namespaces are labels by the name of the namespace.
	Namespaces map[string]map[string]string `json:"namespaces"`
	// Images are what registries would answer, by reference as written. An image
	// that is not listed is one that no registry was asked about.
	Images map[string]testedImage `json:"images"`
	Cases  []testCase             `json:"cases"`
}

type testedImage struct {
	// Digest is what the tag stands for.
	Digest string `json:"digest"`
	// User is the USER of the image, and UID the number that it stands for.
	User string `json:"user"`
	UID  int64  `json:"uid"`
}

type testCase struct {
	Name string `json:"name"`
	// Object is a file with one workload, or the workload itself.
	Object json.RawMessage `json:"object"`
	// Namespace is that of an object that names none. Default: default.
	Namespace string `json:"namespace"`
	Expect    struct {
		// Result is pass, fail, warn, skip or exempt: the worst of the object's results,
		// in the order fail, skip, warn, exempt, pass. It is unmatched where no policy is
		// for the object.
		Result string `json:"result"`
		// Findings are all that are expected; left out, they do not matter.
		Findings []expectedFinding `json:"findings"`
	} `json:"expect"`
}

// expectedFinding is a finding by the fields that are set.
type expectedFinding struct {
	Policy    string `json:"policy,omitempty"`
	Rule      string `json:"rule,omitempty"`
	Check     string `json:"check,omitempty"`
	Result    string `json:"result,omitempty"`
	Container string `json:"container,omitempty"`
	Field     string `json:"field,omitempty"`
}

// The results that a report.Outcome has no word for.
const (
	unmatchedResult = "unmatched"
	exemptResult    = "exempt"
)

// outcomes are the values of expect.result, the worst first. It is never changed.
var outcomes = []string{string(report.Fail), string(report.Skip), string(report.Warn), exemptResult, string(report.Pass), unmatchedResult}

// loadPolicyTest reads a test from one document of a file.
func loadPolicyTest(data []byte) (*policyTest, error) {
	var t policyTest
	if err := yaml.UnmarshalStrict(data, &t); err != nil {
		return nil, err
	}
	var errs []error
	switch {
	case len(t.Policies) == 0 && t.Preset == "":
		errs = append(errs, errors.New("give either policies, as a list of files, or preset"))
	case len(t.Policies) > 0 && t.Preset != "":
		errs = append(errs, fmt.Errorf("preset: %q is given beside policies; leave one of the two out", t.Preset))
	}
	if len(t.Cases) == 0 {
		errs = append(errs, errors.New("cases is empty, so that nothing is tested; write objects and what is expected of them"))
	}
	names := map[string]bool{}
	for i, c := range t.Cases {
		switch {
		case c.Name == "":
			errs = append(errs, fmt.Errorf("cases[%d].name is not set; say what the case is about", i))
		case names[c.Name]:
			errs = append(errs, fmt.Errorf("cases[%d].name: %q is the name of another case too", i, c.Name))
		}
		names[c.Name] = true
		if len(c.Object) == 0 {
			errs = append(errs, fmt.Errorf("cases[%d].object is not set; name a file, or write the object", i))
		}
		if !slices.Contains(outcomes, c.Expect.Result) {
			errs = append(errs, fmt.Errorf("cases[%d].expect.result: %q is no result; use %s", i, c.Expect.Result, strings.Join(outcomes, ", ")))
		}
	}
	return &t, errors.Join(errs...)
}

// judge is what the test's policies judge with.
func (t *policyTest) judge(folder string) (*judge, error) {
	var by rules
	now := t.Now.Time
	if now.IsZero() {
		now = time.Now()
	}
	if t.Preset != "" {
		preset, err := policies.Preset(t.Preset)
		if err != nil {
			return nil, fmt.Errorf("reading preset: %w", err)
		}
		by.policies = append(by.policies, preset)
	} else {
		paths := make([]string, len(t.Policies))
		for i, path := range t.Policies {
			paths[i] = relative(folder, path)
		}
		var err error
		terms := policies.ExceptionTerms{Namespaces: t.ExceptionNamespaces, Now: now, Ended: true}
		if by.policies, by.exceptions, err = policies.LoadAll(terms, paths...); err != nil {
			return nil, err
		}
	}
	set, err := by.compile()
	if err != nil {
		return nil, err
	}
	core, err := engine.New()
	if err != nil {
		return nil, err
	}
	j := &judge{engine: core, policies: set, list: by.policies, namespaces: t.Namespaces, now: now}
	if len(t.Images) > 0 {
		j.images = testedImages(t.Images)
	}
	return j, nil
}

func relative(folder, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}

// testedImages answers from the test.
type testedImages map[string]testedImage

// Gather knows the images of the test, and of others nothing.
func (t testedImages) Gather(_ context.Context, needs []image.Need, _ image.Credentials) image.Facts {
	facts := image.Facts{}
	for _, n := range needs {
		if known, ok := t.find(n.Image); ok {
			facts[n.Image] = image.Fact{Image: n.Image, Digest: known.Digest, Platforms: []image.Platform{
				{OS: "linux", Architecture: "amd64", User: known.User, UID: known.UID},
			}}
		}
	}
	return facts
}

// find is the image of a reference, which a mutator may have given its digest.
func (t testedImages) find(reference string) (testedImage, bool) {
	if known, ok := t[reference]; ok {
		return known, true
	}
	tag, digest, pinned := strings.Cut(reference, "@")
	known, ok := t[tag]
	return known, ok && pinned && known.Digest == digest
}

// run judges the object of a case. The text is what differs from what is
// expected, empty: nothing.
func (c *testCase) run(ctx context.Context, j *judge, folder string) (difference string, err error) {
	d, err := c.document(ctx, folder)
	if err != nil {
		return "", err
	}
	decision := j.judge(ctx, j.review(d))
	decision.offline = true // an image that the test does not list was not asked about
	var results []report.Result
	got := len(outcomes) - 1
	for _, r := range resultsOf(d, decision) {
		got = min(got, slices.Index(outcomes, testedOutcome(r)))
		if r.Result != report.Pass {
			results = append(results, r)
		}
	}
	var differences []string
	if outcomes[got] != c.Expect.Result {
		differences = append(differences, fmt.Sprintf("got result %s, want %s", outcomes[got], c.Expect.Result))
	}
	if c.Expect.Findings != nil {
		differences = append(differences, compareFindings(c.Expect.Findings, results)...)
	}
	if len(differences) > 0 {
		for _, r := range results {
			differences = append(differences, "got "+findingText(r))
		}
	}
	return strings.Join(differences, "\n"), nil
}

// testedOutcome is the word for what became of a result.
func testedOutcome(r report.Result) string {
	if r.Exemption != nil {
		return exemptResult
	}
	return string(r.Result)
}

// document is the object of a case.
func (c *testCase) document(ctx context.Context, folder string) (*input.Document, error) {
	options := input.Options{Namespace: c.Namespace, Paths: []string{input.Stdin}, Stdin: strings.NewReader(string(c.Object))}
	var path string
	if json.Unmarshal(c.Object, &path) == nil {
		options.Paths = []string{relative(folder, path)}
	}
	var found []*input.Document
	in := input.Open(ctx, options)
	for i := range in.Len() {
		for d, p := range in.File(i).Documents() {
			if p != nil {
				return nil, fmt.Errorf("reading the object: %w", p)
			}
			if d.Workload == nil {
				continue
			}
			if shape := shapeOf(d); shape.problem != nil {
				return nil, fmt.Errorf("reading the object: %w", shape.problem)
			}
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case path != "":
		return nil, fmt.Errorf("reading the object %q: got %d workloads, want one", path, len(found))
	}
	return nil, fmt.Errorf("reading the object: got %d workloads, want one", len(found))
}

// compareFindings pairs what is expected with what there is.
func compareFindings(want []expectedFinding, got []report.Result) []string {
	var differences []string
	left := slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(left, w.is)
		if i < 0 {
			text, _ := json.Marshal(w) // strings alone
			differences = append(differences, "want a finding "+string(text)+", and there is none")
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, r := range left {
		differences = append(differences, "not expected: "+findingText(r))
	}
	return differences
}

func (w expectedFinding) is(r report.Result) bool {
	same := func(want, got string) bool { return want == "" || want == got }
	return same(w.Policy, r.Policy) && same(w.Rule, r.Rule) && same(w.Check, r.Check) &&
		same(w.Result, testedOutcome(r)) && same(w.Container, r.Container) && same(w.Field, r.Field)
}

func findingText(r report.Result) string {
	return fmt.Sprintf("%s of %s/%s (%s) at %s", testedOutcome(r), r.Rule, r.Check, r.Policy, r.Field)
}
