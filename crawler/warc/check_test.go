package warc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// problems are what Check says of a file.
func problems(t *testing.T, data []byte) (Summary, []string, error) {
	t.Helper()
	var said []string
	sum, err := Check(bytes.NewReader(data), func(_ int64, err error) { said = append(said, err.Error()) })
	if sum.Problems != len(said) {
		t.Errorf("the summary counts %d problems, want %d", sum.Problems, len(said))
	}
	return sum, said, err
}

func TestCheckFindsNothingInWhatWasArchived(t *testing.T) {
	dir := t.TempDir()
	w := openArchive(t, dir, 0)
	x := pageExchange("/a", "<p>grass</p>")
	x.Conversion = []byte("grass\n")
	at, err := w.Write(x)
	if err != nil {
		t.Fatal(err)
	}
	x.Started = x.Started.Add(1e9)
	x.Revisit, x.Conversion = &Original{ID: at.ID, URL: x.URL, Date: archiveTime}, nil
	if _, err := w.Write(x); err != nil {
		t.Fatal(err)
	}
	w.Close()
	data, err := os.ReadFile(archiveFiles(t, dir)[0])
	if err != nil {
		t.Fatal(err)
	}
	sum, said, err := problems(t, data)
	want := Summary{
		Records: 8, Payload: 12, From: archiveTime, To: x.Started,
		Types: map[string]int{"warcinfo": 1, "response": 1, "request": 2, "metadata": 2, "conversion": 1, "revisit": 1},
	}
	if diff := cmp.Diff(want, sum); diff != "" || len(said) > 0 || err != nil {
		t.Errorf("got %q, %v, summary (-want +got):\n%s", said, err, diff)
	}
}

func TestCheckGoesOnAfterAProblem(t *testing.T) {
	info := "WARC/1.1\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:0>\r\nWARC-Date: 2026-11-21T10:15:30Z\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
	response := func(id, fields, message string) string {
		return "WARC/1.1\r\nWARC-Type: response\r\nWARC-Record-ID: <" + id + ">\r\nWARC-Date: 2026-11-21T10:15:30Z\r\n" +
			"WARC-Target-URI: http://site.example/\r\nContent-Type: application/http;msgtype=response\r\n" + fields +
			"Content-Length: " + itoa(len(message)) + "\r\n\r\n" + message + "\r\n\r\n"
	}
	const whole = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
	for _, c := range []struct {
		name    string
		records []string
		says    string
	}{
		{"sound", []string{info, response("urn:1", "", whole)}, ""},
		{"block digest", []string{info, response("urn:1", "WARC-Block-Digest: sha1:AAAA\r\n", whole)}, "block does not match"},
		{"payload digest", []string{info, response("urn:1", "WARC-Payload-Digest: sha1:AAAA\r\n", whole)}, "payload does not match its digest"},
		{"sha256", []string{info, response("urn:1", payloadSHA256+": 00\r\n", whole)}, "payload does not match its SHA-256"},
		{"length", []string{info, response("urn:1", "", strings.Replace(whole, "4", "5", 1))}, "says \"5\" bytes, the payload has 4"},
		{"length of a truncated one", []string{info, response("urn:1", "WARC-Truncated: length\r\n", strings.Replace(whole, "4", "5", 1))}, ""},
		{"no HTTP", []string{info, response("urn:1", "", "grass\r\n\r\n")}, "HTTP header"},
		{"name used twice", []string{info, response("urn:0", "", whole)}, "used twice"},
		{"no warcinfo", []string{response("urn:1", "", whole)}, "starts with a response"},
		{"reference to nowhere", []string{info, response("urn:1", "WARC-Concurrent-To: <urn:9>\r\n", whole)}, "not in the file"},
		{"no target", []string{info, strings.Replace(response("urn:1", "", whole), "WARC-Target-URI", "X-URI", 1)}, "without WARC-Target-URI"},
		{"two in a member", []string{info + info}, "block is not of"},
	} {
		var data []byte
		for _, r := range append(c.records, response("urn:last", "", whole)) {
			data = append(data, gzipped(t, r)...)
		}
		sum, said, err := problems(t, data)
		if err != nil || sum.Records != len(c.records)+1 || sum.Types["response"] == 0 {
			t.Errorf("%s: got %d records, %v, want all %d", c.name, sum.Records, err, len(c.records)+1)
		}
		if got := strings.Join(said, "; "); c.says == "" && got != "" || !strings.Contains(got, c.says) || len(said) > 1 {
			t.Errorf("%s: got %q, want %q", c.name, got, c.says)
		}
	}
}

func TestCheckNamesAFileThatEndsInsideARecord(t *testing.T) {
	whole := []byte(gzipped(t, "WARC/1.1\r\nWARC-Type: warcinfo\r\nWARC-Record-ID: <urn:0>\r\nWARC-Date: 2026-11-21T10:15:30Z\r\nContent-Length: 0\r\n\r\n\r\n\r\n"))
	for n, data := range map[string][]byte{"empty": nil, "torn": append(bytes.Clone(whole), whole[:20]...)} {
		if _, _, err := problems(t, data); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, want %v", n, err, io.ErrUnexpectedEOF)
		}
	}
}
