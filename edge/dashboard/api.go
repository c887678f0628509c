package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"sward/accounting"
	"sward/edge"
	"sward/internal/identity"
)

// hubWait is how long the owner waits for the hub's word before what it said last is shown: less than the answer may take.
const hubWait = 2500 * time.Millisecond

// answer sends what the owner's programs and a curious owner read: JSON, indented.
func (d *Dashboard) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	if err := out.Encode(v); err != nil {
		d.Log.Debug("an answer was not sent", "err", err)
	}
}

func (d *Dashboard) getEarnings(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), hubWait)
	defer cancel()
	d.answer(w, d.Edge.Earnings(ctx))
}

func (d *Dashboard) getChances(w http.ResponseWriter, _ *http.Request) { d.answer(w, d.Edge.Chances()) }

// getAnswer is the test box for the terminal.
func (d *Dashboard) getAnswer(w http.ResponseWriter, r *http.Request) {
	a, err := d.Edge.Ask(r.URL.Query().Get("site"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	d.answer(w, a)
}

// getHousehold asks the hub anew: the other device may have come this minute. Without the hub it is what was known.
func (d *Dashboard) getHousehold(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), hubWait)
	defer cancel()
	if err := d.Edge.HouseholdAct(ctx, "", identity.ID{}); err != nil {
		d.Log.Debug("the hub does not tell about the household", "err", err)
	}
	d.answer(w, d.Edge.Household())
}

// receipt finds the receipt of the channel in the address; it has answered where there is none.
func (d *Dashboard) receipt(w http.ResponseWriter, r *http.Request) (edge.Receipt, bool) {
	var id accounting.ChannelID
	if err := id.UnmarshalText([]byte(r.PathValue("channel"))); err != nil {
		http.Error(w, "that is not the name of a channel", http.StatusBadRequest)
		return edge.Receipt{}, false
	}
	receipt, err := d.Edge.Receipt(id)
	switch {
	case errors.Is(err, edge.ErrNoReceipt):
		http.Error(w, err.Error(), http.StatusNotFound)
		return edge.Receipt{}, false
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return edge.Receipt{}, false
	}
	return receipt, true
}

func (d *Dashboard) getReceipt(w http.ResponseWriter, r *http.Request) {
	if receipt, ok := d.receipt(w, r); ok {
		d.answer(w, receipt)
	}
}

// postHousehold does what the owner wants about the other devices of the home: act is invite, agree or leave, and with the
// device that is invited.
func (d *Dashboard) postHousehold(w http.ResponseWriter, r *http.Request) {
	var with identity.ID
	act := r.PostFormValue("act")
	if text := r.PostFormValue("with"); text != "" {
		var err error
		if with, err = identity.ParseID(text); err != nil {
			http.Error(w, "that is not a device", http.StatusBadRequest)
			return
		}
	}
	if act != accounting.HouseholdInvite && act != accounting.HouseholdAgree && act != accounting.HouseholdLeave {
		http.Error(w, "act is invite, agree or leave", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), hubWait)
	defer cancel()
	err := d.Edge.HouseholdAct(ctx, act, with)
	switch {
	case d.program(r) && err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	case d.program(r):
		d.answer(w, d.Edge.Household())
	case err != nil:
		d.again(w, r, pageNamed("line"), http.StatusBadGateway, sentence(err.Error()))
	default:
		http.Redirect(w, r, "/line?done=household#household", http.StatusSeeOther)
	}
}
