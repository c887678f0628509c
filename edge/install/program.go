package install

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// program copies the running program to its place, in one step: what is started there is the old one or the new one.
func (p Place) program() error {
	from, err := self()
	if err != nil {
		return err
	}
	if from == p.Program {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.Program), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(p.Program), "."+Name+"-*")
	if err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	defer os.Remove(out.Name()) // gone already after the rename
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o755), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), p.Program)
	}
	if err != nil {
		return fmt.Errorf("copy the program to %s: %w", p.Program, err)
	}
	return nil
}

// removeProgram removes the copy. A system that does not remove a running program says so, and it is the owner's to do.
func (p Place) removeProgram() error {
	if err := os.Remove(p.Program); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the service is gone; delete the program yourself: %w", err)
	}
	return nil
}
