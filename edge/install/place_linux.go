package install

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/kardianos/service"
)

const (
	systemDir = "/var/lib/" + Name
	unitFile  = Name + ".service"
)

// Here is where the agent goes when this user installs it on this machine.
func Here() (Place, error) {
	program, err := self()
	if err != nil {
		return Place{}, err
	}
	p := Place{System: os.Geteuid() == 0, Dir: systemDir, Program: "/usr/local/bin/" + Name, Account: Name}
	if !p.System {
		home, err := os.UserHomeDir()
		if err != nil {
			return Place{}, err
		}
		settings, err := os.UserConfigDir()
		if err != nil {
			return Place{}, err
		}
		p = Place{Dir: filepath.Join(settings, Name), Program: filepath.Join(home, ".local", "bin", Name)}
	}
	if program == unitProgram { // a package's, which stays where it is
		p.Program = program
	}
	return p, nil
}

// SystemDir is the directory of the machine's service.
func SystemDir() string { return systemDir }

// supported refuses managers of services under which the agent would run as root.
func supported() error {
	if name := service.Platform(); name != "linux-systemd" {
		return fmt.Errorf("this machine has no systemd (%s): start \"%s run\" from its own manager of services, as a user of its own", name, Name)
	}
	return nil
}

// units are where systemd finds the unit, in its own order.
func (p Place) units() []string {
	if p.System {
		return []string{"/etc/systemd/system/" + unitFile, "/usr/lib/systemd/system/" + unitFile, "/lib/systemd/system/" + unitFile}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	return []string{filepath.Join(home, ".config", "systemd", "user", unitFile)}
}

// account makes the account under which the service runs: no password, no shell, no home but its directory.
func (p Place) account() error {
	if p.Account == "" {
		return nil
	}
	if _, err := user.Lookup(p.Account); err == nil {
		return nil
	}
	return do("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", p.Dir, "--shell", "/usr/sbin/nologin", p.Account)
}

func (p Place) removeAccount() error {
	if p.Account == "" {
		return nil
	}
	if _, err := user.Lookup(p.Account); err != nil {
		return nil //nolint:nilerr // there is none
	}
	return do("userdel", p.Account)
}

// own gives the directory and all in it to the service's account.
func (p Place) own() error {
	if p.Account == "" {
		return nil
	}
	u, err := user.Lookup(p.Account)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	return filepath.WalkDir(p.Dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid) // a link's own owner, never that of what it points to
	})
}

// do runs one of the system's tools. The error is what it said.
func do(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput() //nolint:noctx // it waits for nobody
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", name, err), errors.New(strings.TrimSpace(string(out))))
	}
	return nil
}
