package webhook

import (
	"context"
	"log/slog"
)

// libraryLog takes the log of controller-runtime and client-go. What they call
// information is of interest to who debugs them: a stop alone takes them ten
// lines. Warnings and errors stay what they are.
type libraryLog struct{ slog.Handler }

func lowered(level slog.Level) slog.Level {
	if level < slog.LevelWarn {
		return level - (slog.LevelInfo - slog.LevelDebug)
	}
	return level
}

// Enabled reports whether a record of this level is kept.
func (l libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.Handler.Enabled(ctx, lowered(level))
}

// Handle keeps a record.
func (l libraryLog) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lowered(r.Level)
	return l.Handler.Handle(ctx, r)
}

// WithAttrs keeps the attributes with each record.
func (l libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup keeps further attributes in a group.
func (l libraryLog) WithGroup(name string) slog.Handler { return libraryLog{l.Handler.WithGroup(name)} }
