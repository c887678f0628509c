package rig

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Table is one that Markdown shows. Cells are written as they will be read.
type Table struct {
	Head []string
	Rows [][]string
}

// String is the table in Markdown. The first column stands left, the figures right.
func (t Table) String() string {
	var b strings.Builder
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.Head)
	rule := make([]string, len(t.Head))
	for i := range rule {
		if rule[i] = "---:"; i == 0 {
			rule[i] = "---"
		}
	}
	line(rule)
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

// Machine is the shape of this machine and the date: what a figure means nothing without.
func Machine(now time.Time) string {
	return fmt.Sprintf("Measured %s on %d cores, %s of memory, %s, %s %s/%s.",
		now.UTC().Format("2006-01-02"), runtime.NumCPU(), memory(), kernel(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// memory is what /proc/meminfo says, in whole GiB.
func memory() string {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "an unknown amount"
	}
	var kib int64
	if _, err := fmt.Sscanf(string(data), "MemTotal: %d kB", &kib); err != nil {
		return "an unknown amount"
	}
	return fmt.Sprintf("%d GiB", (kib+(1<<20)-1)>>20)
}

// kernel is the version of the kernel, without what its builder appended.
func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(data)), "-")
	return "Linux " + version
}

// Replace writes text into a file between the lines <!-- name --> and <!-- /name -->, which must be there.
func Replace(file, name, text string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	open, shut := []byte("<!-- "+name+" -->\n"), []byte("<!-- /"+name+" -->\n")
	from, to := bytes.Index(data, open), bytes.Index(data, shut)
	if from < 0 || to < from {
		return fmt.Errorf("%s has no place for %s: it wants the lines %s and %s", file, name, bytes.TrimSpace(open), bytes.TrimSpace(shut))
	}
	return os.WriteFile(file, slices.Concat(data[:from], open, []byte("\n"+strings.TrimSpace(text)+"\n\n"), data[to:]), 0o644)
}

// Median of figures, between the two in the middle of an even number; 0 of none.
func Median(of []float64) float64 {
	if n := len(of); n > 0 && n%2 == 0 {
		sorted := slices.Clone(of)
		slices.Sort(sorted)
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return Quantile(of, 0.5)
}

// Quantile q of figures; 0 of none.
func Quantile(of []float64, q float64) float64 {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Clone(of)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// PairedRatio is the median of a's figures over b's of the same round: each round compares what ran side by side.
func PairedRatio(a, b []float64) float64 {
	var all []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			all = append(all, a[i]/b[i])
		}
	}
	return Median(all)
}
