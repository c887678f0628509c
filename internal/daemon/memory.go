package daemon

import "runtime/debug"

// GiveBack returns to the system the memory that this process has and does not use at rest. It collects garbage, which
// takes some milliseconds, and is for a program that has nothing to do and will have nothing to do for a while.
//
// What a program reads of its own file while it starts stays mapped: on Linux more than half of what a small one is said to
// occupy. Those pages are let go, too. They are the file's: the next use of one finds it in the system's cache.
func GiveBack() {
	debug.FreeOSMemory()
	releaseProgram()
}
