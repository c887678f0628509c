package rights

import "fmt"

// A Use is what somebody wants to do with a page.
type Use string

// The uses, in the words of Content Signals.
const (
	Search  Use = "search"   // find it again: links and short excerpts
	AIInput Use = "ai-input" // have a model read it for an answer
	AITrain Use = "ai-train" // have a model learn from it
)

var uses = []Use{Search, AIInput, AITrain}

// ParseUse reads the name of a use.
func ParseUse(s string) (Use, error) {
	for _, u := range uses {
		if s == string(u) {
			return u, nil
		}
	}
	return "", fmt.Errorf("%.20q is no use of a page: search, ai-input or ai-train", s)
}

// UseOf is the use that a partner's vetted purpose stands for; empty where it is none of the three.
func UseOf(purpose string) Use {
	switch purpose {
	case "search-index":
		return Search
	case "ai-training":
		return AITrain
	}
	return ""
}

// An Answer is what all statements together say of one use.
type Answer string

// The answers. In the absence of a statement a use is neither allowed nor denied.
const (
	Unknown Answer = "unknown"
	Allow   Answer = "allow"
	Deny    Answer = "deny"
)

// Verdict is the answer for each use, and the statement that decided.
type Verdict struct {
	Search    Answer         `json:"search"`
	AIInput   Answer         `json:"ai-input"`
	AITrain   Answer         `json:"ai-train"`
	DecidedBy map[Use]string `json:"decidedBy,omitempty"`
}

// For is the answer for one use, with the statement behind it.
func (v Verdict) For(u Use) (Answer, string) {
	switch u {
	case Search:
		return v.Search, v.DecidedBy[u]
	case AIInput:
		return v.AIInput, v.DecidedBy[u]
	case AITrain:
		return v.AITrain, v.DecidedBy[u]
	}
	return Unknown, ""
}

// statements are what was said, use by use.
type statements struct{ list []statement }

type statement struct {
	use    Use
	say    Answer
	signal string
}

func (s *statements) add(u Use, a Answer, signal string) {
	s.list = append(s.list, statement{u, a, signal})
}

// maxSignal bounds a deciding statement in a document, in bytes.
const maxSignal = 200

// verdict combines what was said: who denies wins over who allows, wherever it stands (draft-ietf-aipref-vocab §5.1: the
// most restrictive preference applies).
func (s *statements) verdict() Verdict {
	v := Verdict{DecidedBy: map[Use]string{}}
	for _, u := range uses {
		answer := Unknown
		for _, one := range s.list {
			if one.use == u && (answer == Unknown || answer == Allow && one.say == Deny) {
				answer = one.say
				v.DecidedBy[u] = one.signal[:min(len(one.signal), maxSignal)]
			}
		}
		switch u {
		case Search:
			v.Search = answer
		case AIInput:
			v.AIInput = answer
		case AITrain:
			v.AITrain = answer
		}
	}
	return v
}
