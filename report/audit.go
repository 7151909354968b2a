package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Audit is what a scan of a cluster found: a Report with what only a cluster has.
type Audit struct {
	Report
	// Pods are those that the workloads stand for.
	Pods int `json:"pods"`
	// AdmittedWhileDown are the workloads that were created while the webhook was away,
	// and would have been refused.
	AdmittedWhileDown int `json:"admittedWhileDown"`
	// Namespaces are by name, those without a workload left out.
	Namespaces []NamespaceCounts `json:"namespaces"`
	// Readiness is by namespace, level and version.
	Readiness []Readiness `json:"readiness"`
	// Changes are what mutators would write into workloads.
	Changes []Change `json:"changes"`
	// Denied are requests that were refused, those seen last first.
	Denied []Denied `json:"denied"`
	// Images are those about which registries have news since they were pinned.
	Images []PinnedImage `json:"images"`
	// Trend are the figures of former scans and of this one, by time; empty: they are
	// not known.
	Trend []Figures `json:"trend,omitempty"`
	// Unseen is what could not be listed or read: with any, the audit is not of the
	// whole cluster.
	Unseen []string `json:"unseen"`
}

// NamespaceCounts are the workloads of a namespace by what would become of them if
// they were created now.
type NamespaceCounts struct {
	Namespace string `json:"namespace"`
	Workloads int    `json:"workloads"`
	Pods      int    `json:"pods"`
	// Denied would be refused; Warned would not, and has a finding; Skipped has
	// something that could not be judged, and is in none of the two.
	Denied  int `json:"denied"`
	Warned  int `json:"warned"`
	Skipped int `json:"skipped"`
	// Mutated would be changed, whatever else becomes of it.
	Mutated int `json:"mutated"`
	// Unmatched are those that no policy is for.
	Unmatched int `json:"unmatched"`
}

// Readiness says whether a namespace could enforce a Pod Security level.
type Readiness struct {
	Namespace string `json:"namespace"`
	// Level and Version are those of the label: restricted, v1.36.
	Level   string `json:"level"`
	Version string `json:"version"`
	// Workloads are all of the namespace, Blocked those that the level refuses.
	Workloads int `json:"workloads"`
	Blocked   int `json:"blocked"`
	// Repairable are those of Blocked that mutate.hardening makes pass.
	Repairable int `json:"repairable"`
	// Blockers are the checks that fail, those of most workloads first.
	Blockers []Blocker `json:"blockers"`
}

// Blocker is a check that workloads do not pass.
type Blocker struct {
	Check     string `json:"check"`
	Workloads int    `json:"workloads"`
	// Repairable are those of Workloads that mutate.hardening makes pass this check.
	Repairable int `json:"repairable"`
}

// Ready reports whether the level would refuse nothing.
func (r Readiness) Ready() bool { return r.Blocked == 0 }

// Change is the edit of one field of a workload by a mutator.
type Change struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Policy    string `json:"policy"`
	Rule      string `json:"rule"`
	// Mode is Enforce for what would be written, Warn or Audit for what would be if
	// the policy enforced its mutator.
	Mode      string `json:"mode"`
	Container string `json:"container"`
	Field     string `json:"field"`
	// Old is absent where the field is not set, New where it is taken away.
	Old any `json:"old,omitempty"`
	New any `json:"new,omitempty"`
	// Evidence is what the value derives from.
	Evidence string `json:"evidence"`
}

// auditFormats is never changed.
var auditFormats = []struct {
	name  Format
	write func(w io.Writer, a *Audit, o Options) error
}{
	{"text", writeAuditText},
	{"json", writeAuditJSON},
	{"html", writeAuditHTML},
}

// AuditFormats are the names that ParseAuditFormat accepts.
func AuditFormats() []Format {
	names := make([]Format, 0, len(auditFormats))
	for _, f := range auditFormats {
		names = append(names, f.name)
	}
	return names
}

// ParseAuditFormat returns the format of that name, of those that can show an Audit.
func ParseAuditFormat(name string) (Format, error) {
	for _, f := range auditFormats {
		if string(f.name) == name {
			return f.name, nil
		}
	}
	var names []string
	for _, f := range auditFormats {
		names = append(names, string(f.name))
	}
	return "", fmt.Errorf("output format %q is not known: use %s", name, strings.Join(names, ", "))
}

// WriteAudit writes the audit.
func WriteAudit(w io.Writer, format Format, a *Audit, o Options) error {
	for _, f := range auditFormats {
		if f.name != format {
			continue
		}
		if err := f.write(w, a, o); err != nil {
			return fmt.Errorf("writing the audit as %s: %w", format, err)
		}
		return nil
	}
	_, err := ParseAuditFormat(string(format))
	return err
}

// SortBlockers orders blockers, those of most workloads first.
func SortBlockers(blockers []Blocker) {
	slices.SortFunc(blockers, func(a, b Blocker) int {
		return cmp.Or(cmp.Compare(b.Workloads, a.Workloads), cmp.Compare(a.Check, b.Check))
	})
}

// column is one level and version of the readiness matrix.
type column struct{ level, version string }

func (c column) String() string { return c.level + ":" + c.version }

// columns are the different ones, in the order in which they come up.
func columns(cells []Readiness) []column {
	var all []column
	for _, cell := range cells {
		if c := (column{cell.Level, cell.Version}); !slices.Contains(all, c) {
			all = append(all, c)
		}
	}
	return all
}

// remarks are what the numbers of an audit do not cover.
func (a *Audit) remarks() []string {
	var lines []string
	if a.Summary.Unmatched > 0 {
		lines = append(lines, fmt.Sprintf("%s matched by no policy", plural(a.Summary.Unmatched, "workload")))
	}
	if a.AdmittedWhileDown > 0 {
		lines = append(lines, fmt.Sprintf("%s admitted while the webhook was away", plural(a.AdmittedWhileDown, "workload")))
	}
	for _, what := range a.Unseen {
		lines = append(lines, "not seen: "+plain(what))
	}
	return lines
}

// verdict says in one sentence what an audit comes to.
func (a *Audit) verdict() string {
	refused := 0
	for _, n := range a.Namespaces {
		refused += n.Denied
	}
	text := ""
	switch {
	case refused > 0:
		text = fmt.Sprintf("%s of %d would be refused", plural(refused, "workload"), a.Summary.Objects)
	case a.Summary.Objects == 0:
		text = "no workload was found"
	case a.Summary.Unmatched == a.Summary.Objects:
		text = "no policy matches any workload, so nothing was judged"
	case a.Summary.Skip > 0 || a.Summary.Unmatched > 0:
		text = "nothing would be refused among what was judged"
	default:
		text = "nothing would be refused"
	}
	if len(a.Unseen) > 0 {
		text += ", as far as the cluster could be seen"
	}
	return text
}

func (a *Audit) tone() string {
	if len(a.Unseen) > 0 {
		return "fail"
	}
	return pageTone(a.Summary)
}
