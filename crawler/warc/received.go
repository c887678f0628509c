package warc

import (
	"bytes"
	"slices"
	"strings"
)

// ReceivedHeader undoes what the archive did to a head whose body it decoded (archivedHeader): the head is again the
// one that the edge's statement has the digest of.
func ReceivedHeader(head []byte) []byte {
	lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n")
	// Archives send fields of that prefix too: where no coding was undone, they are the site's own.
	if !slices.ContainsFunc(lines, func(l string) bool { return undone(l, "Content-Encoding") || undone(l, "Transfer-Encoding") }) {
		return head
	}
	lines = lines[:len(lines)-1] // the length that was added
	var b bytes.Buffer
	for _, l := range lines {
		if undone(l, "Content-Encoding") || undone(l, "Transfer-Encoding") || undone(l, "Content-Length") {
			l = strings.TrimPrefix(l, original)
		}
		b.WriteString(l)
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// original is put before the names of fields that speak of the coded body.
const original = "X-Archive-Orig-"

func undone(line, name string) bool {
	rest, found := strings.CutPrefix(line, original)
	return found && isField([]byte(rest), name)
}
