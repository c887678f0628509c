//go:build !windows

package install

import "context"

// Run calls run. Managers of services stop a program by a signal here, which ends the context.
func Run(ctx context.Context, run func(context.Context) error) error { return run(ctx) }
