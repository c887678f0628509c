package api

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// timed is a writer that notes how long the client may take for each piece.
type timed struct {
	*httptest.ResponseRecorder
	until  time.Time
	pieces int
}

func (w *timed) SetWriteDeadline(at time.Time) error { w.until = at; return nil }

func (w *timed) Write(b []byte) (int, error) {
	if left := time.Until(w.until); left <= 0 || left > answerWait {
		return 0, errNoKey // any
	}
	w.pieces, w.until = w.pieces+1, time.Time{}
	return w.ResponseRecorder.Write(b)
}

// A client that asks for ten megabytes and reads none of them must not keep them in memory for ever.
func TestAnswerWaitsForAClientThatReads(t *testing.T) {
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	answer(w, 200, strings.Repeat("x", 3*answerPiece))
	if w.pieces != 4 || w.Body.Len() != 3*answerPiece+2 || w.Header().Get("Content-Length") != "196610" {
		t.Errorf("got %d pieces, %d bytes, header %v, want 4 pieces of %d bytes, each with a deadline", w.pieces, w.Body.Len(), w.Header(), 3*answerPiece+2)
	}
}
