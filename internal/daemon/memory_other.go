//go:build !linux

package daemon

// releaseProgram does nothing where the system is not known to need it.
func releaseProgram() {}
