package daemon

import (
	"bytes"
	"strings"
	"testing"
)

func TestLoggerLevelAndFormat(t *testing.T) {
	for _, c := range []struct {
		level, format string
		want          []string // the messages that come through
		prefix        string
	}{
		{"", "", []string{"info", "warn", "error"}, "time="},
		{"debug", "json", []string{"debug", "info", "warn", "error"}, "{"},
		{"warn", "text", []string{"warn", "error"}, "time="},
		{"error", "json", []string{"error"}, "{"},
	} {
		var out bytes.Buffer
		log, err := Logger(&out, c.level, c.format)
		if err != nil {
			t.Errorf("level %q, format %q: %v", c.level, c.format, err)
			continue
		}
		log.Debug("debug")
		log.Info("info")
		log.Warn("warn")
		log.Error("error")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("level %q: got %d lines, want %v:\n%s", c.level, len(lines), c.want, &out)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, c.prefix) || !strings.Contains(line, c.want[i]) {
				t.Errorf("format %q: line %d is %q, want it to begin with %q and say %q", c.format, i, line, c.prefix, c.want[i])
			}
		}
	}
}

func TestLoggerRefusesUnknownWords(t *testing.T) {
	for _, c := range [][2]string{{"loud", "text"}, {"INFO", "text"}, {"info", "xml"}} {
		if _, err := Logger(nil, c[0], c[1]); err == nil {
			t.Errorf("level %q with format %q was accepted", c[0], c[1])
		}
	}
}
