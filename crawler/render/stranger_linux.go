package render

import (
	"os"
	"syscall"
)

// nobody is the user that owns nothing, on every Linux.
const nobody = 65534

// stranger says as whom the browser runs: never as root, whose files it could read if a page broke out of its sandbox. It
// dies with the hub.
func stranger(home string) (*syscall.SysProcAttr, error) {
	as := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		return as, nil
	}
	as.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	return as, os.Chown(home, nobody, nobody)
}
