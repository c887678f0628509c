package dashboard

import (
	"strings"
	"time"

	"sward/edge"
	"sward/internal/wire"
)

// state says in a glance whether the line is shared, and if not, why, and what the owner can do about it.
type state struct {
	Tone  string // good, rest (the owner's wish), wait (the machine's or the network's), bad
	Icon  string
	Title string
	Text  string
	Short string // for the corner of every page
	Go    string // where to do something about it, if not here
	Do    string // what the link says
}

// stateOf has a word for each reason that an edge can have.
func stateOf(s edge.Status, now time.Time) state {
	switch {
	case s.Suspended != "":
		return state{"bad", "alert", "Suspended by the network", sentence(strings.TrimSuffix(s.Suspended, ".")) + " Nothing is shared and nothing is earned until that is settled.", "Suspended", "", ""}
	case s.Serving && s.Streams > 0:
		return state{Tone: "good", Icon: "leaf", Title: "Sharing", Text: count(s.Streams, "connection") + " through your line right now.", Short: "Sharing"}
	case s.Serving:
		return state{Tone: "good", Icon: "leaf", Title: "Ready to share", Text: "Nobody needs your line at this moment. You do not have to do anything.", Short: "Ready"}
	}
	if held, ok := heldState(s); ok {
		return held
	}
	switch s.Why {
	case wire.NoConsent.Name():
		return state{"wait", "pen", "Waiting for your word", "Nothing is shared before you have read what it means and agreed.", "Not agreed", "/consent", "Read and decide"}
	case wire.Paused.Name():
		if s.Paused {
			return state{Tone: "rest", Icon: "pause", Title: "Paused by you", Text: pausedText(s, now), Short: "Paused"}
		}
		return state{Tone: "wait", Icon: "pause", Title: "Waiting", Text: sentence(s.Reason()), Short: "Waiting"}
	case wire.OutOfHours.Name():
		return state{"rest", "moon", "Outside your hours", "You share at the hours you set, and this is not one of them.", "Off hours", "/settings#hours", "Change the hours"}
	case wire.CapDay.Name():
		return state{"rest", "gauge", "Today’s limit is reached", proofText(s.Today, now), "Limit reached", "/settings#limits", "Change the limit"}
	case wire.CapMonth.Name():
		return state{"rest", "gauge", "This month’s limit is reached", proofText(s.Month, now), "Limit reached", "/settings#limits", "Change the limit"}
	case "no_relay":
		return state{"wait", "cloud", "No relay is reached", noRelayText(s), "No relay", "/line", "What is wrong"}
	case "starting":
		return state{Tone: "wait", Icon: "clock", Title: "Starting", Text: "This takes a few seconds.", Short: "Starting"}
	}
	return state{Tone: "wait", Icon: "clock", Title: "Not sharing", Text: sentence(s.Reason()), Short: "Not sharing"}
}

// proofText shows that a limit holds, and until when it does.
func proofText(u edge.Used, now time.Time) string {
	text := sentence(u.Proof)
	if !u.Ends.IsZero() {
		text += " Sharing goes on at " + u.Ends.In(now.Location()).Format("15:04 on 2 January") + "."
	}
	return text
}

func pausedText(s edge.Status, now time.Time) string {
	switch until := s.PausedUntil; {
	case until.IsZero():
		return "Nothing leaves your line for others until you resume."
	case until.Sub(now) < 20*time.Hour:
		return "Nothing leaves your line for others until " + until.In(now.Location()).Format("15:04") + "."
	default:
		return "Nothing leaves your line for others until " + until.In(now.Location()).Format("2 January, 15:04") + "."
	}
}

func noRelayText(s edge.Status) string {
	if len(s.Relays) == 0 {
		return "The network’s list of relays has not come yet. The agent keeps trying by itself."
	}
	return "Your line may be down, or something on the way blocks it. The agent keeps trying by itself."
}

// heldState is for what the machine gives way to by itself, and for a broken seal.
func heldState(s edge.Status) (state, bool) {
	for _, h := range s.Holds {
		if h.Name != s.Why {
			continue
		}
		text := sentence(strings.TrimSuffix(h.Text, "."))
		switch h.Name {
		case "battery":
			return state{"rest", "battery", "Waiting for the mains", text, "On battery", "/settings#pauses", "When to pause"}, true
		case "metered":
			return state{"rest", "gauge", "Waiting: metered line", text, "Metered", "/settings#pauses", "When to pause"}, true
		case "vpn":
			return state{"rest", "shield", "Waiting: a VPN is on", text, "VPN is on", "/settings#pauses", "When to pause"}, true
		case "busy":
			return state{"rest", "house", "Waiting: your house is using the line", text, "Line in use", "/settings#pauses", "When to pause"}, true
		case "seal":
			return state{"bad", "breach", "The seal of your home is broken", text + " Nothing is shared until a later check finds it closed.", "Seal broken", "/line#seal", "What came through"}, true
		}
		return state{Tone: "wait", Icon: "clock", Title: "Waiting", Text: text, Short: "Waiting"}, true
	}
	return state{}, false
}
