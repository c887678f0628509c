//go:build !unix

package daemon

// syncDir does nothing: a directory cannot be synced here, and the file system
// journals names.
func syncDir(string) error { return nil }
