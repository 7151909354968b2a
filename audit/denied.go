package audit

import (
	"time"

	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/report"
)

// SetDenied puts the requests that were refused beside what was scanned, those in
// namespaces that are gone left out.
func (s *Scan) SetDenied(counts []denials.Count) {
	there := map[string]bool{}
	for _, name := range s.Namespaces {
		there[name] = true
	}
	s.Denied = nil
	for _, c := range counts {
		if !there[c.Namespace] {
			continue
		}
		s.Denied = append(s.Denied, report.Denied{
			Namespace: c.Namespace, Kind: c.Kind, Name: c.Name, User: c.User, Policy: c.Policy, Rule: c.Rule, Check: c.Check,
			Count: c.Count, First: c.First.UTC().Format(time.RFC3339), Last: c.Last.UTC().Format(time.RFC3339),
		})
	}
}
