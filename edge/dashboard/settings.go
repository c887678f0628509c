package dashboard

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"sward/edge"
	"sward/internal/daemon"
	"sward/policy"
)

// settingsModel is the settings as forms, and as the file that they are.
type settingsModel struct {
	shell
	Settings   edge.Settings
	Amounts    map[string]string // volumes and rates as typed
	Yield      int64             // milliseconds
	Hours      []hoursRow
	Always     bool // no hours are set
	Pauses     []pauseRow
	Apps       []Choice
	Purposes   []Choice
	Categories []Choice
	Ports      string
	Allow      string
	Deny       string
	YAML       string
	Ask        string
	Answer     *edge.Answer
	Unasked    string // why the question cannot be asked
}

// Choice is one box to tick.
type Choice struct {
	Name, Label, Text string
	On                bool
}

type hoursRow struct{ Key, Day, Range string }

// pauseRow is a switch of pause_on, and how it is now.
type pauseRow struct {
	Choice
	Now string
}

var weekdays = []hoursRow{
	{Key: "mon", Day: "Monday"}, {Key: "tue", Day: "Tuesday"}, {Key: "wed", Day: "Wednesday"}, {Key: "thu", Day: "Thursday"},
	{Key: "fri", Day: "Friday"}, {Key: "sat", Day: "Saturday"}, {Key: "sun", Day: "Sunday"},
}

func (d *Dashboard) settings(r *http.Request) any {
	s := d.Edge.Settings()
	m := settingsModel{
		shell: d.shell(r, "settings"), Settings: s, Yield: s.Yield.Milliseconds(), Always: len(s.Policy.Hours) == 0,
		Amounts: map[string]string{
			"day": amountOf(s.Caps.Day, gigabyte), "month": amountOf(s.Caps.Month, gigabyte),
			"day_up": amountOf(s.Caps.DayUp, gigabyte), "day_down": amountOf(s.Caps.DayDown, gigabyte),
			"month_up": amountOf(s.Caps.MonthUp, gigabyte), "month_down": amountOf(s.Caps.MonthDown, gigabyte),
			"up": amountOf(s.Rate.Up, megabit), "down": amountOf(s.Rate.Down, megabit),
		},
		Ports: strings.Trim(fmt.Sprint(s.Policy.Ports), "[]"),
		Allow: strings.Join(s.Policy.Allow, "\n"), Deny: strings.Join(s.Policy.Deny, "\n"),
	}
	for _, day := range weekdays {
		day.Range = s.Policy.Hours[day.Key]
		m.Hours = append(m.Hours, day)
	}
	m.Pauses = d.pauses(s.PauseOn)
	for _, a := range policy.Apps() {
		label := map[policy.App]string{policy.AppProxy: "Connections that partners make themselves", policy.AppCrawl: "Pages that the network’s crawler fetches"}[a]
		m.Apps = append(m.Apps, Choice{Name: string(a), Label: label, On: slices.Contains(s.Policy.Apps, a)})
	}
	for _, p := range policy.Purposes() {
		m.Purposes = append(m.Purposes, Choice{Name: string(p), Label: words(string(p)), On: slices.Contains(s.Policy.Purposes, p)})
	}
	for _, c := range policy.Categories() {
		m.Categories = append(m.Categories, Choice{Name: c, Label: words(c), Text: policy.Describe(c), On: s.Policy.Categories[c] == policy.Allow})
	}
	if text, err := daemon.MarshalConfig(d.file()); err == nil {
		m.YAML = string(text)
	}
	if m.Ask = strings.TrimSpace(r.URL.Query().Get("ask")); m.Ask != "" {
		if a, err := d.Edge.Ask(m.Ask); err != nil {
			m.Unasked = sentence(err.Error())
		} else {
			m.Answer = &a
		}
	}
	return m
}

func (d *Dashboard) pauses(on edge.PauseOn) []pauseRow {
	rows := []pauseRow{
		{Choice: Choice{"metered", "When the connection is metered", "as a phone’s or a data stick’s is", on.Metered}},
		{Choice: Choice{"battery", "When this computer runs on its battery", "", on.Battery}},
		{Choice: Choice{"vpn", "When a VPN is on", "traffic would leave through somebody else’s network", on.VPN}},
		{Choice: Choice{"busy", "When others here use the line", "somebody watches a film, or makes a call", on.Busy}},
	}
	for _, fact := range d.Edge.Senses() {
		for i := range rows {
			if rows[i].Name == fact.Name {
				rows[i].Now = fact.Text
			}
		}
	}
	return rows
}

