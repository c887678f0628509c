package install

import (
	"errors"
	"os"
	"path/filepath"
)

// Here is where the agent goes when this user installs it on this machine: a launch agent of their own.
func Here() (Place, error) {
	if os.Geteuid() == 0 {
		return Place{}, errors.New("install it as yourself, without sudo: a launch agent needs no root")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return Place{}, err
	}
	settings, err := os.UserConfigDir()
	if err != nil {
		return Place{}, err
	}
	return Place{Dir: filepath.Join(settings, Name), Program: filepath.Join(home, ".local", "bin", Name)}, nil
}

// SystemDir is empty: there is no service of the whole machine here.
func SystemDir() string { return "" }

func supported() error { return nil }

func (p Place) units() []string { return nil }

func (p Place) account() error       { return nil }
func (p Place) removeAccount() error { return nil }
func (p Place) own() error           { return nil }
