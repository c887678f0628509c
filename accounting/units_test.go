package accounting

import (
	"math"
	"testing"
)

func TestMicroIsWrittenToTheLastMillionth(t *testing.T) {
	for m, want := range map[Micro]string{
		0: "0.000000", 1: "0.000001", -250_000: "-0.250000", 12_345_678: "12.345678",
		math.MaxInt64: "9223372036854.775807", math.MinInt64: "-9223372036854.775808",
	} {
		if got := m.String(); got != want {
			t.Errorf("%d: got %s, want %s", int64(m), got, want)
		}
	}
}

func TestMicroAddRefusesToWrap(t *testing.T) {
	for _, x := range []struct {
		a, b, want Micro
		ok         bool
	}{
		{1, 2, 3, true},
		{math.MaxInt64, 0, math.MaxInt64, true},
		{math.MaxInt64, -1, math.MaxInt64 - 1, true},
		{math.MaxInt64, 1, 0, false},
		{math.MinInt64, -1, 0, false},
		{math.MinInt64, math.MaxInt64, -1, true},
	} {
		if got, err := x.a.Add(x.b); got != x.want || (err == nil) != x.ok {
			t.Errorf("%d + %d: got %d, %v; want %d, ok %t", x.a, x.b, got, err, x.want, x.ok)
		}
	}
}

func TestAddCheckedRefusesCountsPastTheBound(t *testing.T) {
	for _, x := range []struct {
		a, b, want uint64
		ok         bool
	}{
		{1, 2, 3, true},
		{MaxCount, 0, MaxCount, true},
		{MaxCount - 1, 1, MaxCount, true},
		{MaxCount, 1, 0, false},
		{1, MaxCount, 0, false},
		{math.MaxUint64, 2, 0, false},
		{2, math.MaxUint64, 0, false},
	} {
		if got, ok := AddChecked(x.a, x.b); got != x.want || ok != x.ok {
			t.Errorf("%d + %d: got %d, %t; want %d, %t", x.a, x.b, got, ok, x.want, x.ok)
		}
	}
}
