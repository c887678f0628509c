package agent

import (
	"strings"
	"testing"

	"sward/accounting"
)

func TestHouseholdArgumentsAreChecked(t *testing.T) {
	const device = "12D3KooWDRhMFnecELQXeGEkE5hcyBqGwWsgkTJ5Nh5QUq9NvKNy"
	for args, want := range map[string]string{ // method and form, or the error
		"": "GET /api/household ", "agree": "POST /household act=agree", "leave": "POST /household act=leave",
		"invite " + device: "POST /household act=invite&with=" + device,
		"invite":           "invite whom", "invite bob": "not a device", "rob": "none of", "agree now": "none of",
	} {
		method, path, form, err := householdAct(strings.Fields(args))
		got := method + " " + path + " " + form.Encode()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

func TestHouseholdIsShownInWords(t *testing.T) {
	var invited, shared strings.Builder
	if err := printHousehold(&invited, accounting.HouseholdAnswer{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(invited.String(), "household agree") {
		t.Errorf("an invitation does not say how to answer it:\n%s", invited.String())
	}
	home := accounting.HouseholdAnswer{
		Name: "x", Agreed: true, Caps: accounting.HouseholdCaps{Day: 10e9}, Used: accounting.HouseholdVolume{DayBytes: 4e9},
		Members: []accounting.HouseholdMember{{Agreed: true, Here: true}, {}},
	}
	if err := printHousehold(&shared, home); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"4.00 GB of 10.00 GB", "is invited", "shares, 0 B today"} {
		if !strings.Contains(shared.String(), want) {
			t.Errorf("%q is missing:\n%s", want, shared.String())
		}
	}
}
