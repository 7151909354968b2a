package input

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// extensions are those of the files that a folder is searched for. It is never
// changed.
var extensions = []string{".yaml", ".yml", ".json"}

// walker finds the files of a folder.
type walker struct {
	entries []entry
	// above are the folders on the way to the present one, with links resolved.
	above []os.FileInfo
	// named are the folders and files that were named, with links resolved.
	named []string
	// seen are the entries of files by their resolved paths.
	seen map[string]int
	// files counts those that were found, one that is found again too.
	files int
}

// file adds a file, unless it is there already by another name.
func (w *walker) file(e entry) {
	w.files++
	e.real = resolve(e.path)
	if e.named && e.real != "" {
		w.named = append(w.named, e.real)
	}
	if i, again := w.seen[e.real]; again && e.real != "" {
		w.entries[i].named = w.entries[i].named || e.named
		return
	}
	if w.seen == nil {
		w.seen = map[string]int{}
	}
	w.seen[e.real] = len(w.entries)
	w.entries = append(w.entries, e)
}

// resolve is a path with all links resolved, empty where that cannot be known. The
// present folder may be a link too.
func resolve(path string) string {
	full, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	if full, err = filepath.EvalSymlinks(full); err != nil {
		return ""
	}
	return full
}

// lookOutside marks the files that links lead to out of what was named.
func (w *walker) lookOutside() {
	for i := range w.entries {
		e := &w.entries[i]
		e.outside = e.real != "" && !slices.ContainsFunc(w.named, func(named string) bool {
			return e.real == named || strings.HasPrefix(e.real, strings.TrimSuffix(named, string(filepath.Separator))+string(filepath.Separator))
		})
	}
}

// path adds what a user named: a file of any name, or a folder.
func (w *walker) path(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		w.refuse(path, fmt.Errorf("cannot be read: %w", reason(err)))
	case info.IsDir():
		if real := resolve(path); real != "" {
			w.named = append(w.named, real)
		}
		found := w.files + len(w.entries)
		w.folder(path, info)
		if w.files+len(w.entries) == found {
			w.refuse(path, errors.New("has no *.yaml, *.yml or *.json in it"))
		}
	case !info.Mode().IsRegular():
		w.once(path)
	default:
		w.file(entry{name: path, path: path, named: true})
	}
}

// once reads what can be read once, such as a pipe, now: a second time it is empty,
// and would be judged to be fine.
func (w *walker) once(path string) {
	data, err := readFile(path)
	if err != nil {
		w.refuse(path, err)
		return
	}
	w.entries = append(w.entries, entry{name: path, data: data, named: true})
}

// folder adds the files of a folder and of those below it, by name. Hidden
// folders, such as .git, are left out. A link to a folder is followed, unless it
// leads back to where it lies in.
func (w *walker) folder(path string, info os.FileInfo) {
	if slices.ContainsFunc(w.above, func(above os.FileInfo) bool { return os.SameFile(above, info) }) {
		w.refuse(path, errors.New("is a link to a folder that it lies in, and is not followed"))
		return
	}
	w.above = append(w.above, info)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	entries, err := os.ReadDir(path) // sorted by name
	if err != nil {
		w.refuse(path, fmt.Errorf("cannot be read: %w", reason(err)))
	}
	for _, e := range entries {
		name := join(path, e.Name())
		manifest := slices.Contains(extensions, strings.ToLower(filepath.Ext(e.Name())))
		mode := e.Type()
		var target os.FileInfo
		if mode&os.ModeSymlink != 0 || mode.IsDir() {
			if target, err = os.Stat(name); err != nil {
				if manifest || !errors.Is(err, os.ErrNotExist) { // a link to nowhere
					w.refuse(name, fmt.Errorf("cannot be read: %w", reason(err)))
				}
				continue
			}
			mode = target.Mode()
		}
		switch {
		case mode.IsDir() && !strings.HasPrefix(e.Name(), "."):
			w.folder(name, target)
		case mode.IsRegular() && manifest:
			w.file(entry{name: name, path: name})
		}
	}
}

// join keeps the folder as it was given: ./deploy/web.yaml, not deploy/web.yaml.
func join(folder, name string) string {
	return strings.TrimSuffix(folder, string(filepath.Separator)) + string(filepath.Separator) + name
}

func (w *walker) refuse(path string, err error) {
	w.entries = append(w.entries, entry{name: path, problem: &Problem{Source: path, Message: err.Error()}})
}
