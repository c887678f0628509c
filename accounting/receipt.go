package accounting

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"sward/internal/identity"
	"sward/internal/wire"
)

const (
	receiptSize = headSize + 32 + 8 + 8 + 8 + 8 + 8 + 4 + 32 + 2 // without tallies
	tallySize   = 16 + 8 + 8 + 4

	// MaxTallies bounds the grants that one channel can serve: the tallies of all of them are in every receipt.
	MaxTallies = wire.MaxTallies

	maxReceiptSize = receiptSize + MaxTallies*tallySize
)

// FlagFinal marks the last receipt of a channel. The other bits are zero.
const FlagFinal = 1 << 0

// Tally is what one grant has used of a channel.
type Tally struct {
	Grant   GrantID
	Up      uint64 // bytes delivered to targets
	Down    uint64 // bytes delivered to the partner
	Streams uint32 // opened
}

// Receipt is how far a channel has got, in words that both its sides sign. All counts are since the channel opened, so
// the latest receipt replaces all before it: losing some costs nothing. The hub credits the edge from the totals and
// debits each grant by its tally; they are the same signed bytes. Layout: PROTOCOL.md §8.3.
type Receipt struct {
	Channel ChannelID
	Serial  uint64 // from 1, by 1
	Up      uint64 // sum of the tallies
	Down    uint64 // sum of the tallies
	Streams uint64 // sum of the tallies
	Time    int64  // Unix milliseconds, for people: no amount depends on it
	Flags   uint32
	Prev    [32]byte // Hash of the receipt before; zero at serial 1
	Tallies []Tally  // strictly ascending by grant, at most MaxTallies
}

// Append adds the body to b. It does not check the values: [ParseReceipt] does, wherever the body arrives.
func (r Receipt) Append(b []byte) []byte {
	b = appendHead(slices.Grow(b, receiptSize+len(r.Tallies)*tallySize), kindReceipt)
	b = append(b, r.Channel[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Serial)
	b = binary.BigEndian.AppendUint64(b, r.Up)
	b = binary.BigEndian.AppendUint64(b, r.Down)
	b = binary.BigEndian.AppendUint64(b, r.Streams)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint32(b, r.Flags)
	b = append(b, r.Prev[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Tallies)))
	for _, t := range r.Tallies {
		b = append(b, t.Grant[:]...)
		b = binary.BigEndian.AppendUint64(b, t.Up)
		b = binary.BigEndian.AppendUint64(b, t.Down)
		b = binary.BigEndian.AppendUint32(b, t.Streams)
	}
	return b
}

// ParseReceipt reads a body. Refusals: length, version, type, field, order, count, total.
func ParseReceipt(b []byte) (Receipt, error) {
	if len(b) < receiptSize {
		return Receipt{}, fmt.Errorf("receipt: %d bytes: %w", len(b), ErrLength)
	}
	n := int(binary.BigEndian.Uint16(b[receiptSize-2:]))
	if n > MaxTallies {
		return Receipt{}, fmt.Errorf("receipt: %d tallies: %w", n, ErrLength)
	}
	if err := checkHead(b, kindReceipt, receiptSize+n*tallySize); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	f := fields(b[headSize:])
	r := Receipt{
		Channel: f.id(),
		Serial:  f.u64(),
		Up:      f.u64(),
		Down:    f.u64(),
		Streams: f.u64(),
		Time:    int64(f.u64()),
		Flags:   f.u32(),
		Prev:    f.id(),
	}
	f.next(2)
	if n > 0 {
		r.Tallies = make([]Tally, n)
	}
	for i := range r.Tallies {
		r.Tallies[i] = Tally{Grant: f.tag(), Up: f.u64(), Down: f.u64(), Streams: f.u32()}
	}
	if err := r.check(); err != nil {
		return Receipt{}, fmt.Errorf("receipt %d: %w", r.Serial, err)
	}
	return r, nil
}

func (r Receipt) check() error {
	switch {
	case r.Serial == 0 || r.Serial > MaxCount:
		return fmt.Errorf("serials start at 1: %w", ErrField)
	case (r.Serial == 1) != (r.Prev == [32]byte{}):
		return fmt.Errorf("only the first has no receipt before it: %w", ErrField)
	case r.Time < 0 || r.Flags&^FlagFinal != 0:
		return fmt.Errorf("time %d, flags %x: %w", r.Time, r.Flags, ErrField)
	}
	for i := 1; i < len(r.Tallies); i++ {
		if bytes.Compare(r.Tallies[i-1].Grant[:], r.Tallies[i].Grant[:]) >= 0 {
			return fmt.Errorf("tally %d: %w", i, ErrOrder)
		}
	}
	sum, ok := sumTallies(r.Tallies)
	if !ok {
		return ErrCount
	}
	if r.Up != sum.Up || r.Down != sum.Down || r.Streams != sum.Streams {
		return ErrTotal
	}
	return nil
}

