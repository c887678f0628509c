//go:build !unix

package identity

import "io/fs"

// loose is always false: mode bits say nothing about a Windows file's readers,
// its inherited access list does.
func loose(fs.FileMode) bool { return false }

// syncDir does nothing: a directory cannot be synced here, and the file system
// journals names.
func syncDir(string) error { return nil }
