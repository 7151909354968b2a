package policies

import (
	"encoding/json"
	"strconv"
	"strings"
)

// longestKey is how long the key of an object may be, in bytes, before it is cut. YAML reads no key of more than 1,024 characters (YAML 1.2.2,
// 7.4.2), and no field here has a name near that. The API server makes such keys all the same: in metadata.managedFields each entry of a list of
// type set is one.
const (
	longestKey = 1000
	shortKey   = 150 // of six bytes each where JSON escapes them
)

// yamlOfJSON is valid JSON as YAML can read it, on the same lines.
func yamlOfJSON(text string) string {
	text = strings.ReplaceAll(text, "\t", " ") // in valid JSON tabs are always white space
	var b strings.Builder
	copied, cut := 0, 0
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		start := i
		for i++; text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		end, longest := i+1, 0
		if end-start > longestKey && strings.HasPrefix(strings.TrimLeft(text[end:], " \r\n"), ":") {
			longest = shortKey
			cut++
		}
		if longest > 0 || hasSurrogates(text[start:end]) {
			b.WriteString(text[copied:start])
			b.WriteString(rewritten(text[start:end], longest, cut))
			copied = end
		}
	}
	return b.String() + text[copied:]
}

// hasSurrogates finds what may be a character in two escapes, such as \ud83d\ude80, which JSON has and YAML does not.
func hasSurrogates(text string) bool {
	return strings.Contains(text, `\ud`) || strings.Contains(text, `\uD`)
}

// rewritten is a string of JSON with the escapes that YAML has too, and of a longest above 0 only so much of its beginning. The number keeps
// strings apart that begin alike.
func rewritten(text string, longest, number int) string {
	var value string
	if json.Unmarshal([]byte(text), &value) != nil {
		return text // which is valid JSON
	}
	if longest > 0 && len(value) > longest { // else it is long by its escapes alone
		value = strings.ToValidUTF8(value[:min(len(value), longest)], "") + "... (" + strconv.Itoa(number) + ")"
	}
	written, err := json.Marshal(value)
	if err != nil {
		return text // any string can be written
	}
	return string(written)
}
