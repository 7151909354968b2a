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
}

// path adds what a user named: a file of any name, or a folder.
func (w *walker) path(path string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		w.refuse(path, fmt.Errorf("cannot be read: %w", reason(err)))
	case info.IsDir():
		found := len(w.entries)
		w.folder(path, info)
		if len(w.entries) == found {
			w.refuse(path, errors.New("has no *.yaml, *.yml or *.json in it"))
		}
	default:
		w.entries = append(w.entries, entry{name: path, path: path, named: true})
	}
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
			w.entries = append(w.entries, entry{name: name, path: name})
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
