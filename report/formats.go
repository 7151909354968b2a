package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Format is the name of a way to write a Report.
type Format string

// Options are what a format may need to know beside the report.
type Options struct {
	// Color has the text format use ANSI colours; off by default.
	Color bool
	// Version is that of the tool, as `portcullis version` prints it; empty: unknown.
	Version string
	// Time is when the report was made; zero leaves it out, so that equal input
	// gives equal bytes.
	Time time.Time
}

// formats are all formats, in the order in which they are listed to users. It is
// never changed.
var formats = []struct {
	name  Format
	write func(w io.Writer, r *Report, o Options) error
}{
	{"text", writeText},
	{"json", writeJSON},
	{"sarif", writeSARIF},
	{"junit", writeJUnit},
	{"github", writeGitHub},
	{"policyreport", writePolicyReport},
	{"html", writeHTML},
}

// Formats are the names that ParseFormat accepts.
func Formats() []Format {
	names := make([]Format, 0, len(formats))
	for _, f := range formats {
		names = append(names, f.name)
	}
	return names
}

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, error) {
	for _, f := range formats {
		if string(f.name) == name {
			return f.name, nil
		}
	}
	return "", fmt.Errorf("output format %q is not known: use %s", name, alternatives())
}

func alternatives() string {
	var names []string
	for _, f := range formats {
		names = append(names, string(f.name))
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// Write writes the report. The order of its results depends on what they are
// about and not on the order in which objects were judged.
func Write(w io.Writer, format Format, r *Report, o Options) error {
	for _, f := range formats {
		if f.name == format {
			if err := f.write(w, r, o); err != nil {
				return fmt.Errorf("writing the report as %s: %w", format, err)
			}
			return nil
		}
	}
	_, err := ParseFormat(string(format))
	return err
}
