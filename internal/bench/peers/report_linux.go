package main

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"sward/internal/bench/rig"
)

// The columns.
const (
	oneStream   = "1 stream, MiB/s"
	manyStreams = "32 streams, MiB/s"
	freshRate   = "new connections/s"
	keptRate    = "keep-alive/s"
	latency     = "p50, µs"
	latencyTail = "p99, µs"
)

// reference.tsv holds figures of peers that no registry serves, with where they come from.
//
//go:embed reference.tsv
var reference string

// report is the table and what it says of the goals.
func (b *bench) report() string {
	columns := []string{oneStream, manyStreams, freshRate, keptRate, latency, latencyTail}
	table := rig.Table{Head: append(append([]string{"entry → exit"}, columns...), "CPU s/GiB, 1 stream", "CPU s/GiB, 32", "RSS MiB")}
	sward := b.find("Sward")
	measured := map[string]bool{}
	for _, r := range b.runs {
		measured[r.name] = true
		row := []string{r.name}
		for _, c := range columns {
			row = append(row, cell(r, sward, c))
		}
		table.Rows = append(table.Rows, append(row, each(r.cpu[oneStream], "%.1f"), each(r.cpu[manyStreams], "%.1f"), each(r.rss, "%.0f")))
	}
	for line := range strings.Lines(reference) {
		fields := strings.Split(strings.TrimRight(line, "\n"), "\t")
		if !strings.HasPrefix(line, "#") && !measured[fields[0]] && b.asked(fields[0]) {
			table.Rows = append(table.Rows, append([]string{fields[0] + " †"}, fields[1:]...))
		}
	}
	origin := "The origin is " + b.origin + "."
	return fmt.Sprintf("%s Medians of %d interleaved rounds; in brackets Sward's figure over this row's, the median of the rounds' ratios. CPU and RSS are those of entry + exit.\n\n%s\n%s",
		origin, b.plan.rounds, table, b.goals(sward))
}

func (b *bench) find(name string) *running {
	for _, r := range b.runs {
		if r.name == name {
			return r
		}
	}
	return nil
}

// cell is a figure with Sward's ratio to it.
func cell(r, sward *running, column string) string {
	figure := rig.Median(r.rates[column])
	if figure == 0 {
		return "failed"
	}
	text := strconv.FormatFloat(figure, 'f', 0, 64)
	if sward == nil || r == sward {
		return text
	}
	return fmt.Sprintf("%s (×%.2f)", text, rig.PairedRatio(sward.rates[column], r.rates[column]))
}

// each is the median of every program's figure, with plus signs between.
func each(rounds [][]float64, format string) string {
	if len(rounds) == 0 || len(rounds[0]) == 0 {
		return "–"
	}
	var parts []string
	for i := range rounds[0] {
		var of []float64
		for _, r := range rounds {
			of = append(of, r[i])
		}
		parts = append(parts, fmt.Sprintf(format, rig.Median(of)))
	}
	return strings.Join(parts, " + ")
}

// goals are the figures that Sward set itself, beside what was found: each against the best of the tunnels over QUIC
// that ran in the same rounds.
func (b *bench) goals(sward *running) string {
	if sward == nil {
		return ""
	}
	var quic []*running
	for _, r := range b.runs {
		if r != sward && r.kind == "quic" {
			quic = append(quic, r)
		}
	}
	if len(quic) == 0 {
		return ""
	}
	table := rig.Table{Head: []string{"goal", "found", "best QUIC peer"}}
	for _, g := range []struct {
		column, goal string
		less         bool
	}{{oneStream, "≥ 1.15", false}, {manyStreams, "≥ 1.10", false}, {latency, "≤ 1.00", true}} {
		best := quic[0]
		for _, r := range quic[1:] {
			if better := rig.Median(r.rates[g.column]) > rig.Median(best.rates[g.column]); better != g.less {
				best = r
			}
		}
		table.Rows = append(table.Rows, []string{
			fmt.Sprintf("%s, ratio to the best QUIC peer %s", g.column, g.goal),
			fmt.Sprintf("%.2f", rig.PairedRatio(sward.rates[g.column], best.rates[g.column])), best.name,
		})
	}
	best, least := quic[0], total(quic[0].cpu[oneStream])
	for _, r := range quic[1:] {
		if t := total(r.cpu[oneStream]); rig.Median(t) < rig.Median(least) {
			best, least = r, t
		}
	}
	table.Rows = append(table.Rows,
		[]string{"CPU s/GiB of 1 stream, ratio to the best QUIC peer ≤ 0.85", fmt.Sprintf("%.2f", rig.PairedRatio(total(sward.cpu[oneStream]), least)), best.name},
		[]string{"TCP fallback, 1 stream, ratio to sing-box trojan ≥ 0.80", b.fallback(oneStream), "–"},
		[]string{"TCP fallback, 32 streams, ratio to sing-box trojan ≥ 0.80", b.fallback(manyStreams), "–"},
		[]string{"new connections/s, confirmed, ≥ 3,700", fmt.Sprintf("%.0f", rig.Median(sward.rates[freshRate])), "–"},
		[]string{"keep-alive/s ≥ 20,000", fmt.Sprintf("%.0f", rig.Median(sward.rates[keptRate])), "–"})
	return table.String()
}

// fallback is the tunnel over TCP beside a peer that is TCP by design.
func (b *bench) fallback(column string) string {
	tcp, trojan := b.find("Sward, UDP blocked (TCP)"), b.find("sing-box trojan")
	if tcp == nil || trojan == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", rig.PairedRatio(tcp.rates[column], trojan.rates[column]))
}

// total is the sum over programs for each round.
func total(rounds [][]float64) (sums []float64) {
	for _, r := range rounds {
		sum := 0.0
		for _, v := range r {
			sum += v
		}
		sums = append(sums, sum)
	}
	return sums
}
