package edge

import "testing"

func TestSizesAreRoundedForPeople(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 2_340_000: "2.3 MB", 5e9: "5.00 GB", 7_120_000_000_000: "7.12 TB"} {
		if got := HumanSize(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for want, u := range map[int64]Used{0: {Bytes: 5}, 50: {Bytes: 50, Cap: 100}, 100: {Bytes: 5000, Cap: 100}} {
		if got := u.Percent(); got != want {
			t.Errorf("%+v: got %d%%, want %d%%", u, got, want)
		}
	}
}
