//go:build !windows

package edge

import "syscall"

// errnoRefused is how the system says that nobody listens.
const errnoRefused = syscall.ECONNREFUSED
