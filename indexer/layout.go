package indexer

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
)

// layoutVersion changes when an index of the old form cannot be read any more.
const layoutVersion = 1

// layout is what cannot change after an index was created: pages are spread over the shards by it.
type layout struct {
	Version int `json:"version"`
	Shards  int `json:"shards"`
}

// openLayout reads the layout of dir, or fixes it.
func openLayout(dir string, shards int) (layout, error) {
	path := filepath.Join(dir, "layout.json")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		l := layout{Version: layoutVersion, Shards: shards}
		return l, l.write(path)
	}
	if err != nil {
		return layout{}, err
	}
	var l layout
	if err := json.Unmarshal(data, &l); err != nil {
		return layout{}, fmt.Errorf("read %s: %w", path, err)
	}
	if l.Version != layoutVersion || l.Shards < 1 || l.Shards > maxShards {
		return layout{}, fmt.Errorf("read %s: version %d with %d shards is not known here", path, l.Version, l.Shards)
	}
	return l, nil
}

// write replaces the file as a whole, durably.
func (l layout) write(path string) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".layout-*")
	if err != nil {
		return err
	}
	_, writeErr := f.Write(append(data, '\n'))
	if err := errors.Join(writeErr, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// shardOf spreads hosts, not pages: a search inside one host needs one shard.
func shardOf(host string, shards int) int {
	h := fnv.New32a()
	h.Write([]byte(host))
	return int(h.Sum32() % uint32(shards))
}
