package accounting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ReadJournal gives every record of the journal in dir to fn, from the first on, and fails at the first thing that is
// not as it was written: a *Damage error names segment, record and offset. It changes nothing and forgives nothing; a
// torn tail, which [OpenJournal] would cut off, is damage here. An error of fn ends it too. A journal without segments
// has no records. Nobody may append meanwhile.
func ReadJournal(dir string, fn func(Record) error) error { return readJournal(dir, false, fn) }

// readJournal can also read a trimmed journal: one that no longer has its first segments.
func readJournal(dir string, trimmed bool, fn func(Record) error) error {
	names, err := segmentNames(dir)
	if err != nil {
		return err
	}
	var end chain
	for i, name := range names {
		r, err := openSegment(dir, name)
		if err != nil {
			return err
		}
		if follows := r.chain == end || trimmed && i == 0; !follows {
			r.Close()
			return &Damage{Segment: name, Seq: end.seq + 1, Reason: fmt.Sprintf("the segment does not follow record %d", end.seq)}
		}
		end, err = readSegment(r, fn)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func readSegment(r *segmentReader, fn func(Record) error) (chain, error) {
	for {
		record, err := r.next()
		if errors.Is(err, io.EOF) {
			return r.chain, nil
		}
		if err == nil {
			err = fn(record)
		}
		if err != nil {
			return chain{}, err
		}
	}
}

// recoverEnd finds the end of the journal in dir, and cuts off a torn tail: the name of the last segment, or none for a
// journal without records, and the chain at its end.
func recoverEnd(dir string) (name string, end chain, torn TornTail, err error) {
	names, err := segmentNames(dir)
	if err != nil || len(names) == 0 {
		return "", chain{}, TornTail{}, err
	}
	name = names[len(names)-1]
	r, err := openSegment(dir, name)
	if damage, ok := errors.AsType[*Damage](err); ok && unborn(dir, name) {
		// A crash came between making the file and filling it.
		torn = TornTail{Segment: name, Reason: damage.Reason}
		if torn.Bytes, err = removeSegment(dir, name); err != nil {
			return "", chain{}, TornTail{}, err
		}
		if len(names) == 1 {
			return "", chain{}, torn, nil
		}
		name = names[len(names)-2]
		r, err = openSegment(dir, name)
	}
	if err != nil {
		return "", chain{}, TornTail{}, err
	}
	defer r.Close()
	end, err = readSegment(r, func(Record) error { return nil })
	damage, ok := errors.AsType[*Damage](err)
	if err == nil || !ok || torn.Segment != "" {
		return name, end, torn, err // the tail of a segment that is not the last cannot be torn
	}
	if torn, err = cutTail(dir, r, damage); err != nil {
		return "", chain{}, TornTail{}, err
	}
	return name, r.chain, torn, nil
}

// unborn reports whether a segment is shorter than its header: nothing in it was ever confirmed.
func unborn(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && info.Size() < segmentHeader
}

// cutTail cuts a segment off at the damage, if that is all that a crash can explain: less than one batch, and no whole
// record in it. A whole record behind a broken one was confirmed perhaps, so that is for a person to decide.
func cutTail(dir string, r *segmentReader, damage *Damage) (TornTail, error) {
	path := filepath.Join(dir, r.name)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return TornTail{}, fmt.Errorf("cut journal: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return TornTail{}, fmt.Errorf("cut journal: %w", err)
	}
	size := info.Size() - damage.Offset
	if size > maxTail {
		return TornTail{}, damage
	}
	tail := make([]byte, size)
	if _, err := file.ReadAt(tail, damage.Offset); err != nil {
		return TornTail{}, fmt.Errorf("cut journal: %w", err)
	}
	if holdsRecord(tail, r.chain.seq) {
		return TornTail{}, damage
	}
	if err := file.Truncate(damage.Offset); err != nil {
		return TornTail{}, fmt.Errorf("cut journal: %w", err)
	}
	if err := file.Sync(); err != nil {
		return TornTail{}, fmt.Errorf("cut journal: %w", err)
	}
	return TornTail{Segment: r.name, Offset: damage.Offset, Bytes: size, Reason: damage.Reason}, nil
}

// maxTail bounds in bytes what one interrupted write can leave: a full batch and the call that filled it.
const maxTail = maxBatch + maxAppend

// holdsRecord looks for a whole record after seq anywhere in a tail.
func holdsRecord(tail []byte, seq uint64) bool {
	most := uint64(len(tail)/recordHeader) + 1 // records that can be in front of it
	for ; len(tail) >= recordHeader; tail = tail[1:] {
		length := binary.BigEndian.Uint32(tail)
		if length > MaxRecord || int(length) > len(tail)-recordHeader {
			continue
		}
		if s := binary.BigEndian.Uint64(tail[8:]); s <= seq || s > seq+most {
			continue
		}
		record := tail[:recordHeader+int(length)]
		if binary.BigEndian.Uint32(record[4:]) == recordSum(record) {
			return true
		}
	}
	return false
}

func removeSegment(dir, name string) (size int64, err error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("remove journal segment: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return 0, fmt.Errorf("remove journal segment: %w", err)
	}
	return info.Size(), syncDir(dir)
}
