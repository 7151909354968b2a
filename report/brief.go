package report

// Brief is a result in one line for where the object is known already: rule, what is
// wrong and what to write instead. Control characters are written as escapes.
func Brief(r Result) string {
	text := plain(ruleID(r)) + ": " + sentence(r)
	if r.Fix != "" {
		text += ". Fix: " + plain(r.Fix)
	}
	return text
}
