package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

const (
	progressAfter = time.Second            // work that is done by then needs no line
	progressEvery = 200 * time.Millisecond // between two updates
)

// progress keeps one line on a terminal up to date while something takes long.
// Its zero value, and one for what is no terminal, writes nothing.
type progress struct {
	w     io.Writer // nil: none
	total int
	done  int
	next  time.Time
	shown bool
}

func newProgress(w io.Writer, total int) *progress {
	if !isTerminal(w) {
		return &progress{}
	}
	return &progress{w: w, total: total, next: time.Now().Add(progressAfter)}
}

// step counts one more file that is done.
func (p *progress) step() {
	p.done++
	if p.w == nil || time.Now().Before(p.next) {
		return
	}
	p.next, p.shown = time.Now().Add(progressEvery), true
	fmt.Fprintf(p.w, "\r\x1b[Kportcullis: %d of %d files", p.done, p.total)
}

// end takes the line away.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// isTerminal reports whether somebody reads what is written to w as it comes.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
