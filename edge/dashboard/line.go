package dashboard

import (
	"net/http"
	"slices"

	"sward/accounting"
	"sward/edge"
)

// lineModel is how the line does, how it is reached, and that the home behind it is closed.
type lineModel struct {
	shell
	Line     edge.Line
	Quality  quality
	Reach    edge.Reachability
	Home     householdModel
	Standing map[string]edge.Standing  // by relay
	Paths    map[string]edge.RelayLine // by relay
}

// quality is the verdict on the address, in words.
type quality struct{ Tone, Word, Text string }

var qualities = map[string]quality{
	edge.ReputationUnknown: {"wait", "Not known yet", "Too few pages went through it to tell."},
	edge.ReputationGood:    {"good", "Good", "Sites hardly ever distrust it."},
	edge.ReputationFair:    {"rest", "Fair", "Some sites ask for a proof that somebody human is there, or turn requests away."},
	edge.ReputationPoor:    {"bad", "Poor", "Many sites distrust it. You may meet more of their questions yourself; a pause of some days helps, or another address from your provider."},
}

// householdModel is the other devices behind the same line.
type householdModel struct {
	accounting.HouseholdAnswer
	Self string
}

// Invited tells whether somebody else's household waits for this owner's word.
func (h householdModel) Invited() bool { return h.Name != "" && !h.Agreed }

func (d *Dashboard) line(r *http.Request) any {
	m := lineModel{shell: d.shell(r, "line"), Standing: map[string]edge.Standing{}, Paths: map[string]edge.RelayLine{}, Line: d.Edge.Line(), Reach: d.Edge.Reachable()}
	m.Quality = qualities[m.Line.Reputation]
	for _, path := range m.Line.Relays {
		m.Paths[path.Relay.String()] = path
	}
	m.Home = householdModel{d.Edge.Household(), m.Status.Edge.String()}
	m.Home.Members = slices.Clone(m.Home.Members)
	for _, s := range d.Edge.Chances().Relays {
		m.Standing[s.Relay.String()] = s
	}
	return m
}
