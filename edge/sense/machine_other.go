//go:build !linux && !darwin && !windows

package sense

import (
	"errors"
	"net"
)

// machine is of a system that is not known here: it is asked nothing, and every answer is Unknown.
type machine struct{}

func newMachine() *machine { return &machine{} }

func (m *machine) close() {}

func (m *machine) battery() Fact {
	return Fact{Battery, Unknown, "It is not known how to ask this system."}
}

func (m *machine) metered() Fact {
	return Fact{Metered, Unknown, "It is not known how to ask this system."}
}

func (m *machine) link(i net.Interface) (link, error) {
	return link{name: i.Name}, errors.New("it is not known how to ask this system")
}
