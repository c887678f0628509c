package agent

import (
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"sward/accounting"
	"sward/edge"
)

func someEarnings() edge.Earnings {
	at := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	return edge.Earnings{
		At: at, From: "2026-10-23", To: "2026-11-22", Points: 2_500_000, Held: 500_000, HoldDays: 7,
		Price:   accounting.Price{ID: 1, GiB: 1_000_000_000, Edge: 700_000_000},
		Waiting: edge.Waiting{Receipts: 1, Bytes: 1000, Points: 651},
		Days: []edge.EarnedDay{{Day: "2026-11-22", Up: 10, Down: 990, Points: 652, Held: true, Receipts: []edge.EarnedReceipt{
			{Channel: accounting.ChannelID{1}, Serial: 7, At: at, Up: 10, Down: 990, Points: 652, PerGiB: 700_000_000, State: edge.EarnedSettled, Here: true},
			{Channel: accounting.ChannelID{2}, Serial: 1, At: at, Up: 5, State: edge.EarnedRefused, Why: "expired"},
		}}},
	}
}

func TestEarningsArePrinted(t *testing.T) {
	var out strings.Builder
	if err := (earningsFlags{receipts: true}).print(&out, someEarnings()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"points      2.500000 at ", "held        0.500000, earned within the last 7 days",
		"price       1000.000000 for a GiB, of which you get 700.000000",
		"waiting     about 0.000651, for 1000 bytes in 1 receipts that the hub has not confirmed",
		"2026-11-22  0.000652 for 10 bytes up, 990 down, held",
		"  settled   0.000652 for 1000 bytes, 01000000", "00000/7\n", "00000/1: expired\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := (earningsFlags{csv: true}).print(&out, someEarnings()); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
	if err != nil || len(rows) != 3 || rows[1][1] != "settled" || rows[1][7] != "652" || rows[2][9] != "2026-11-22T09:00:00Z" {
		t.Errorf("the CSV is %v, %v", rows, err)
	}
	for _, row := range rows {
		for _, field := range row {
			if strings.ContainsAny(field[:min(1, len(field))], "=+-@\t\r") { // L10
				t.Errorf("a spreadsheet takes %q for a formula", field)
			}
		}
	}
}

func TestWhyIsPrintedAsASum(t *testing.T) {
	var out strings.Builder
	c := edge.Chances{
		Today: edge.Chance{Day: "2026-11-22", Seen: 105, Eligible: 5, Won: 2, Fair: 3, Why: []edge.Reason{
			{Name: "elsewhere", Count: 100, Exact: true, Text: "were for another country"}, {Name: "turn", Count: 3, Text: "went to other lines"},
		}},
		Relays: []edge.Standing{{Lines: 12, Weight: .934}},
	}
	if err := printWhy(&out, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"asked for 105 connections on 2026-11-22. Of these\n", "       100 were for another country\n", " about   3 went to other lines\n",
		"5 could have been yours, 2 were, and an average line like yours had 3.", "you weigh 93 % of a line without fault. Lines in your country now: 12.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	out.Reset()
	if err := printWhy(&out, edge.Chances{Today: edge.Chance{Why: []edge.Reason{{Text: "Nobody asked your relays for anything."}}}}); err != nil || out.String() != "Nobody asked your relays for anything.\n" {
		t.Errorf("without demand it says %q, %v", out.String(), err)
	}
}
