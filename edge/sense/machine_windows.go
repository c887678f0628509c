package sense

import (
	"fmt"
	"net"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
)

// machine asks Windows.
type machine struct{}

func newMachine() *machine { return &machine{} }

func (m *machine) close() {}

var (
	powerStatus      = windows.NewLazySystemDLL("kernel32.dll").NewProc("GetSystemPowerStatus")
	connectivityHint = windows.NewLazySystemDLL("iphlpapi.dll").NewProc("GetNetworkConnectivityHint") // Windows 10 2004
)

// battery reads SYSTEM_POWER_STATUS (winbase.h).
func (m *machine) battery() Fact {
	var status struct {
		acLine, flag, percent, saver byte
		life, fullLife               uint32
	}
	const noBattery = 128
	ok, _, _ := powerStatus.Call(uintptr(unsafe.Pointer(&status)))
	switch {
	case ok != 0 && status.flag != 255 && status.flag&noBattery != 0:
		return Fact{Battery, No, "This machine has no battery."}
	case ok != 0 && status.acLine == 1:
		return Fact{Battery, No, "This machine is plugged in."}
	case ok != 0 && status.acLine == 0:
		return Fact{Battery, Yes, "This machine runs on its battery."}
	}
	return Fact{Battery, Unknown, "Windows does not tell whether this machine is plugged in."}
}

// metered reads NL_NETWORK_CONNECTIVITY_HINT (nldef.h), which is what Windows' own "metered connection" switch sets.
func (m *machine) metered() Fact {
	var hint struct {
		level, cost                        int32
		approachingLimit, overLimit, roams byte
	}
	if connectivityHint.Find() != nil {
		return Fact{Metered, Unknown, "This version of Windows does not tell whether the connection is metered."}
	}
	if code, _, _ := connectivityHint.Call(uintptr(unsafe.Pointer(&hint))); code != 0 {
		return Fact{Metered, Unknown, fmt.Sprintf("Windows does not tell whether the connection is metered (error %d).", code)}
	}
	const unrestricted, fixed, variable = 1, 2, 3
	switch {
	case hint.roams != 0:
		return Fact{Metered, Yes, "Windows says that the connection roams."}
	case hint.cost == fixed, hint.cost == variable:
		return Fact{Metered, Yes, "Windows says that the connection is metered."}
	case hint.cost == unrestricted:
		return Fact{Metered, No, "Windows says that the connection is not metered."}
	}
	return Fact{Metered, Unknown, "Windows does not know whether the connection is metered."}
}

// Interface types of ipifcons.h.
const (
	typePPP     = 23
	typeVirtual = 53 // wintun: WireGuard and many others
	typeTunnel  = 131
	typeWWAN1   = 243
	typeWWAN2   = 244
)

func (m *machine) link(i net.Interface) (link, error) {
	row := windows.MibIfRow2{InterfaceIndex: uint32(i.Index)}
	l := link{name: i.Name}
	if err := windows.GetIfEntry2Ex(windows.MibIfEntryNormal, &row); err != nil {
		return l, fmt.Errorf("ask for the interface: %w", err)
	}
	l.rx, l.tx = row.InOctets, row.OutOctets
	switch row.Type {
	case typeVirtual, typeTunnel:
		l.tunnel = "a tunnel"
	case typePPP:
		l.unsure = "which may be a dial-up line or a VPN"
	case typeWWAN1, typeWWAN2:
		l.phone = "a mobile modem"
	}
	if strings.Contains(windows.UTF16ToString(row.Description[:]), "TAP-") { // OpenVPN's driver calls itself an Ethernet
		l.tunnel = "a tunnel"
	}
	return l, nil
}
