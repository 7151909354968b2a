package report

import (
	"fmt"
	"time"
)

// pageException is what an exception is good for, and how long it lasts.
type pageException struct {
	Name, Owner, Reason  string
	Ends, Left, LeftTone string
	Covers, Needed       string
}

// endsSoon is when the end of an exception is worth a colour: that of a warning of
// kubectl, by default.
const endsSoon = 7 * 24 * time.Hour

// pageExceptionOf tells the days that are left by a time, unless that is zero.
func pageExceptionOf(u ExceptionUse, now time.Time) pageException {
	e := pageException{
		Name: plain(u.Exception), Owner: plain(u.Owner), Reason: plain(u.Reason), Ends: plain(u.ExpiresAt),
		Covers: plural(u.Objects, "object"), Needed: fmt.Sprintf("by %d of them", u.Needed),
	}
	switch {
	case u.ExpiresAt == "":
		e.Ends, e.Needed = "counts for no policy in force", "not needed"
	case u.Needed == 0:
		e.Needed = "not needed"
	}
	ends, err := time.Parse(time.RFC3339, u.ExpiresAt)
	if err != nil {
		return e
	}
	e.Ends = ends.UTC().Format("2 Jan 2006, 15:04 UTC")
	if now.IsZero() {
		return e
	}
	left := ends.Sub(now)
	switch {
	case left <= 0:
		e.Left, e.LeftTone = "ended", "fail"
	case left < 24*time.Hour:
		e.Left, e.LeftTone = "less than a day left", "fail"
	default:
		u.SetDaysLeft(now) // by the calendar, as everywhere
		e.Left = plural(*u.DaysLeft, "day") + " left"
		if left < endsSoon {
			e.LeftTone = "warn"
		}
	}
	return e
}
