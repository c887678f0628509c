//go:build !linux

package agent

import (
	"errors"
	"os"
)

// confine refuses to serve as root, which nothing here needs.
func confine(_ string, serves bool) error {
	if serves && os.Geteuid() == 0 {
		return errors.New("start it as yourself, without sudo: sharing needs no root")
	}
	return nil
}
