package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"sward/internal/daemon"
)

const (
	controlFile    = "control.json"
	maxControlFile = 4 << 10 // bytes of it
)

// Control tells the owner's own programs where the running edge listens, and the token that lets them in. It is
// written with mode 0600 at start and removed at the end.
type Control struct {
	Addr  string `json:"addr"`
	Token string `json:"token"`
}

// ReadControl reads the control file of a running edge. A missing file is os.ErrNotExist: no edge runs on dir.
func ReadControl(dir string) (Control, error) {
	path := filepath.Join(dir, controlFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Control{}, fmt.Errorf("no edge is running on %s: %w", dir, os.ErrNotExist)
	}
	if err != nil {
		return Control{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxControlFile))
	if err != nil {
		return Control{}, fmt.Errorf("read %s: %w", path, err)
	}
	var c Control
	if err := json.Unmarshal(data, &c); err != nil || c.Addr == "" || c.Token == "" {
		return Control{}, fmt.Errorf("%s is damaged", path)
	}
	return c, nil
}

func (d *Dashboard) writeControl() error {
	file, err := json.Marshal(Control{Addr: d.addr, Token: d.token})
	if err != nil {
		return fmt.Errorf("encode control file: %w", err)
	}
	return daemon.WriteFile(filepath.Join(d.Dir, controlFile), file, 0o600)
}

// removeControl takes the control file away, unless a later edge has written its own by now.
func (d *Dashboard) removeControl() {
	if c, err := ReadControl(d.Dir); err == nil && c.Token == d.token {
		os.Remove(filepath.Join(d.Dir, controlFile))
	}
}
