package input

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/portcullis-dev/portcullis/pod"
)

// maxFile bounds one file, in bytes: etcd takes objects of 1.5 MiB, so that this
// is a List of many.
const maxFile = 16 << 20

// File is one source of documents, read into memory.
type File struct {
	// Name is the path as given plus what the walk added, "-" for standard input.
	Name string
	// Data is the whole text; nil where it cannot be read.
	Data []byte
	// Rendered is set for what a chart or a kustomization made: lines of Data are
	// lines of no file.
	Rendered bool
	// Outside is where a link in a folder leads to that is neither below a folder nor one
	// of the files that were named; empty for all other files.
	Outside string

	named     bool // by the user, not found in a folder
	namespace string
	problem   *Problem
}

// With is the file with another text.
func (f *File) With(data []byte) *File {
	other := *f
	other.Data = data
	return &other
}

// text is that of one document in a file.
type text struct {
	raw      []byte
	offset   int // in the file
	line     int // lines of the file before raw
	rendered bool
	json     bool // raw is JSON
	tree     tree
}

var bom = []byte("\xef\xbb\xbf")

// Documents yields the objects of a file in their order, and in the place of what
// cannot be judged a problem. Of the two that are yielded one is nil.
func (f *File) Documents() iter.Seq2[*Document, *Problem] {
	return func(yield func(*Document, *Problem) bool) {
		if f.problem != nil {
			yield(nil, f.problem)
			return
		}
		data, start := f.Data, 0
		if bytes.HasPrefix(data, bom) {
			data, start = data[len(bom):], len(bom)
		}
		if message := notText(data); message != "" {
			yield(nil, &Problem{Source: f.Name, Message: message})
			return
		}
		index := 0
		for _, p := range split(data) {
			for _, p := range splitJSON(p) {
				index++
				t := &text{raw: p.text, offset: start + p.offset, line: p.line, rendered: f.Rendered, json: p.json}
				r := &reader{file: f, index: index, text: t, yield: yield}
				if !r.document(p) {
					return
				}
			}
		}
	}
}

// document yields the objects of one document.
func (r *reader) document(p part) (more bool) {
	defer r.guard(&more)
	if p.stray {
		return r.give(nil, &Problem{
			Source: r.file.Name, Document: r.index, Line: r.text.lineOf(1),
			Message: "begins a document without --- before it, which no reader of Kubernetes sees; put --- there",
		})
	}
	data := p.text
	if !p.json {
		var err error
		if data, err = r.text.toJSON(); err != nil {
			problem := r.text.syntaxProblem(err)
			problem.Source, problem.Document = r.file.Name, r.index
			return r.give(nil, problem)
		}
	}
	return r.read(data, pod.Path{}, header{}, 0)
}

// notText says what is wrong with bytes that are no YAML in UTF-8, empty: nothing.
func notText(data []byte) string {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "is written in UTF-16; write it in UTF-8"
	case bytes.IndexByte(data, 0) >= 0:
		return "is not text: it has bytes of value 0"
	}
	return ""
}

// readFile reads a file of bounded size.
func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	defer file.Close()
	size := int64(0)
	if info, err := file.Stat(); err == nil {
		if info.IsDir() {
			return nil, errors.New("is a folder")
		}
		size = info.Size()
	}
	return readAll(file, size)
}

// readAll reads what has about size bytes.
func readAll(r io.Reader, size int64) ([]byte, error) {
	if size > maxFile {
		return nil, tooLarge()
	}
	var b bytes.Buffer
	b.Grow(int(size) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(r, maxFile+1)); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", reason(err))
	}
	if b.Len() > maxFile {
		return nil, tooLarge()
	}
	return b.Bytes(), nil
}

func tooLarge() error {
	return fmt.Errorf("is larger than %d MiB, the most that is read of one file; split it", maxFile>>20)
}

// reason drops the path from an error of package os; the problem has it already.
func reason(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
