package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"

	"github.com/portcullis-dev/portcullis/engine"
	"github.com/portcullis-dev/portcullis/policies"
	"github.com/portcullis-dev/portcullis/report"
)

// baselineKind is the kind of a file of known findings.
const baselineKind = "Baseline"

// baseline is what was wrong when somebody decided to let it be for now: only
// what is new fails. A finding is known by what it is about and not by its line,
// so that a file can be edited without all its findings being new.
type baseline struct {
	known map[knownFinding]int
}

// knownFinding is what makes two findings the same: the object, the rule, the
// container, the field without indices of lists, and the value.
type knownFinding struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Policy    string `json:"policy"`
	Rule      string `json:"rule"`
	Check     string `json:"check,omitempty"`
	Container string `json:"container,omitempty"`
	Field     string `json:"field"`
	Value     string `json:"value,omitempty"` // as JSON, at most 200 bytes of it
}

// baselineFile is the file, in a form that reads well in a review.
type baselineFile struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Findings   []baselineEntry `json:"findings"`
}

type baselineEntry struct {
	knownFinding
	// Count is how often the object has it; 1 where it is left out.
	Count int `json:"count,omitempty"`
}

var indices = regexp.MustCompile(`\[[0-9]+\]`)

func knownBy(r report.Result) knownFinding {
	known := knownFinding{
		Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Policy: r.Policy, Rule: r.Rule, Check: r.Check,
		Container: r.Container, Field: indices.ReplaceAllString(r.Field, "[]"),
	}
	if r.Value != nil {
		known.Value = engine.Quote(r.Value)
	}
	return known
}

// readBaseline reads a file that write wrote.
func readBaseline(path string) (*baseline, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading --baseline: %w; make it with --write-baseline", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading --baseline: %w", err)
	}
	var file baselineFile
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("reading --baseline %q: %w", path, err)
	}
	if want := policies.GroupVersion().String(); file.APIVersion != want || file.Kind != baselineKind {
		return nil, fmt.Errorf("reading --baseline %q: it has apiVersion %q, kind %q, want %s, %s", path, file.APIVersion, file.Kind, want, baselineKind)
	}
	b := &baseline{known: map[knownFinding]int{}}
	for _, entry := range file.Findings {
		b.known[entry.knownFinding] += max(1, entry.Count)
	}
	return b, nil
}

// has reports whether the baseline has a finding, and takes it out: a second
// one like it is new.
func (b *baseline) has(r report.Result) bool {
	if b == nil {
		return false
	}
	known := knownBy(r)
	if b.known[known] == 0 {
		return false
	}
	b.known[known]--
	return true
}

// writeBaseline writes what is wrong now, sorted, as a whole or not at all.
func writeBaseline(path string, results []report.Result) error {
	counts := map[knownFinding]int{}
	for _, r := range results {
		if r.Result == report.Fail || r.Result == report.Warn {
			counts[knownBy(r)]++
		}
	}
	file := baselineFile{APIVersion: policies.GroupVersion().String(), Kind: baselineKind, Findings: []baselineEntry{}}
	for known, count := range counts {
		entry := baselineEntry{knownFinding: known}
		if count > 1 {
			entry.Count = count
		}
		file.Findings = append(file.Findings, entry)
	}
	slices.SortFunc(file.Findings, func(a, b baselineEntry) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Check, b.Check),
			cmp.Compare(a.Container, b.Container), cmp.Compare(a.Field, b.Field), cmp.Compare(a.Value, b.Value),
		)
	})
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return fmt.Errorf("writing --baseline: %w", err)
	}
	if err := replaceFile(path, append(data, '\n')); err != nil {
		return fmt.Errorf("writing --baseline: %w", err)
	}
	return nil
}
