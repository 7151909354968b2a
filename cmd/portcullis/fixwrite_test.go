package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portcullis-dev/portcullis/input"
)

// TestFixWrite writes in place: modes and links stay, what needs nothing is not
// touched, and what cannot be written is left whole.
func TestFixWrite(t *testing.T) {
	folder := t.TempDir()
	bad := strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1)
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	save := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	save("in/mode.yaml", bad, 0o641)
	save("in/clean.yaml", quietPod("b"), 0o600)
	save("in/closed.yaml", bad, 0o444)
	save("in/half.yaml", "kind: [\n---\n"+bad, 0o600)
	save("elsewhere/target.txt", bad, 0o600)
	save("elsewhere/folder/a.yaml", bad, 0o600)
	for name, target := range map[string]string{"in/link.yaml": "../elsewhere/target.txt", "in/linked": "../elsewhere/folder", "in/inner.yaml": "mode.yaml"} {
		if err := os.Symlink(target, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	got := execute(t, "", "fix", "--write", "--override", "--preset", "baseline", filepath.Join(folder, "in"))
	if got.code != exitUsage || got.stdout != "" {
		t.Errorf("got exit code %d and stdout %q, want %d and nothing", got.code, got.stdout, exitUsage)
	}
	if want := "closed.yaml: cannot be written: "; !strings.Contains(got.stderr, want) {
		t.Errorf("got %s, want a text with %q", got.stderr, want)
	}
	for _, want := range []string{
		"link.yaml: cannot be written: it is a link out of the folders that were named, to \"" + folder + "/elsewhere/target.txt\"; name that file to have it written",
		"linked/a.yaml: cannot be written: it is a link out of",
		"of 6 files",
	} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("got %s, want a text with %q", got.stderr, want)
		}
	}
	if strings.Contains(got.stderr, "closed.yaml:4:8: fixed") {
		t.Errorf("got %s, want nothing said to be fixed in the file that was not written", got.stderr)
	}
	good := strings.Replace(bad, "hostPID: true, ", "", 1)
	for _, want := range []struct {
		name, text string
		mode       os.FileMode
		touched    bool
	}{
		{"in/mode.yaml", good, 0o641, true},
		{"in/clean.yaml", quietPod("b"), 0o600, false},
		{"in/closed.yaml", bad, 0o444, false},
		{"in/half.yaml", "kind: [\n---\n" + good, 0o600, true},
		{"in/inner.yaml", good, os.ModeSymlink, true},
		{"in/link.yaml", bad, os.ModeSymlink, false},
		{"in/linked", "", os.ModeSymlink, false},
		{"elsewhere/target.txt", bad, 0o600, false},
		{"elsewhere/folder/a.yaml", bad, 0o600, false},
	} {
		path := filepath.Join(folder, want.name)
		text, err := os.ReadFile(path)
		if err != nil && want.text != "" {
			t.Fatal(err)
		}
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		mode := info.Mode()
		if mode&os.ModeSymlink != 0 {
			mode = os.ModeSymlink
		}
		if string(text) != want.text || mode != want.mode {
			t.Errorf("%s: got mode %o and %q, want %o and %q", want.name, mode, text, want.mode, want.text)
		}
		if info.Mode().IsRegular() && info.ModTime().Equal(old) == want.touched {
			t.Errorf("%s: got time %s, want it touched: %t", want.name, info.ModTime(), want.touched)
		}
	}
	var names []string
	entries, err := os.ReadDir(filepath.Join(folder, "in"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"clean.yaml", "closed.yaml", "half.yaml", "inner.yaml", "link.yaml", "linked", "mode.yaml"}; !slices.Equal(names, want) {
		t.Errorf("got files %v, want %v and nothing left over", names, want)
	}
	again := execute(t, "", "fix", "--write", "--override", "--preset", "baseline", filepath.Join(folder, "in/mode.yaml"))
	if again.code != 0 || !strings.Contains(again.stderr, "fixed 0 in 0 of 1 files, left 0") {
		t.Errorf("again: got %+v, want nothing to fix", again)
	}
}

// TestFixWritesEachFileOnce names one file in several ways, and a folder that it is in.
func TestFixWritesEachFileOnce(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	bad := strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1)
	if err := os.WriteFile("a.yaml", []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	got := execute(t, "", "fix", "--write", "--override", "--preset", "baseline", "a.yaml", "./a.yaml", filepath.Join(folder, "a.yaml"), ".")
	if want := "a.yaml:4:8: fixed podSecurity/hostNamespaces: spec.hostPID is removed, it was true\nportcullis: fixed 1 in 1 of 1 files, left 0\n"; got.code != 0 || got.stderr != want {
		t.Errorf("got %d and %s, want 0 and %s", got.code, got.stderr, want)
	}
}

// TestFixKeepsWhatWasSavedMeanwhile holds that what somebody saves between the read
// and the write is not lost.
func TestFixKeepsWhatWasSavedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte("saved meanwhile"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := writeBack{}.deliver(&repaired{file: &input.File{Name: path, Data: []byte("read")}, text: []byte("fixed")})
	if want := "it has changed since it was read, and is left as it is now; run the command again"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "saved meanwhile" {
		t.Errorf("got %q (%v), want what was saved", got, err)
	}
}

// TestPipe holds that what can be read once is judged, and not found to be empty when
// it is read again; and that it is not written.
func TestPipe(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "pipe")
	if output, err := exec.CommandContext(t.Context(), "mkfifo", path).CombinedOutput(); err != nil {
		t.Fatalf("making a pipe: %v\n%s", err, output)
	}
	feed := func() {
		go func() {
			_ = os.WriteFile(path, []byte(strings.Replace(quietPod("a"), "{containers", "{hostPID: true, containers", 1)), 0o600)
		}()
	}
	feed()
	got := execute(t, "", "check", "--preset", "baseline", path)
	if got.code != 1 || !strings.Contains(got.stdout, "podSecurity/hostNamespaces") {
		t.Errorf("check: got %d and %s, want a failure", got.code, got.stdout)
	}
	feed()
	got = execute(t, "", "fix", "--write", "--override", "--preset", "baseline", path)
	if got.code != 2 || !strings.Contains(got.stderr, path) {
		t.Errorf("fix --write: got %d and %s, want it to be refused", got.code, got.stderr)
	}
}
