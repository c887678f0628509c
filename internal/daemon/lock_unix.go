//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package daemon

import (
	"errors"
	"os"
	"syscall"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("another process has it open")

// Lock takes the lock file at path for this process alone, or returns ErrLocked. The kernel gives the lock back when the
// process ends, however it ends.
func Lock(path string) (unlock func() error, err error) {
	return flock(path, os.O_RDWR|os.O_CREATE, syscall.LOCK_EX)
}

// LockShared keeps others from Lock on path, without writing anything; ErrLocked while somebody holds it. Without a lock
// file nobody can.
func LockShared(path string) (unlock func() error, err error) {
	unlock, err = flock(path, os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil // never opened on this machine
	}
	return unlock, err
}

func flock(path string, flags, how int) (func() error, error) {
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return file.Close, nil
}
