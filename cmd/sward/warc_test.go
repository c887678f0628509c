package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sward/crawler/warc"
)

// warcFile is an archive of one page and a revisit to it.
func warcFile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	w, err := warc.Open(dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := warc.Exchange{
		URL: "https://site.example/a", Started: time.Date(2026, 11, 21, 10, 15, 30, 0, time.UTC),
		Request: []byte("GET /a HTTP/1.1\r\nHost: site.example\r\n\r\n"), Response: []byte("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"),
		Body: []byte("<p>grass</p>"), Conversion: []byte("grass\n"),
	}
	at, err := w.Write(x)
	if err != nil {
		t.Fatal(err)
	}
	x.URL, x.Revisit, x.Conversion = "https://site.example/b", &warc.Original{ID: at.ID, URL: x.URL, Date: x.Started}, nil
	if _, err := w.Write(x); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, at.File)
}

// runSward runs a command in this process.
func runSward(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

func TestWARCFileIsListedReadAndChecked(t *testing.T) {
	path := warcFile(t)
	listed, err := runSward(t, "warc", "ls", path, "--type", "response")
	if err != nil || !regexp.MustCompile(`^ +\d+  response    2026-11-21T10:15:30Z  200         12  https://site\.example/a\n$`).MatchString(listed) {
		t.Errorf("ls: got %q, %v", listed, err)
	}
	offset := strings.Fields(listed)[0]
	for _, c := range []struct {
		args []string
		want string
		says string
	}{
		{[]string{"https://site.example/a"}, "<p>grass</p>", ""},
		{[]string{offset}, "<p>grass</p>", ""},
		{[]string{offset, "--header"}, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", ""},
		{[]string{offset, "--record"}, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<p>grass</p>", ""},
		{[]string{"https://site.example/a", "--type", "conversion"}, "grass\n", ""},
		{[]string{"https://site.example/b"}, "", "its payload is that of https://site.example/a, at 2026-11-21T10:15:30.000Z"},
		{[]string{"https://site.example/c"}, "", "no record of https://site.example/c"},
		{[]string{"7"}, "", "no record starts at byte 7"},
	} {
		got, err := runSward(t, append([]string{"warc", "cat", path}, c.args...)...)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("cat %v: got %q, %v, want %q, %q", c.args, got, err, c.want, c.says)
		}
	}
	if got, err := runSward(t, "warc", "check", path); err != nil || !strings.HasSuffix(got, "6 records (1 conversion, 2 request, 1 response, 1 revisit, 1 warcinfo), 12 bytes of payload, from 2026-11-21T10:15:30Z to 2026-11-21T10:15:30Z: sound\n") {
		t.Errorf("check: got %q, %v", got, err)
	}
}

func TestWARCCheckNamesWhatIsWrong(t *testing.T) {
	sound := warcFile(t)
	data, err := os.ReadFile(sound)
	if err != nil {
		t.Fatal(err)
	}
	torn := filepath.Join(t.TempDir(), "torn.warc.gz")
	if err := os.WriteFile(torn, data[:len(data)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := runSward(t, "warc", "check", sound, torn, "nowhere.warc.gz")
	if err == nil || err.Error() != "2 of 3 files are not sound" {
		t.Errorf("got %v, want that 2 of 3 are not sound", err)
	}
	for _, want := range []string{": sound\n", "torn.warc.gz: read WARC record at byte ", "unexpected EOF", "no such file"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to say %q", got, want)
		}
	}
}

// A record's fields are a stranger's: what steers a terminal does not reach it.
func TestWARCListingIsPrintable(t *testing.T) {
	if got := printable("https://site.example/\x1b[2J\u202e"); got != "https://site.example/?[2J?" {
		t.Errorf("got %q", got)
	}
}
