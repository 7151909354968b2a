package webhook

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// TestLibraryLog holds that what a library calls information is there at the level
// debug only, and that errors always are.
func TestLibraryLog(t *testing.T) {
	for level, want := range map[slog.Level][]string{
		slog.LevelInfo:  {"level=ERROR msg=broken name=x"},
		slog.LevelDebug: {"level=DEBUG msg=stopping name=x", "level=ERROR msg=broken name=x"},
	} {
		var out strings.Builder
		log := logr.FromSlogHandler(libraryLog{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})}).WithValues("name", "x")
		log.Info("stopping")
		log.Error(nil, "broken")
		got := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(got) != len(want) {
			t.Fatalf("at level %s: got %q, want %q", level, got, want)
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("at level %s: got %q, want %q", level, got[i], want[i])
			}
		}
	}
}
