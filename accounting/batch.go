package accounting

import (
	"encoding/binary"
	"fmt"
	"math"
)

// appendBatch adds a settlement as it travels: n u32 × (length u16 | signed channel) | n u32 × (length u16 | signed
// receipt).
func appendBatch(b []byte, channels []SignedChannel, receipts []SignedReceipt) ([]byte, error) {
	var long bool
	record := func(r []byte) {
		long = long || len(r) > math.MaxUint16
		b = binary.BigEndian.AppendUint16(b, uint16(len(r)))
		b = append(b, r...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(channels)))
	for _, c := range channels {
		record(c.Bytes())
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(receipts)))
	for _, r := range receipts {
		record(r.Bytes())
	}
	if long || len(b) > maxSettlement || len(channels)+len(receipts) > maxSettlementItems {
		return nil, fmt.Errorf("settlement of %d bytes: more than %d: %w", len(b), maxSettlement, ErrLength)
	}
	return b, nil
}

// parseBatch reads what appendBatch wrote, and checks the form of every record. The signatures are not checked.
func parseBatch(b []byte) (channels []SignedChannel, receipts []SignedReceipt, err error) {
	if channels, b, err = parseRecords(b, ParseSignedChannel); err != nil {
		return nil, nil, err
	}
	if receipts, b, err = parseRecords(b, ParseSignedReceipt); err != nil {
		return nil, nil, err
	}
	if len(b) > 0 {
		return nil, nil, fmt.Errorf("settlement: trailing bytes: %w", ErrLength)
	}
	return channels, receipts, nil
}

func parseRecords[T any](b []byte, parse func([]byte) (T, error)) (all []T, rest []byte, err error) {
	short := fmt.Errorf("settlement: ends early: %w", ErrLength)
	if len(b) < 4 {
		return nil, nil, short
	}
	n := binary.BigEndian.Uint32(b)
	b = b[4:]
	if n > maxSettlementItems {
		return nil, nil, fmt.Errorf("settlement: %d records: %w", n, ErrLength)
	}
	for range n {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return nil, nil, short
		}
		length := int(binary.BigEndian.Uint16(b))
		one, err := parse(b[2 : 2+length])
		if err != nil {
			return nil, nil, fmt.Errorf("settlement: record %d: %w", len(all), err)
		}
		all, b = append(all, one), b[2+length:]
	}
	return all, b, nil
}
