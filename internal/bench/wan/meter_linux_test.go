package main

import (
	"io"
	"os"
	"testing"
	"time"
)

func TestRateCountsWhatArrivedInTheTime(t *testing.T) {
	got, err := rateOf(12_500_000, time.Now(), time.Second, os.ErrDeadlineExceeded)
	if err != nil || got != 100 {
		t.Errorf("12.5 MB in a second: %v Mbit/s, %v; want 100", got, err)
	}
	if _, err := rateOf(12_500_000, time.Now(), time.Second, io.ErrUnexpectedEOF); err == nil {
		t.Error("a transfer that broke off counts as one that ran its time")
	}
}

func TestRowsAreKeptByPartsOfTheirNames(t *testing.T) {
	all := []road{{name: "Sward"}, {name: "kernel TCP, bbr"}, {name: "sing-box hysteria2"}}
	for _, c := range []struct {
		parts string
		want  int
	}{{"", 3}, {"sward", 1}, {"BBR,hysteria", 2}, {"frp", 0}} {
		if got := keep(c.parts, all); len(got) != c.want {
			t.Errorf("%q keeps %d rows, want %d", c.parts, len(got), c.want)
		}
	}
}