// Sum sets the totals to the sums of the tallies; false, and no change, when one passes [MaxCount].
func (r *Receipt) Sum() bool {
	sum, ok := sumTallies(r.Tallies)
	if ok {
		r.Up, r.Down, r.Streams = sum.Up, sum.Down, sum.Streams
	}
	return ok
}

// totals are the sums over some tallies. Up and Down together fit MaxCount as well: what is paid for is both.
type totals struct{ Up, Down, Streams uint64 }

func sumTallies(tallies []Tally) (sum totals, ok bool) {
	for _, t := range tallies {
		if sum.Up, ok = AddChecked(sum.Up, t.Up); !ok {
			return totals{}, false
		}
		if sum.Down, ok = AddChecked(sum.Down, t.Down); !ok {
			return totals{}, false
		}
		sum.Streams += uint64(t.Streams) // at most 2^10 × 2^32
	}
	_, ok = AddChecked(sum.Up, sum.Down)
	return sum, ok
}

// Hash is the SHA-256 of the body: what the next receipt names as the one before it.
func (r Receipt) Hash() [32]byte { return sha256.Sum256(r.Append(nil)) }

// Sign is the signature of key, the relay's or the edge's channel key, over the receipt.
func (r Receipt) Sign(network string, key identity.Key) []byte {
	return key.Sign(network, typeReceipt, r.Append(nil))
}

// SignedReceipt is a receipt with the bytes that both sides signed and their signatures.
type SignedReceipt struct {
	Receipt
	Body              []byte
	EdgeSig, RelaySig []byte
}

// Bytes is the body, the edge's signature and the relay's.
func (r SignedReceipt) Bytes() []byte { return slices.Concat(r.Body, r.EdgeSig, r.RelaySig) }

// ParseSignedReceipt reads what Bytes wrote. The signatures are not checked: see [SignedReceipt.Verify].
func ParseSignedReceipt(b []byte) (SignedReceipt, error) {
	size := len(b) - 2*signatureSize
	if size < receiptSize || size > maxReceiptSize {
		return SignedReceipt{}, fmt.Errorf("signed receipt: %d bytes: %w", len(b), ErrLength)
	}
	f := fields(bytes.Clone(b))
	s := SignedReceipt{Body: f.next(size), EdgeSig: f.next(signatureSize), RelaySig: f.next(signatureSize)}
	var err error
	s.Receipt, err = ParseReceipt(s.Body)
	return s, err
}

// Check does all of Verify but the signatures. Refusals: channel, body, half_signed.
func (r SignedReceipt) Check(network string, c Channel) error {
	switch {
	case r.Channel != c.ID(network):
		return fmt.Errorf("receipt %d: %w", r.Serial, ErrChannel)
	case !bytes.Equal(r.Body, r.Append(nil)):
		return fmt.Errorf("receipt %d: %w", r.Serial, ErrBody)
	case unsigned(r.EdgeSig) || unsigned(r.RelaySig):
		return fmt.Errorf("receipt %d: %w", r.Serial, ErrHalfSigned)
	}
	return nil
}

// Signatures are the edge's and the relay's, for identity.VerifyBatch: the hub checks many receipts at once.
func (r SignedReceipt) Signatures(c Channel) [2]identity.Signed {
	return [2]identity.Signed{
		{ID: c.EdgeKey, Type: typeReceipt, Body: r.Body, Sig: r.EdgeSig},
		{ID: c.RelayKey, Type: typeReceipt, Body: r.Body, Sig: r.RelaySig},
	}
}

// Verify says whether both sides of c have signed exactly this receipt in network. Refusals: channel, body,
// half_signed, signature. Whether it may follow the receipts before it depends on those: the caller knows them.
func (r SignedReceipt) Verify(network string, c Channel) error {
	if err := r.Check(network, c); err != nil {
		return err
	}
	for _, s := range r.Signatures(c) {
		if !s.ID.Verify(network, s.Type, s.Body, s.Sig) {
			return fmt.Errorf("receipt %d: %w", r.Serial, ErrSignature)
		}
	}
	return nil
}
