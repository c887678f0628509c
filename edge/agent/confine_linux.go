package agent

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// confine makes the process the owner of dir, if root started it for somebody else's edge, and, before it serves, one
// without capabilities that can get none.
func confine(dir string, serves bool) error {
	became, err := become(dir)
	if err != nil || !serves {
		return err
	}
	powerful, err := hasCapabilities()
	if err != nil || !powerful && !became && os.Geteuid() != 0 {
		return err
	}
	if bare, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && bare == 1 && !powerful {
		return nil // this process is what became of the one before
	}
	return shed()
}

// become changes root into the owner of dir. Files that it writes are then the edge's to read.
func become(dir string) (became bool, err error) {
	if os.Geteuid() != 0 || dir == "" {
		return false, nil
	}
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // the command says so better
	}
	if err != nil {
		return false, err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return false, nil
	}
	err = syscall.Setgroups([]int{int(owner.Gid)})
	if err == nil {
		err = syscall.Setgid(int(owner.Gid))
	}
	if err == nil {
		err = syscall.Setuid(int(owner.Uid)) // of all threads, and capabilities go with it
	}
	if err != nil {
		return false, fmt.Errorf("become the owner of %s: %w", dir, err)
	}
	return true, nil
}

// hasCapabilities tells whether this process may do anything that an ordinary user's may not.
func hasCapabilities() (bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return false, fmt.Errorf("read this process's capabilities: %w", err)
	}
	return sets[0].Permitted|sets[1].Permitted != 0, nil
}

// shed drops every capability from this thread, and for good, and runs the program again from it: the other threads that
// Go has started go with the old image. The process stays the same one.
func shed() error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("give up privileges: %w", err)
	}
	// Without the right to, the bounding set stays as it is: a process that can gain nothing has no use of it (capabilities(7)).
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) //nolint:errcheck // see above
	}
	unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) //nolint:errcheck // kernels before 4.3 have none
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("give up capabilities: %w", err)
	}
	// The link leads to this very file, also where its new user could not go: from a download in somebody's home.
	return fmt.Errorf("run this program without privileges: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}
