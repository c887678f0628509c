package edge

import (
	"fmt"
	"strings"
	"time"

	"sward/policy"
)

// Used is a volume against its caps, in bytes of payload. The home line carries each of them twice.
type Used struct {
	Period  string    `json:"period"` // 2006-01-02, or 2006-01 of a month that begins on the first, else the date on which it began
	Ends    time.Time `json:"ends"`   // when the count begins anew
	Bytes   int64     `json:"bytes"`  // both ways together
	Cap     int64     `json:"cap"`    // 0: none
	Up      int64     `json:"up"`     // towards targets
	Down    int64     `json:"down"`
	CapUp   int64     `json:"cap_up,omitempty"` // 0: none
	CapDown int64     `json:"cap_down,omitempty"`
	Lost    int64     `json:"lost,omitempty"` // of Bytes: set aside when the agent was killed, and counted as used
	Proof   string    `json:"proof"`          // the caps beside what was used, in words: never rounded up
}

// used are the two lines that the owner sees.
func (t tally) used() (today, month Used) {
	today = Used{
		Period: t.period.Day, Ends: t.period.DayEnds, Bytes: t.day.Total(), Up: t.day.Up, Down: t.day.Down, Lost: t.day.Lost,
		Cap: t.caps.Day, CapUp: t.caps.DayUp, CapDown: t.caps.DayDown,
	}
	month = Used{
		Period: t.period.MonthName(), Ends: t.period.MonthEnds, Bytes: t.month.Total(), Up: t.month.Up, Down: t.month.Down, Lost: t.month.Lost,
		Cap: t.caps.Month, CapUp: t.caps.MonthUp, CapDown: t.caps.MonthDown,
	}
	today.Proof, month.Proof = today.proof(), month.proof()
	return today, month
}

// String is "1.2 GB of 10.0 GB", rounded for people.
func (u Used) String() string {
	if u.Cap == 0 {
		return HumanSize(u.Bytes) + ", no cap"
	}
	return HumanSize(u.Bytes) + " of " + HumanSize(u.Cap)
}

// Percent is how much of the cap is used, 0 without one.
func (u Used) Percent() int64 {
	if u.Cap <= 0 {
		return 0
	}
	return min(u.Bytes/max(u.Cap/100, 1), 100)
}

// proof is "cap 200 GB, used 199.80 GB", with a part for each way that has a cap of its own.
func (u Used) proof() string {
	parts := []string{proofOf("", u.Cap, u.Bytes)}
	if u.CapUp > 0 {
		parts = append(parts, proofOf("up: ", u.CapUp, u.Up+u.Lost))
	}
	if u.CapDown > 0 {
		parts = append(parts, proofOf("down: ", u.CapDown, u.Down+u.Lost))
	}
	return strings.Join(parts, "; ")
}

func proofOf(way string, limit, used int64) string {
	if limit == 0 {
		return way + "no cap, used " + floorSize(used, used)
	}
	return way + "cap " + spaced(policy.Size(limit)) + ", used " + floorSize(used, limit)
}

// floorSize writes n in the decimal unit of a size like scale, cut off after two digits: what is short of a cap by a
// little must not read as if it had reached it.
func floorSize(n, scale int64) string {
	unit, name := int64(1), "B"
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1e3, "kB"}, {1e6, "MB"}, {1e9, "GB"}, {1e12, "TB"}} {
		if scale >= u.bytes {
			unit, name = u.bytes, u.name
		}
	}
	if unit == 1 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%d.%02d %s", n/unit, n%unit/(unit/100), name)
}

// spaced is a size with a space before its unit.
func spaced(s policy.Size) string {
	text := s.String()
	i := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		return text + " B"
	}
	return text[:i] + " " + text[i:]
}
