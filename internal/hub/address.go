package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"sward/internal/daemon"
	"sward/internal/identity"
)

// addressFile is where a hub leaves word of where it listens, for the operator's commands on the same machine.
const addressFile = "hub.json"

// Address is how to reach a hub.
type Address struct {
	Internal string      `json:"internal"` // host:port of its internal server
	Network  string      `json:"network"`
	Hub      identity.ID `json:"hub"`
}

// ReadAddress reads what the hub with the given directory left when it was last opened.
func ReadAddress(dir string) (a Address, err error) {
	name := filepath.Join(dir, addressFile)
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf("%s is missing: has the hub with this directory been started?", name)
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err != nil {
		return a, fmt.Errorf("read %s: %w", name, err)
	}
	return a, nil
}

func writeAddress(dir string, a Address) error {
	data, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return daemon.WriteFile(filepath.Join(dir, addressFile), append(data, '\n'), 0o600)
}
