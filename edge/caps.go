package edge

import (
	"fmt"
	"time"
	_ "time/tzdata" // half a megabyte: Windows and small containers know no zone by name, and a cap needs its provider's

	"sward/policy"
)

// Caps are the owner's volume caps as written in the file: payload relayed for others, and 0 is no limit.
type Caps struct {
	Day   policy.Size `yaml:"day"` // up and down together
	Month policy.Size `yaml:"month"`

	// A line that is sold by way has caps by way: up is from partners towards targets.
	DayUp     policy.Size `yaml:"day_up,omitempty"`
	DayDown   policy.Size `yaml:"day_down,omitempty"`
	MonthUp   policy.Size `yaml:"month_up,omitempty"`
	MonthDown policy.Size `yaml:"month_down,omitempty"`

	BillingDay int    `yaml:"billing_day,omitempty"` // on which the provider's month begins, in a shorter month its last day; default 1
	TimeZone   string `yaml:"time_zone,omitempty"`   // the provider's, as Europe/Berlin; empty: this machine's
}

// Policy is the caps as they are counted.
func (c Caps) Policy() policy.Caps {
	return policy.Caps{
		Day: int64(c.Day), Month: int64(c.Month),
		DayUp: int64(c.DayUp), DayDown: int64(c.DayDown), MonthUp: int64(c.MonthUp), MonthDown: int64(c.MonthDown),
		BillingDay: c.BillingDay,
	}
}

// Zone is where the caps are counted: nil is where the machine is. The error names a zone that nobody knows.
func (c Caps) Zone() (*time.Location, error) {
	if c.TimeZone == "" {
		return nil, nil //nolint:nilnil // no zone of its own is no error
	}
	zone, err := time.LoadLocation(c.TimeZone)
	if err != nil || c.TimeZone == "Local" {
		return nil, fmt.Errorf("caps.time_zone: %.60q is not a zone such as Europe/Berlin", c.TimeZone)
	}
	return zone, nil
}

// Validate says which key is wrong.
func (c Caps) Validate() error {
	if err := c.Policy().Validate(); err != nil {
		return err
	}
	_, err := c.Zone()
	return err
}
