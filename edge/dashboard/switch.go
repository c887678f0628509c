package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"sward/edge"
)

func (d *Dashboard) getStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(d.Edge.Status(r.Context())); err != nil {
		d.Log.Debug("status not sent", "err", err)
	}
}

// postPause pauses: for the duration in the form value "for" ("2h"), or without it until resumed.
func (d *Dashboard) postPause(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	var period time.Duration
	if s := r.PostForm.Get("for"); s != "" {
		var err error
		if period, err = time.ParseDuration(s); err != nil || period <= 0 {
			http.Error(w, `"for" is not a duration such as 30m or 2h`, http.StatusBadRequest)
			return
		}
	}
	if period > edge.MaxPause {
		http.Error(w, fmt.Sprintf("a pause lasts up to %s", edge.MaxPause), http.StatusBadRequest)
		return
	}
	d.switched(w, r, d.Edge.Pause(period))
}

func (d *Dashboard) postResume(w http.ResponseWriter, r *http.Request) {
	d.switched(w, r, d.Edge.Resume())
}

// switched answers a browser with the first page and a program with the status.
func (d *Dashboard) switched(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case err != nil:
		d.Log.Error("the switch works until the next start only", "err", err)
		http.Error(w, "done, but it could not be written to disk: "+err.Error(), http.StatusInternalServerError)
	case !d.program(r):
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		d.getStatus(w, r)
	}
}
