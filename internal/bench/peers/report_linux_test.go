package main

import (
	"strings"
	"testing"
	"time"

	"sward/internal/bench/rig"
)

func TestReportComparesRoundsThatRanSideBySide(t *testing.T) {
	b := &bench{origin: "nginx", plan: plan{rounds: 3}}
	add := func(name, kind string, one []float64, cpu float64) {
		r := &running{contender: contender{name: name, kind: kind}, rates: map[string][]float64{oneStream: one}, cpu: map[string][][]float64{}}
		for range one {
			r.cpu[oneStream] = append(r.cpu[oneStream], []float64{cpu, cpu / 2})
			r.rss = append(r.rss, []float64{30, 20})
		}
		b.runs = append(b.runs, r)
	}
	add("Sward", "quic", []float64{200, 20, 220}, 4)
	add("slow", "quic", []float64{100, 5, 100}, 6)
	add("best", "quic", []float64{160, 10, 150}, 5)
	add("plain", "plain", []float64{1000, 1000, 1000}, 0.2)
	report := b.report()
	for _, want := range []string{
		"| Sward | 200 |", "| best | 150 (×1.47) |", "4.0 + 2.0", "30 + 20", // 200/160, 20/10, 220/150
		"| 1 stream, MiB/s, ratio to the best QUIC peer ≥ 1.15 | 1.47 | best |",
		"≤ 0.85 | 0.80 | best |",
		"| hysteria † |",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
}

func TestReferenceHasAFigureForEachColumn(t *testing.T) {
	for line := range strings.Lines(reference) {
		if cells := strings.Split(strings.TrimSpace(line), "\t"); !strings.HasPrefix(line, "#") && len(cells) != 10 {
			t.Errorf("%d cells, want 10: %q", len(cells), line)
		}
	}
	for _, c := range given() {
		if !strings.Contains(reference, "\n"+c.name+"\t") {
			t.Errorf("%s is neither served by a registry nor in reference.tsv", c.name)
		}
	}
}

func TestAFailedRoundIsAZeroAndShiftsNoPair(t *testing.T) {
	r := &running{rates: map[string][]float64{}, cpu: map[string][][]float64{}}
	m := metric{oneStream, job{Size: 1 << 30}}
	r.note(m, outcome{}, nil, rig.ErrMissing)
	r.note(m, outcome{Requests: 1, Took: 2 * time.Second}, []float64{3}, nil)
	if got := r.rates[oneStream]; len(got) != 2 || got[0] != 0 || got[1] != 512 {
		t.Errorf("got %v, want [0 512]", got)
	}
	if got := r.cpu[oneStream]; len(got) != 1 || got[0][0] != 3 {
		t.Errorf("CPU %v, want [[3]] seconds per GiB", got)
	}
}
