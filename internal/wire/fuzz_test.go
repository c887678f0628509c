package wire

import (
	"bytes"
	"testing"
)

// fuzzCodec checks that parse never panics, and that what it accepts is the one
// encoding of what it returns.
func fuzzCodec[M codec](f *testing.F, parse func([]byte) (M, error)) {
	for _, e := range examples {
		if _, same := e.message.(M); same {
			f.Add(e.message.Append(nil))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parse(body)
		if err != nil {
			return
		}
		if again := m.Append([]byte{}); !bytes.Equal(again, body) {
			t.Errorf("read %+v\nfrom  %x\nwrote %x", m, body, again)
		}
	})
}

func FuzzHello(f *testing.F)         { fuzzCodec(f, ParseHello) }
func FuzzWelcome(f *testing.F)       { fuzzCodec(f, ParseWelcome) }
func FuzzStatus(f *testing.F)        { fuzzCodec(f, ParseStatus) }
func FuzzBye(f *testing.F)           { fuzzCodec(f, ParseBye) }
func FuzzChannelAsk(f *testing.F)    { fuzzCodec(f, ParseChannelAsk) }
func FuzzChannelOffer(f *testing.F)  { fuzzCodec(f, ParseChannelOffer) }
func FuzzChannelAccept(f *testing.F) { fuzzCodec(f, ParseChannelAccept) }
func FuzzCount(f *testing.F)         { fuzzCodec(f, ParseCount) }
func FuzzReceiptOffer(f *testing.F)  { fuzzCodec(f, ParseReceiptOffer) }
func FuzzReceiptSign(f *testing.F)   { fuzzCodec(f, ParseReceiptSign) }
func FuzzDone(f *testing.F)          { fuzzCodec(f, ParseDone) }
func FuzzPlace(f *testing.F)         { fuzzCodec(f, ParsePlace) }
func FuzzObserved(f *testing.F)      { fuzzCodec(f, ParseObserved) }
func FuzzReach(f *testing.F)         { fuzzCodec(f, ParseReach) }
func FuzzDialBack(f *testing.F)      { fuzzCodec(f, ParseDialBack) }
func FuzzDialedBack(f *testing.F)    { fuzzCodec(f, ParseDialedBack) }
func FuzzRegrant(f *testing.F)       { fuzzCodec(f, ParseRegrant) }
func FuzzRoute(f *testing.F)         { fuzzCodec(f, ParseRoute) }
func FuzzOpen(f *testing.F)          { fuzzCodec(f, ParseOpen) }
func FuzzOpened(f *testing.F)        { fuzzCodec(f, ParseOpened) }
func FuzzBatch(f *testing.F)         { fuzzCodec(f, ParseBatch) }
func FuzzPage(f *testing.F)          { fuzzCodec(f, ParsePage) }
func FuzzBody(f *testing.F)          { fuzzCodec(f, ParseBody) }
func FuzzBatchEnd(f *testing.F)      { fuzzCodec(f, ParseBatchEnd) }
func FuzzAttest(f *testing.F)        { fuzzCodec(f, ParseAttest) }

// FuzzReadFrame checks that a reader never holds more than a frame may have, and
// that a frame it accepts is written back as it came.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{byte(TypeDone), 0, 0, 2, 1, 2})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		frameType, body, err := ReadFrame(bytes.NewReader(in), nil)
		if cap(body) > MaxFrame {
			t.Errorf("body of capacity %d, want at most %d", cap(body), MaxFrame)
		}
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := WriteFrame(&out, frameType, body); err != nil {
			t.Fatalf("write: %v", err)
		}
		if want := in[:headerSize+len(body)]; !bytes.Equal(out.Bytes(), want) {
			t.Errorf("wrote %x, want %x", out.Bytes(), want)
		}
	})
}
