package report

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/portcullis-dev/portcullis/engine"
)

// Exemption is the exception that covers a finding.
type Exemption struct {
	// Exception is its namespace and name: portcullis-system/exporter.
	Exception string `json:"exception"`
	// Owner answers for it, and Reason is why there is one, in the words of its
	// author.
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
	// ExpiresAt is when it ends for the policy of the finding, as in RFC 3339.
	ExpiresAt string `json:"expiresAt"`
}

// ExceptionUse is what an exception is good for among what was judged.
type ExceptionUse struct {
	Exemption
	// EndsIn is how long it lasts still if that is not long, such as "3 days". Empty:
	// it does not end soon.
	EndsIn string `json:"endsIn,omitempty"`
	// Objects are the workloads that it covers.
	Objects int `json:"objects"`
	// Needed are those of Objects that would have a finding, or a repair, that they
	// do not have by the exception. None: it is not needed.
	Needed int `json:"needed"`
}

// AddException takes in what an exception is good for, and adds the numbers of one
// that is known.
func (r *Report) AddException(use ExceptionUse) {
	for i := range r.Exceptions {
		if known := &r.Exceptions[i]; known.Exception == use.Exception {
			known.Objects += use.Objects
			known.Needed += use.Needed
			if use.ExpiresAt < known.ExpiresAt {
				known.ExpiresAt, known.EndsIn = use.ExpiresAt, use.EndsIn
			}
			return
		}
	}
	r.Exceptions = append(r.Exceptions, use)
	slices.SortFunc(r.Exceptions, func(a, b ExceptionUse) int { return cmp.Compare(a.Exception, b.Exception) })
}

// String is the use in one line, for people.
func (u ExceptionUse) String() string {
	text := fmt.Sprintf("%s of %s until %s", plain(u.Exception), plain(engine.Quote(u.Owner)), plain(u.ExpiresAt))
	if u.EndsIn != "" {
		text += ", which is in " + plain(u.EndsIn)
	}
	text += ": "
	switch {
	case u.Needed == 0 && u.Objects == 1:
		return text + "not needed by the one object that it covers"
	case u.Needed == 0:
		return text + fmt.Sprintf("not needed by any of the %d objects that it covers", u.Objects)
	}
	return text + fmt.Sprintf("needed by %d of %s that it covers", u.Needed, plural(u.Objects, "object"))
}

// exempt are the results that an exception covers.
func exempt(results []Result) []Result {
	var all []Result
	for _, r := range results {
		if r.Exemption != nil {
			all = append(all, r)
		}
	}
	return all
}
