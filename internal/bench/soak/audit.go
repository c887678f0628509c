package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sward/policy"
)

// volumeFile is where the edge keeps what was used, by days.
const volumeFile = "volume.json"

// audit reads what the edge has written, and holds it against the caps and against what crossed the line.
func (h *home) audit(n evening, r *result) error {
	text, err := os.ReadFile(filepath.Join(h.dir, "edge", volumeFile))
	if err != nil {
		return err
	}
	var state policy.Volume
	if err := json.Unmarshal(text, &state); err != nil {
		return fmt.Errorf("%s: %w", volumeFile, err)
	}
	for _, d := range state.Days {
		h.days[d.Date] = d
	}
	var all policy.Day
	for _, d := range h.days {
		all.Up, all.Down, all.Lost = all.Up+d.Up, all.Down+d.Down, all.Lost+d.Lost
	}
	evening, morning := n.date.Format(time.DateOnly), n.date.AddDate(0, 0, 1).Format(time.DateOnly)
	r.day, r.month = h.days[evening].Total(), h.month(n.date)
	r.lost, r.crossed = all.Lost, h.ways.total()

	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, date := range []string{evening, morning} {
		if used := h.days[date].Total(); used > dayCap {
			fault("%s: %d bytes used of %d", date, used, dayCap)
		}
	}
	for _, at := range []time.Time{n.date, n.date.AddDate(0, 0, 1)} {
		if used := h.month(at); used > monthCap {
			fault("month of %s: %d bytes used of %d", at.Format(time.DateOnly), used, monthCap)
		}
	}
	// What crossed is counted, by way where nothing was lost: up to the byte, since it is counted when it was written. Of down,
	// what was read and could not be delivered any more crossed in vain.
	cuts := int64(len(h.days) + h.kills)
	if h.kills == 0 && all.Lost != 0 {
		fault("%d bytes are booked as lost, and nobody was killed", all.Lost)
	}
	if h.kills == 0 && all.Up != h.ways.up {
		fault("%d bytes are booked up, %d went to the site", all.Up, h.ways.up)
	}
	if over := h.ways.total() - all.Total(); over > cuts*slack {
		fault("%d bytes crossed the line, %d are booked", h.ways.total(), all.Total())
	}
	if h.kills == 0 && all.Down > h.ways.down {
		fault("%d bytes are booked down, %d came from the site", all.Down, h.ways.down)
	}
	if r.reason == "cap_day" && max(h.days[evening].Total(), h.days[morning].Total()) < dayCap-dayCap/softShare-slack {
		fault("streams were refused by the day's cap at %d and %d bytes of %d", h.days[evening].Total(), h.days[morning].Total(), dayCap)
	}
	if h.days[morning].Total() == 0 && h.month(n.date.AddDate(0, 0, 1)) < monthCap-monthCap/softShare {
		fault("nothing was served after midnight, with %d bytes of the month used", h.month(n.date.AddDate(0, 0, 1)))
	}
	return errors.Join(faults...)
}

// softShare of a cap is left to streams that run already: new ones are refused in the last part of it.
const softShare = 50

// month is what was used in the provider's month that has date in it.
func (h *home) month(date time.Time) (used int64) {
	start := time.Date(date.Year(), date.Month(), billing, 0, 0, 0, 0, date.Location())
	if date.Before(start) {
		start = start.AddDate(0, -1, 0)
	}
	end := start.AddDate(0, 1, 0)
	for _, d := range h.days {
		if d.Date >= start.Format(time.DateOnly) && d.Date < end.Format(time.DateOnly) {
			used += d.Total()
		}
	}
	return used
}
