package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/portcullis-dev/portcullis/engine"
)

// delivery is where repaired files go, one after the other.
type delivery interface {
	deliver(f *repaired) error
}

// stream writes all documents as one.
type stream struct {
	out  *bufio.Writer
	last []byte // the text before
}

func (s *stream) deliver(f *repaired) error {
	if f.foreign {
		return nil // something else that lies in the folder
	}
	text := f.text
	if s.last != nil {
		text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		if !bytes.HasSuffix(s.last, []byte("\n")) {
			s.out.WriteByte('\n')
		}
		if !bytes.HasPrefix(text, []byte("---")) && !(looksLikeJSON(s.last) && looksLikeJSON(text)) {
			s.out.WriteString("---\n")
		}
	}
	if len(text) > 0 {
		s.last = text
	}
	_, err := s.out.Write(text)
	return err
}

// looksLikeJSON reports whether values follow each other without a marker.
func looksLikeJSON(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{' && text[len(text)-1] == '}'
}

// diffs writes what would change.
type diffs struct{ out io.Writer }

func (d diffs) deliver(f *repaired) error {
	_, err := io.WriteString(d.out, unifiedDiff(f.file.Name, f.file.Data, f.text))
	return err
}

// writeBack writes files in place.
type writeBack struct{}

func (writeBack) deliver(f *repaired) error {
	if bytes.Equal(f.file.Data, f.text) {
		return nil
	}
	if f.file.Outside != "" {
		return fmt.Errorf("it is a link out of the folders that were named, to %s; name that file to have it written", engine.Quote(f.file.Outside))
	}
	if _, err := writable(f.file.Name); err != nil {
		return err
	}
	// Registries may have been asked in between, and somebody may have saved the file.
	now, err := os.ReadFile(f.file.Name)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, f.file.Data) {
		return errors.New("it has changed since it was read, and is left as it is now; run the command again")
	}
	return replaceFile(f.file.Name, f.text)
}

// replaceFile gives a file another text, at once or not at all: it is written beside
// it and takes its place. A link is followed, so that what it leads to changes.
func replaceFile(path string, text []byte) (err error) {
	target, err := filepath.EvalSymlinks(path)
	mode := os.FileMode(0o644)
	var owner os.FileInfo
	switch {
	case errors.Is(err, os.ErrNotExist):
		target = path // a new one
	case err != nil:
		return err
	default:
		if owner, err = writable(target); err != nil {
			return err
		}
		mode = owner.Mode().Perm()
	}
	file, err := beside(target)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	if _, err = file.Write(text); err != nil {
		return err
	}
	if owner != nil {
		if err = keepOwner(file, owner); err != nil {
			return err
		}
	}
	if err = file.Chmod(mode); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), target)
}

// beside makes a file that is to take the place of another one.
func beside(target string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
}

// replaceable is why replaceFile could not write a file, nil where it could.
func replaceable(path string) error {
	target, err := filepath.EvalSymlinks(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		target = path // a new one
	case err != nil:
		return err
	default:
		if _, err := writable(target); err != nil {
			return err
		}
	}
	file, err := beside(target)
	if err != nil {
		return err
	}
	return errors.Join(file.Close(), os.Remove(file.Name()))
}

// writable refuses a file that is not to be written: to rename another one over it
// needs no right to the file itself.
func writable(path string) (os.FileInfo, error) {
	refuse := func(reason string) error { return &os.PathError{Op: "write", Path: path, Err: errors.New(reason)} }
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, refuse("it is no regular file")
	case info.Mode().Perm()&0o222 == 0: // which does not stop root from opening it
		return nil, refuse("it is read-only")
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return info, file.Close()
}
