package dashboard

import (
	"context"
	"net/http"
	"time"

	"sward/accounting"
	"sward/edge"
)

const (
	barDays    = 30  // days in the picture of points
	recentDays = 7   // days shown at once
	barWidth   = 600 // units of the drawing
	barHeight  = 100
	barGap     = 4
)

// earningsModel is what the line has earned, and why not more.
type earningsModel struct {
	shell
	Earned  edge.Earnings
	Recent  []edge.EarnedDay // newest first
	Earlier []edge.EarnedDay
	Bars    []bar
	Best    accounting.Micro // of one day in the picture
	Chance  edge.Chance
	Steps   []step
}

// bar is one day's points in the picture.
type bar struct {
	X, Y, Width, Height int
	Held                bool
}

// step is one of the gates between a request and the line, with how many came that far.
type step struct {
	Label string
	Count uint64
	Of    uint64 // the first step's
	Text  string
}

func (d *Dashboard) earnings(r *http.Request) any {
	ctx, cancel := context.WithTimeout(r.Context(), hubWait)
	defer cancel()
	m := earningsModel{shell: d.shell(r, "earnings"), Earned: d.Edge.Earnings(ctx), Chance: d.Edge.Chances().Today}
	recent := min(recentDays, len(m.Earned.Days))
	m.Recent, m.Earlier = m.Earned.Days[:recent], m.Earned.Days[recent:]
	m.draw(d.Clock())
	c := m.Chance
	m.Steps = []step{
		{"Requests your relays saw", c.Seen, c.Seen, "of all partners, for all edges"},
		{"You could have served", c.Eligible, c.Seen, "for your place, an app and a purpose that you share for"},
		{"Came while you could be chosen", c.Offered, c.Seen, "not paused, not full, within your limits"},
		{"Were given to you", c.Won + c.Kept, c.Seen, "each turn goes by chance, weighted by how well a line works"},
	}
	return m
}

// draw makes the picture of the last days. The newest stands at the right; a day without points has a foot, so that it
// reads as a day.
func (m *earningsModel) draw(now time.Time) {
	points := map[string]edge.EarnedDay{}
	for _, day := range m.Earned.Days {
		points[day.Day] = day
		m.Best = max(m.Best, day.Points)
	}
	const step = barWidth / barDays
	for i := range barDays {
		day := points[now.UTC().AddDate(0, 0, i+1-barDays).Format(time.DateOnly)]
		b := bar{X: i*step + barGap/2, Width: step - barGap, Height: 2, Held: day.Held}
		if m.Best > 0 {
			b.Height = max(2, int(float64(day.Points)/float64(m.Best)*barHeight))
		}
		b.Y = barHeight - b.Height
		m.Bars = append(m.Bars, b)
	}
}

// receiptModel is one receipt, for the owner to see what their points rest on.
type receiptModel struct {
	shell
	Receipt edge.Receipt
}

func (d *Dashboard) showReceipt(w http.ResponseWriter, r *http.Request) {
	if receipt, ok := d.receipt(w, r); ok {
		d.render(w, "receipt.html", receiptModel{shell: d.shell(r, "earnings"), Receipt: receipt})
	}
}
