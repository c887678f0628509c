//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package accounting

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("another process has it open")

// lockExclusive takes the lock of a book, which the kernel gives back when the process ends, however it ends.
func lockExclusive(path string) (unlock func() error, err error) {
	return flock(path, os.O_RDWR|os.O_CREATE, syscall.LOCK_EX)
}

// lockShared keeps a book from being opened, without writing anything; errLocked if it is open.
func lockShared(path string) (unlock func() error, err error) {
	unlock, err = flock(path, os.O_RDONLY, syscall.LOCK_SH)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil // never opened on this machine: a copy
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
			return nil, errLocked
		}
		return nil, err
	}
	return file.Close, nil
}
