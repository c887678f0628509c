//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows)

package daemon

import "errors"

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("another process has it open")

// Lock fails: without a lock that ends with its process, what it guards could be opened twice.
func Lock(string) (func() error, error) {
	return nil, errors.New("this system has no file locks")
}

// LockShared succeeds: where nothing can be locked, nothing is.
func LockShared(string) (func() error, error) { return func() error { return nil }, nil }
