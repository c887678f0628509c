package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// localService is the account that Windows has for services that need nothing of the machine.
const localService = `NT AUTHORITY\LocalService`

// onlyOurs is who may read and change the directory: the system, its administrators and the service's account, and nobody
// by inheritance from above, where every user may read (security descriptor definition language).
const onlyOurs = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;LS)"

// Here is where the agent goes on this machine. Windows has services of the whole machine only.
func Here() (Place, error) {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return Place{}, errors.New("services are installed by an administrator: open the terminal with \"Run as administrator\"")
	}
	return Place{System: true, Dir: SystemDir(), Program: filepath.Join(os.Getenv("ProgramFiles"), Name, Name+".exe"), Account: localService}, nil
}

// SystemDir is the directory of the machine's service.
func SystemDir() string { return filepath.Join(os.Getenv("ProgramData"), Name) }

func supported() error { return nil }

func (p Place) units() []string { return nil }

func (p Place) account() error       { return nil } // Windows has it
func (p Place) removeAccount() error { return nil }

// own shuts the directory to other users.
func (p Place) own() error {
	sd, err := windows.SecurityDescriptorFromString(onlyOurs)
	if err != nil {
		return fmt.Errorf("protect %s: %w", p.Dir, err)
	}
	acl, _, err := sd.DACL()
	if err != nil {
		return fmt.Errorf("protect %s: %w", p.Dir, err)
	}
	err = windows.SetNamedSecurityInfo(p.Dir, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, acl, nil)
	if err != nil {
		return fmt.Errorf("protect %s: %w", p.Dir, err)
	}
	return nil
}
