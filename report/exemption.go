package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

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
	// ExpiresAt is when it ends for the policy of the finding, as in RFC 3339. Empty in
	// an audit: no policy in force lets it count.
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
	// DaysLeft is how many days after that of an audit the day of ExpiresAt is, by
	// UTC: 0 where it ends or has ended today, less where it has before. Nil outside of
	// audits.
	DaysLeft *int `json:"daysLeft,omitempty"`
	// Ended is set where it had ended at the time of an audit.
	Ended bool `json:"ended,omitempty"`
}

// SetDaysLeft sets DaysLeft and Ended by the time of an audit.
func (u *ExceptionUse) SetDaysLeft(now time.Time) {
	const day = 24 * time.Hour
	ends, err := time.Parse(time.RFC3339, u.ExpiresAt)
	if err != nil {
		return
	}
	left := int(ends.UTC().Truncate(day).Sub(now.UTC().Truncate(day)) / day)
	u.DaysLeft, u.Ended = &left, u.EndedBy(now)
}

// EndedBy reports whether the exception had ended by a time.
func (u ExceptionUse) EndedBy(now time.Time) bool {
	ends, err := time.Parse(time.RFC3339, u.ExpiresAt)
	return err == nil && !now.Before(ends)
}

// left says how long the exception has, empty where that is neither told in days nor
// short.
func (u ExceptionUse) left() string {
	switch {
	case u.DaysLeft == nil && u.EndsIn != "":
		return ", which is in " + plain(u.EndsIn)
	case u.DaysLeft == nil:
		return ""
	case u.Ended && *u.DaysLeft == 0:
		return " (ended today)"
	case u.Ended:
		return fmt.Sprintf(" (ended %s ago)", plural(-*u.DaysLeft, "day"))
	case *u.DaysLeft == 0:
		return " (ends today)"
	}
	return fmt.Sprintf(" (%s left)", plural(*u.DaysLeft, "day"))
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
	if u.DaysLeft != nil || u.ExpiresAt == "" {
		return u.use() + "; reason: " + plain(engine.Quote(u.Reason))
	}
	return u.use()
}

func (u ExceptionUse) use() string {
	if u.ExpiresAt == "" {
		return fmt.Sprintf("%s of %s: counts for no policy in force", plain(u.Exception), plain(engine.Quote(u.Owner)))
	}
	text := fmt.Sprintf("%s of %s until %s%s: ", plain(u.Exception), plain(engine.Quote(u.Owner)), plain(u.ExpiresAt), u.left())
	switch {
	case u.Objects == 0:
		return text + "covers nothing"
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

// ExceptionsRule is the Rule of results about exceptions themselves.
const ExceptionsRule = "exceptions"

// Result is the use as a report object has it: needed by what it covers, or a
// warning that it can go.
func (u ExceptionUse) Result(now time.Time) Result {
	u.SetDaysLeft(now)
	r := Result{Policy: plain(u.Exception), Rule: ExceptionsRule, Check: "needed", Mode: "Audit", Result: Pass, Message: u.String()}
	switch {
	case u.ExpiresAt == "":
		r.Check, r.Result, r.Fix = "ineffective", Warn, "remove it, or name policies that are in force and allow exceptions"
	case u.Ended:
		r.Check, r.Result, r.Fix = "ended", Warn, "remove it"
	case u.Needed == 0:
		r.Check, r.Result, r.Fix = "notNeeded", Warn, "remove it"
	}
	e := u.Exemption
	r.Exemption = &e
	return r
}