// postLimits takes volume, rate and streams.
func (d *Dashboard) postLimits(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "limits", func(s *edge.Settings) error {
		for _, f := range []struct {
			to         *policy.Size
			name, says string
			unit       float64
		}{
			{&s.Caps.Day, "day", "The limit of a day", gigabyte}, {&s.Caps.Month, "month", "The limit of a month", gigabyte},
			{&s.Caps.DayUp, "day_up", "To sites, a day", gigabyte}, {&s.Caps.DayDown, "day_down", "From sites, a day", gigabyte},
			{&s.Caps.MonthUp, "month_up", "To sites, a month", gigabyte}, {&s.Caps.MonthDown, "month_down", "From sites, a month", gigabyte},
			{&s.Rate.Up, "up", "The speed to sites", megabit}, {&s.Rate.Down, "down", "The speed from sites", megabit},
		} {
			if err := setAmount(f.to, r.PostFormValue(f.name), f.says, f.unit); err != nil {
				return err
			}
		}
		s.Caps.TimeZone = strings.TrimSpace(r.PostFormValue("time_zone"))
		yield := int(s.Yield.Milliseconds())
		for _, f := range []struct {
			to         *int
			name, says string
		}{
			{&s.Streams, "streams", "Connections at once"}, {&s.Caps.BillingDay, "billing_day", "The first day of the month"}, {&yield, "yield", "Giving way"},
		} {
			if err := setNumber(f.to, r.PostFormValue(f.name), f.says); err != nil {
				return err
			}
		}
		s.Yield = time.Duration(yield) * time.Millisecond
		return nil
	})
}

// setNumber takes a whole number; an empty field is 0.
func setNumber(to *int, typed, name string) error {
	if typed = strings.TrimSpace(typed); typed == "" {
		typed = "0"
	}
	n, err := strconv.Atoi(typed)
	if err != nil {
		return fmt.Errorf("%s: %.20q is not a whole number", name, typed)
	}
	*to = n
	return nil
}

// postHours takes the hours of each weekday. None at all is always.
func (d *Dashboard) postHours(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "hours", func(s *edge.Settings) error {
		s.Policy.Hours = nil
		if r.PostFormValue("always") != "" {
			return nil
		}
		hours := map[string]string{}
		for _, day := range weekdays {
			if typed := strings.TrimSpace(r.PostFormValue(day.Key)); typed != "" {
				hours[day.Key] = strings.ReplaceAll(typed, "–", "-")
			}
		}
		if len(hours) == 0 {
			return fmt.Errorf("no hour of the week is left to share in; to stop sharing, pause")
		}
		s.Policy.Hours = hours
		return nil
	})
}

func (d *Dashboard) postPauses(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "pauses", func(s *edge.Settings) error {
		on := func(name string) bool { return r.PostFormValue(name) != "" }
		s.PauseOn = edge.PauseOn{Metered: on("metered"), Battery: on("battery"), VPN: on("vpn"), Busy: on("busy")}
		return nil
	})
}

// postPrivacy takes what strangers may do through the line.
func (d *Dashboard) postPrivacy(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "privacy", func(s *edge.Settings) error {
		if err := r.ParseForm(); err != nil {
			return fmt.Errorf("the form cannot be read: %w", err)
		}
		s.Policy.Apps, s.Policy.Purposes, s.Policy.Ports = nil, nil, nil
		for _, a := range r.PostForm["apps"] {
			s.Policy.Apps = append(s.Policy.Apps, policy.App(a))
		}
		for _, p := range r.PostForm["purposes"] {
			s.Policy.Purposes = append(s.Policy.Purposes, policy.Purpose(p))
		}
		if s.Policy.Categories == nil {
			s.Policy.Categories = map[string]policy.Verdict{}
		}
		for _, c := range policy.Categories() {
			delete(s.Policy.Categories, c) // left out is denied
		}
		for _, c := range r.PostForm["categories"] {
			s.Policy.Categories[c] = policy.Allow
		}
		for field := range strings.FieldsFuncSeq(r.PostFormValue("ports"), func(c rune) bool { return c == ' ' || c == ',' }) {
			port, err := strconv.ParseUint(field, 10, 16)
			if err != nil {
				return fmt.Errorf("ports: %.20q is not a port", field)
			}
			s.Policy.Ports = append(s.Policy.Ports, uint16(port))
		}
		s.Policy.PlainHTTP = r.PostFormValue("plain_http") != ""
		s.Policy.Allow, s.Policy.Deny = strings.Fields(r.PostFormValue("allow")), strings.Fields(r.PostFormValue("deny"))
		return nil
	})
}

// postSwitch turns the port mapping or the reach on or off, one click each.
func (d *Dashboard) postSwitch(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "router", func(s *edge.Settings) error {
		on := r.PostFormValue("on") != ""
		switch r.PostFormValue("name") {
		case "port_mapping":
			s.PortMapping = on
		case "reach":
			s.Reach = on
		default:
			return fmt.Errorf("there is no such switch")
		}
		return nil
	})
}

func (d *Dashboard) postDiary(w http.ResponseWriter, r *http.Request) {
	d.changedBy(w, r, "diary", func(s *edge.Settings) error {
		return setNumber(&s.KeepDays, r.PostFormValue("keep_days"), "Days to keep")
	})
}
