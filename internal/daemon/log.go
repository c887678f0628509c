package daemon

import (
	"fmt"
	"io"
	"log"
	"log/slog"
)

// Logger writes to w the records of level ("debug", "info", "warn", "error";
// empty is info) and above, in format "text" or "json" (empty is text).
func Logger(w io.Writer, level, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: slog.LevelInfo}
	switch level {
	case "", "info":
	case "debug":
		options.Level = slog.LevelDebug
	case "warn":
		options.Level = slog.LevelWarn
	case "error":
		options.Level = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q is none of debug, info, warn, error", level)
	}
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q is neither text nor json", format)
}

// QuietStandardLog silences the standard library's default logger for the whole process. net/http writes bytes of
// strangers' answers to it and bleve what it could not load; neither has a switch, and a page's bytes belong in no log.
// What matters of it reaches us as an error.
func QuietStandardLog() { log.SetOutput(io.Discard) }
