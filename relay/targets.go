package relay

import (
	"sward/policy"
)

// enterTarget counts one more connection to a target in, whoever asks for it and through whichever edge, or refuses it.
// leave counts it out again; it may be called twice.
func (r *Relay) enterTarget(target policy.Target) (leave func(), err error) {
	return func() {}, nil
}

// suspicious refuses an account that tries target after target through one edge, as a port scan does.
func (r *Relay) suspicious(a *account, e *edge, target policy.Target) error {
	return nil
}
