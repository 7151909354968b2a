package audit

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/portcullis-dev/portcullis/image"
)

// fingerprint is the same for facts from which the same follows: the contents
// behind a digest never change. Why an answer is missing counts, since it is in
// the findings.
func fingerprint(facts image.Facts) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		fact := facts[name]
		b.WriteString(name + "\x00" + fact.Digest + "\x00")
		if fact.Err != nil {
			reason := fact.Err.Error()
			if failure := (*image.Error)(nil); errors.As(fact.Err, &failure) {
				reason = string(failure.Reason)
			}
			b.WriteString(reason)
		}
		b.WriteString("\x00")
	}
	return b.String()
}
