package warc

import "testing"

// What an archive did to a head is undone, and what the site wrote stays: archives are sites too, and send such names.
func TestReceivedHeadIsTheSitesOwn(t *testing.T) {
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Robots-Tag: noai\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\nX-Robots-Tag: noai\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Archive-Orig-Server: nginx\r\nX-Robots-Tag: noai\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX-Archive-Orig-Server: nginx\r\ntransfer-encoding: chunked\r\nX-Robots-Tag: noai\r\n\r\n",
	} {
		if got := string(ReceivedHeader(archivedHeader([]byte(head), 4))); got != head {
			t.Errorf("got %q, want %q", got, head)
		}
	}
}
