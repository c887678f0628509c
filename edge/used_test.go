package edge

import (
	"testing"

	"sward/policy"
)

func TestTheProofLineIsNeverRoundedUp(t *testing.T) {
	for want, u := range map[string]Used{
		"cap 200 GB, used 199.80 GB":                   {Cap: 200e9, Bytes: 199_809_999_999},
		"cap 200 GB, used 199.99 GB":                   {Cap: 200e9, Bytes: 199_999_999_999},
		"cap 10 GiB, used 10.73 GB":                    {Cap: 10 << 30, Bytes: 10 << 30},
		"cap 500 B, used 499 B":                        {Cap: 500, Bytes: 499},
		"cap 5 GB, used 0.00 GB":                       {Cap: 5e9, Bytes: 12_000},
		"no cap, used 12.00 kB":                        {Bytes: 12_000},
		"no cap, used 0 B; up: cap 2 TB, used 1.50 TB": {CapUp: 2e12, Up: 1e12, Lost: 5e11},
		"cap 3 MB, used 2.00 MB; up: cap 1 MB, used 0.50 MB; down: cap 2 MB, used 1.50 MB": {
			Cap: 3e6, CapUp: 1e6, CapDown: 2e6, Bytes: 2e6, Up: 5e5, Down: 15e5,
		},
	} {
		if got := u.proof(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What the owner sees is what is counted, in the provider's days.
func TestUsedIsCountedWhereTheProviderCounts(t *testing.T) {
	c := Caps{Month: 1e9, BillingDay: 31, TimeZone: "Pacific/Auckland"}
	zone, err := c.Zone()
	if err != nil {
		t.Fatal(err)
	}
	v, err := openVolume(t.TempDir()+"/"+volumeFile, c.Policy(), zone, fixed(noon)) // one in the morning of the 22nd there
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.reserve(policy.Up, 1000); err != nil {
		t.Fatal(err)
	}
	today, month := v.used().used()
	if today.Period != "2026-11-22" || month.Period != "2026-10-31" || month.Ends.Format("2006-01-02 15:04") != "2026-11-30 00:00" {
		t.Errorf("got the day %s and the month from %s until %s", today.Period, month.Period, month.Ends)
	}
	if today.Up != 1000 || today.Bytes != 1000 || month.Proof != "cap 1 GB, used 0.00 GB" {
		t.Errorf("got %+v and %+v", today, month)
	}
}
