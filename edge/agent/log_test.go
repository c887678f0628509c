package agent

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sward/edge"
	"sward/edge/diary"
	"sward/policy"
)

func TestTheOwnerReadsExportsAndForgetsWhatLeft(t *testing.T) { // H15
	dir, now := t.TempDir(), time.Now()
	clock := func() time.Time { return now }
	for _, use := range []struct {
		ago  int
		site string
	}{{2, "older.example"}, {1, "yesterday.example"}, {0, "today.example"}} {
		now = time.Now().AddDate(0, 0, -use.ago)
		d, err := diary.Open(filepath.Join(dir, edge.DiaryDir), diary.DefaultKeep, clock)
		if err != nil {
			t.Fatal(err)
		}
		host, err := policy.ParseHost("www." + use.site)
		if err != nil {
			t.Fatal(err)
		}
		d.Add(host, policy.AppProxy, "price-comparison", 1234, 56789)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	day := time.Now().AddDate(0, 0, -1).Format(time.DateOnly)
	for _, step := range []struct {
		args      string
		want, not []string
	}{
		{"", []string{"today.example", "price-comparison", "proxy", "1234", "56789"}, []string{"yesterday", "www"}},
		{"--day yesterday", []string{"yesterday.example"}, []string{"today.example"}},
		{"--day all --csv", []string{"day,site,", day + ",yesterday.example,other,price-comparison,proxy,1,1234,56789\n", "older", "today"}, nil},
		{"--json --day " + day, []string{`"site": "yesterday.example"`, `"up": 1234`}, []string{"today"}},
		{"--forget --day " + day, []string{"forgotten: " + day}, nil},
		{"--day all", []string{"older", "today.example"}, []string{"yesterday.example"}},
		{"--day all --forget", []string{"forgotten"}, []string{day}},
		{"--day all", []string{"nothing left your line"}, []string{"example"}},
	} {
		out, err := do(t.Context(), nil, append([]string{"log", "--dir", dir}, strings.Fields(step.args)...)...)
		if err != nil {
			t.Errorf("log %s: %v", step.args, err)
		}
		for _, want := range step.want {
			if !strings.Contains(out, want) {
				t.Errorf("log %s does not say %q:\n%s", step.args, want, out)
			}
		}
		for _, not := range step.not {
			if strings.Contains(out, not) {
				t.Errorf("log %s says %q:\n%s", step.args, not, out)
			}
		}
	}
	for _, bad := range []string{"--day ../../key", "--day 2026-1-1", "--csv --json", "--csv --forget"} {
		if out, err := do(t.Context(), nil, append([]string{"log", "--dir", dir}, strings.Fields(bad)...)...); err == nil {
			t.Errorf("log %s was taken: %s", bad, out)
		}
	}
}
