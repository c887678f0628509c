package edge

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sward/accounting"
	"sward/policy"
)

// listsFile keeps the hub's lists, so that an edge that starts without the hub is as strict as it was.
const listsFile = "lists.table"

// lists are those that are part of the program with what the hub adds.
func (e *Edge) lists() *policy.Lists { return policy.BuiltIn().With(e.added.Load()) }

// openLists takes the hub's lists of before. A file that is damaged is as good as none: the hub has another.
func (e *Edge) openLists() error {
	f, err := os.Open(filepath.Join(e.cfg.Dir, listsFile))
	if err != nil {
		return nil //nolint:nilerr // none yet
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, policy.MaxTable+1))
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	table, err := policy.ParseTable(data)
	if err != nil {
		e.cfg.Log.Warn("the lists of the hub are damaged here and will be fetched again", "err", err)
		return nil
	}
	e.addedDigest = sha256.Sum256(data)
	e.added.Store(table)
	t, err := e.terms().compile(e.lists())
	if err != nil {
		return err
	}
	e.inForce.Store(t)
	return nil
}

// followLists fetches the lists that the directory names, where they are others than this edge has. They close more names
// under the owner's rules, and running streams to those are cut.
func (e *Edge) followLists(ctx context.Context, d accounting.Directory) error {
	version := d.Lists[accounting.ListCategories]
	digest, ok := accounting.ListDigest(version)
	switch {
	case version == "" && e.added.Load() == nil, ok && digest == e.addedDigest:
		return nil
	case version == "": // the operator has taken them back
		if err := os.Remove(filepath.Join(e.cfg.Dir, listsFile)); err != nil {
			return err
		}
		return e.setLists(nil, accounting.Hash{})
	}
	data, err := e.cfg.Hub.List(ctx, version)
	if err != nil {
		return err
	}
	table, err := policy.ParseTable(data)
	if err != nil {
		return fmt.Errorf("from the hub: %w", err)
	}
	if err := writeFile(filepath.Join(e.cfg.Dir, listsFile), data); err != nil {
		return err
	}
	if err := e.setLists(table, digest); err != nil {
		return err
	}
	e.cfg.Log.Info("the hub's lists are in force", "version", table.Version(), "entries", table.Len())
	return nil
}

func (e *Edge) setLists(table *policy.Table, digest accounting.Hash) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.added.Store(table)
	e.addedDigest = digest
	t, err := e.terms().compile(e.lists())
	if err != nil {
		return err
	}
	e.applyLocked(t)
	return nil
}
