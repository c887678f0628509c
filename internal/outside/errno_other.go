//go:build !windows

package outside

import "syscall"

// errnoRefused is how the system says that nobody listens.
const errnoRefused = syscall.ECONNREFUSED
