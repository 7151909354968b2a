package report

import (
	"errors"
	"testing"
)

func TestParseFormat(t *testing.T) {
	for _, want := range Formats() {
		if got, err := ParseFormat(string(want)); err != nil || got != want {
			t.Errorf("ParseFormat(%q): got %q, %v", want, got, err)
		}
	}
	const message = `output format "xml\x1b" is not known: use text, json, sarif, junit, github, policyreport or html`
	if _, err := ParseFormat("xml\x1b"); err == nil || err.Error() != message {
		t.Errorf("got error %v, want %s", err, message)
	}
	if err := Write(&failing{}, "xml\x1b", sample(), Options{}); err == nil || err.Error() != message {
		t.Errorf("got error %v, want %s", err, message)
	}
}

var errFull = errors.New("no space left on device")

// failing is a writer that takes some bytes and then no more.
type failing struct{ room int }

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.room {
		n := f.room
		f.room = 0
		return n, errFull
	}
	f.room -= len(p)
	return len(p), nil
}

// TestWriteErrors requires that no format loses the error of a full disk, which
// would leave half a report behind a green check.
func TestWriteErrors(t *testing.T) {
	for _, format := range Formats() {
		size := len(write(t, format, sample(), sampleOptions))
		for _, room := range []int{0, size / 2, size - 1} {
			if err := Write(&failing{room}, format, sample(), sampleOptions); !errors.Is(err, errFull) {
				t.Errorf("%s with room for %d of %d bytes: got error %v, want %v", format, room, size, err, errFull)
			}
		}
		if err := Write(&failing{size}, format, sample(), sampleOptions); err != nil {
			t.Errorf("%s with room for %d bytes: got error %v, want none", format, size, err)
		}
	}
}
