package warc

import (
	"bytes"
	"slices"
	"strings"
)

// ReceivedHeader undoes what the archive did to a head whose body it decoded (archivedHeader): the head is again the
// one that the edge's statement has the digest of.
func ReceivedHeader(head []byte) []byte {
	const prefix = "X-Archive-Orig-"
	lines := strings.Split(strings.TrimRight(string(head), "\r\n"), "\r\n")
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, prefix) }) {
		return head
	}
	lines = lines[:len(lines)-1] // the length that was added
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(strings.TrimPrefix(l, prefix))
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
