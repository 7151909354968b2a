package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
)

// writeJSON writes the report as one JSON object, which report.schema.json
// describes. It writes result by result: the text of all of them is several
// times as large as they are.
func writeJSON(w io.Writer, r *Report, _ Options) error {
	out := bufio.NewWriter(w)
	out.WriteString("{\n  \"results\": [")
	separator := "\n    "
	for _, result := range r.sorted() {
		out.WriteString(separator)
		if err := writeValue(out, result, "    "); err != nil {
			return err
		}
		separator = ",\n    "
	}
	if len(r.Results) > 0 {
		out.WriteString("\n  ")
	}
	out.WriteString("],\n  ")
	if len(r.Exceptions) > 0 {
		out.WriteString("\"exceptions\": ")
		if err := writeValue(out, r.Exceptions, "  "); err != nil {
			return err
		}
		out.WriteString(",\n  ")
	}
	out.WriteString("\"summary\": ")
	if err := writeValue(out, r.Summary, "  "); err != nil {
		return err
	}
	out.WriteString("\n}\n")
	return out.Flush()
}

// writeValue writes a value whose lines after the first are indented by prefix.
// The writer keeps its first error for Flush.
func writeValue(out *bufio.Writer, value any, prefix string) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(prefix, "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	out.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n")))
	return nil
}
