package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// othersMay are the mode bits that let other users of this machine into the directory.
const othersMay = 0o077

// ownDirectory makes dir, or takes one that is empty or an edge's already, and shuts it to other users. A directory that
// somebody uses for something else is left as it is.
func ownDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if checkDirectory(dir) == nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, configFile)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%s has other things in it, which other users may read: give the edge a directory of its own", dir)
	}
	return os.Chmod(dir, 0o700)
}

// checkDirectory refuses a directory that other users may look into: what an edge keeps there says where its owner's line
// was lent to, and what it is steered by.
func checkDirectory(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // access is not in the mode there
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&othersMay != 0 {
		return fmt.Errorf("other users of this machine may look into %s, which has mode %04o: chmod 700 %s", dir, mode, dir)
	}
	return nil
}
