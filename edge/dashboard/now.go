package dashboard

import (
	"net/http"

	"sward/edge"
)

// nowModel is the first page: is my line shared, how much, and why not.
type nowModel struct {
	shell
	Graph drawing
}

func (d *Dashboard) now(r *http.Request) any {
	return nowModel{shell: d.shell(r, "now"), Graph: d.graph.draw()}
}

// nearCap is from which percentage a bar warns.
const nearCap = 90

// capModel is one bar.
type capModel struct {
	Name string
	Used edge.Used
	Tone string
}

func capOf(name string, used edge.Used) capModel {
	c := capModel{Name: name, Used: used, Tone: "good"}
	if used.Percent() >= nearCap {
		c.Tone = "rest"
	}
	return c
}

// connected is how many relays have a tunnel up.
func connected(s edge.Status) (n int) {
	for _, r := range s.Relays {
		if r.Connected {
			n++
		}
	}
	return n
}

// refused is how many requests were refused today, by whatever rule.
func refused(s edge.Status) (n int) {
	for _, count := range s.RefusedToday {
		n += count
	}
	return n
}
