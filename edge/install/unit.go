package install

import (
	_ "embed"
	"strconv"
	"strings"
)

// The units, as a package installs the first one.
//
//go:embed sward-edge.service
var systemUnit string

//go:embed sward-edge.user.service
var userUnit string

// What stands in the units for this machine's places.
const (
	unitProgram = "/usr/bin/sward-edge"
	unitDir     = "/var/lib/sward-edge"
)

// Unit is systemd's description of the service.
func (p Place) Unit() string {
	unit := userUnit
	if p.System {
		unit = systemUnit
	}
	// Either may have blanks in it, and a percent sign begins a specifier: systemd.unit(5).
	quoted := func(path string) string { return strings.ReplaceAll(strconv.Quote(path), "%", "%%") }
	return strings.NewReplacer(
		"ExecStart="+unitProgram+" run --dir "+unitDir, "ExecStart="+quoted(p.Program)+" run --dir "+quoted(p.Dir),
		"ConditionPathExists="+unitDir, "ConditionPathExists="+strings.ReplaceAll(p.Dir, "%", "%%"),
	).Replace(unit)
}
