package outside

import "syscall"

// errnoRefused is WSAECONNREFUSED: package syscall gives its ECONNREFUSED another number on Windows.
const errnoRefused = syscall.Errno(10061)
