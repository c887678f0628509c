package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"net/http"
	"time"
)

const (
	maxStreams  = 8                // open pages that are kept up to date; a browser opens six connections at most
	eventEvery  = time.Second      // how often the parts of a page are looked at
	eventWait   = 5 * time.Second  // for a browser to take an event
	eventQuiet  = 15 * time.Second // after which a comment shows that the stream lives
	retryMillis = 2000             // how soon a browser calls again
)

// getEvents keeps an open page up to date: once a second it makes the live parts again and sends those that have changed.
// Nothing happens for pages that nobody looks at; the script closes the stream of a hidden one.
func (d *Dashboard) getEvents(w http.ResponseWriter, r *http.Request) {
	p := pageNamed(r.URL.Query().Get("page"))
	if p == nil {
		http.NotFound(w, r)
		return
	}
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer d.graph.look()()
	out := http.NewResponseController(w)
	if out.SetReadDeadline(time.Time{}) != nil { // the request's own would end the stream
		http.Error(w, "this connection cannot stay open", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	send := func(format string, args ...any) bool {
		return out.SetWriteDeadline(time.Now().Add(eventWait)) == nil && wrote(fmt.Fprintf(w, format, args...)) && out.Flush() == nil
	}
	if !send("retry: %d\n\n", retryMillis) {
		return
	}
	tick := time.NewTicker(eventEvery)
	defer tick.Stop()
	seen, quiet := map[string]uint64{}, time.Now()
	for {
		data, err := d.changed(r, p, seen)
		switch {
		case err != nil:
			d.Log.Error("a page cannot be made", "page", p.Name, "err", err)
			return
		case data != nil:
			if !send("data: %s\n\n", data) {
				return
			}
			quiet = time.Now()
		case time.Since(quiet) > eventQuiet:
			if !send(":\n\n") {
				return
			}
			quiet = time.Now()
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func wrote(_ int, err error) bool { return err == nil }

var seed = maphash.MakeSeed()

// changed makes the live parts of p and returns those that differ from what was seen: part → HTML, as JSON. It is nil when
// none does.
func (d *Dashboard) changed(r *http.Request, p *page, seen map[string]uint64) ([]byte, error) {
	model := p.model(d, r)
	parts := map[string]string{}
	for _, name := range append([]string{"shell-state"}, p.live...) {
		var out bytes.Buffer
		if err := templates.ExecuteTemplate(&out, name, model); err != nil {
			return nil, err
		}
		if sum := maphash.Bytes(seed, out.Bytes()); seen[name] != sum {
			seen[name], parts[name] = sum, out.String()
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return json.Marshal(parts)
}
