package report

import (
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	got := write(t, "text", sample(), sampleOptions)
	if strings.Contains(string(got), "\x1b") {
		t.Error("got an escape sequence without Options.Color")
	}
	golden(t, "text.txt", got)
}

func TestTextColor(t *testing.T) {
	options := sampleOptions
	options.Color = true
	golden(t, "text-color.txt", write(t, "text", sample(), options))
}

func TestTextOfNothing(t *testing.T) {
	got := string(write(t, "text", &Report{}, Options{}))
	const want = "0 objects in 0 files: 0 failures, 0 warnings, 0 errors, 0 passed, 0 skipped\nno object was judged\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
