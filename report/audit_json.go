package report

import (
	"bufio"
	"io"
)

// writeAuditJSON writes the audit as one JSON object: that of a report,
// with more fields, as audit.schema.json describes. It is written element by element,
// since the text of all is several times as large as they are.
func writeAuditJSON(w io.Writer, a *Audit, _ Options) error {
	out := bufio.NewWriter(w)
	out.WriteString("{\n  \"results\": ")
	if err := writeList(out, a.sorted()); err != nil {
		return err
	}
	type field struct {
		name  string
		write func() error
	}
	fields := []field{
		{"changes", func() error { return writeList(out, a.Changes) }},
		{"exceptions", func() error { return writeList(out, a.Exceptions) }},
		{"namespaces", func() error { return writeList(out, a.Namespaces) }},
		{"readiness", func() error { return writeList(out, a.Readiness) }},
		{"denied", func() error { return writeList(out, a.Denied) }},
		{"images", func() error { return writeList(out, a.Images) }},
		{"unseen", func() error { return writeList(out, a.Unseen) }},
		{"pods", func() error { return writeValue(out, a.Pods, "  ") }},
		{"admittedWhileDown", func() error { return writeValue(out, a.AdmittedWhileDown, "  ") }},
		{"summary", func() error { return writeValue(out, a.Summary, "  ") }},
	}
	if len(a.Trend) > 0 {
		fields = append(fields, field{"trend", func() error { return writeList(out, a.Trend) }})
	}
	for _, f := range fields {
		out.WriteString(",\n  \"" + f.name + "\": ")
		if err := f.write(); err != nil {
			return err
		}
	}
	out.WriteString("\n}\n")
	return out.Flush()
}

// writeList writes a list, an empty one for none.
func writeList[T any](out *bufio.Writer, list []T) error {
	out.WriteString("[")
	separator := "\n    "
	for _, element := range list {
		out.WriteString(separator)
		if err := writeValue(out, element, "    "); err != nil {
			return err
		}
		separator = ",\n    "
	}
	if len(list) > 0 {
		out.WriteString("\n  ")
	}
	_, err := out.WriteString("]")
	return err
}
