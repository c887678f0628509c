// Package install puts the home agent where it belongs on this system, as a service that starts with the machine, and
// takes it away again without a trace.
//
// There are two kinds of place. The system's, with an account of the agent's own and nothing else: a unit of systemd on
// Linux when root installs it, a service under LocalService on Windows. And a user's own, without any privilege: a unit of
// systemd's user instance on Linux, a launch agent on macOS. Which one it is follows from who asks and where; Here tells.
//
// Installing agrees to nothing for the owner: a service that has no agreement on record shows its dashboard and shares
// nothing.
package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kardianos/service"
)

// Name is what the service, its account and its directory are called.
const Name = "sward-edge"

// ErrNotInstalled says that there is no such service.
var ErrNotInstalled = errors.New("the service is not installed")

// Place is where the agent lives on this machine.
type Place struct {
	System  bool   // the machine's service, not a user's own
	Dir     string // settings and state
	Program string // where the running program is copied to
	Account string // under which it runs; empty: the user's own
}

// State is what the system says of the service.
type State struct {
	Installed bool
	Packaged  bool // by the system's package manager, which also removes it
	Running   bool
}

// Of is the place of the edge in dir. A command that root gave about the machine's service, and that has become the service's
// account since, is one of an ordinary user to Here.
func Of(dir string) (Place, error) {
	p, err := Here()
	if err == nil && !p.System && dir != "" && dir == SystemDir() {
		p.System, p.Dir, p.Account = true, dir, Name
	}
	return p, err
}

// Install copies the running program to its place, makes the account and the directory, and adds the service, which
// starts now and with the machine. prepare is called in between, to write the settings into the directory. A service that
// runs is stopped for it: what runs afterwards is the new program, and a system may refuse to replace one that runs.
func (p Place) Install(prepare func() error) (err error) {
	s, err := p.service()
	if err != nil {
		return err
	}
	if p.State().Running {
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stop the service: %w", err)
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, s.Start()) // as it was
			}
		}()
	}
	if err := p.program(); err != nil {
		return err
	}
	if err := p.account(); err != nil {
		return err
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	if err := prepare(); err != nil {
		return err
	}
	if err := p.own(); err != nil {
		return err
	}
	if !p.State().Installed {
		if err := s.Install(); err != nil {
			return fmt.Errorf("install the service: %w", err)
		}
	}
	if err := s.Start(); err != nil {
		return fmt.Errorf("start the service: %w", err)
	}
	return nil
}

// Uninstall stops the service and removes it, with the copy of the program. Settings and state stay. What a package brought
// is stopped and stays, since the package manager removes it.
func (p Place) Uninstall() error {
	state := p.State()
	if !state.Installed {
		return ErrNotInstalled
	}
	s, err := p.service()
	if err != nil {
		return err
	}
	if err := s.Stop(); err != nil && state.Running {
		return fmt.Errorf("stop the service: %w", err)
	}
	if state.Packaged {
		return nil
	}
	if err := s.Uninstall(); err != nil {
		return fmt.Errorf("remove the service: %w", err)
	}
	return p.removeProgram()
}

// Forget removes the account, after the directory is gone.
func (p Place) Forget() error { return p.removeAccount() }

// State asks the system.
func (p Place) State() State {
	s, err := p.service()
	if err != nil {
		return State{}
	}
	status, err := s.Status()
	state := State{Installed: err == nil || !errors.Is(err, service.ErrNotInstalled), Running: status == service.StatusRunning}
	for _, path := range p.units() {
		if _, err := os.Stat(path); err == nil {
			state.Installed, state.Packaged = true, strings.HasPrefix(path, "/usr/") || strings.HasPrefix(path, "/lib/")
			return state // running or not, as systemd said
		}
	}
	if len(p.units()) > 0 {
		return State{} // with systemd the unit's file decides: it need not run to be asked
	}
	return state
}

// service is the system's manager of services, as the library knows it.
func (p Place) service() (service.Service, error) {
	if err := supported(); err != nil {
		return nil, err
	}
	arguments := []string{"run", "--dir", p.Dir}
	if len(p.units()) == 0 { // systemd keeps and bounds the log; elsewhere the program does
		arguments = append(arguments, "--log-file", filepath.Join(p.Dir, "edge.log"))
	}
	cfg := &service.Config{
		Name: Name, DisplayName: "Sward home agent",
		Description: "Lends this line to the Sward network, under its owner's rules.",
		Executable:  p.Program, Arguments: arguments, UserName: p.Account,
		Option: service.KeyValue{
			"UserService": !p.System, "RunAtLoad": true, "LogDirectory": p.Dir, // launchd
			"OnFailure": "restart", "OnFailureDelayDuration": "30s", "DelayedAutoStart": true, // Windows
			"SystemdScript": p.Unit(),
		},
	}
	s, err := service.New(nil, cfg)
	if err != nil {
		return nil, fmt.Errorf("this system's services: %w", err)
	}
	return s, nil
}

// self is the running program.
func self() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return filepath.EvalSymlinks(path)
}
