package daemon

import (
	"errors"
	"os"
	"syscall"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("another process has it open")

const errorSharingViolation = syscall.Errno(32)

// Lock takes the lock file at path for this process alone, or returns ErrLocked: a file that nobody else can open while
// it is open here.
func Lock(path string) (unlock func() error, err error) {
	return openAlone(path, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, syscall.OPEN_ALWAYS)
}

// LockShared keeps others from Lock on path, without writing anything; ErrLocked while somebody holds it. Without a lock
// file nobody can.
func LockShared(path string) (unlock func() error, err error) {
	unlock, err = openAlone(path, syscall.GENERIC_READ, syscall.FILE_SHARE_READ, syscall.OPEN_EXISTING)
	if errors.Is(err, os.ErrNotExist) {
		return func() error { return nil }, nil // never opened on this machine
	}
	return unlock, err
}

func openAlone(path string, access, share, create uint32) (func() error, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	handle, err := syscall.CreateFile(name, access, share, nil, create, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errorSharingViolation) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return func() error { return syscall.CloseHandle(handle) }, nil
}
