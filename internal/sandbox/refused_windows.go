package sandbox

import "golang.org/x/sys/windows"

// errRefused is what a dial to a closed port ends with on this system, so that the edge maps it as it maps the real one.
var errRefused error = windows.WSAECONNREFUSED
