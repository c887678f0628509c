//go:build unix

package identity

import (
	"io/fs"
	"os"
)

// loose reports whether anyone but the owner may touch the file.
func loose(m fs.FileMode) bool { return m.Perm()&0o077 != 0 }

// syncDir makes a new name in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
