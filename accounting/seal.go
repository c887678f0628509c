package accounting

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sward/internal/identity"
)

// A book that was closed in good order is sealed: SEAL lists every file with its SHA-256, signed by the hub. It vouches
// for what no record can: for the ledger's pages, for the end of the journal, and that no file came or went.
//
//	sward book seal v1
//	<SHA-256> <path>        in the order of paths, one line each
//	hub <peer id> <signature>
const (
	sealTitle = "sward book seal v1\n"
	sealType  = "book/seal"
	maxSeal   = 16 << 20 // bytes: a hundred thousand segments
)

// seal writes the seal of a closed book.
func seal(dir, network string, key identity.Key) error {
	body, err := sealBody(dir)
	if err != nil {
		return fmt.Errorf("seal book: %w", err)
	}
	text := fmt.Appendf(body, "hub %s %x\n", key.ID(), key.Sign(network, sealType, body))
	path := filepath.Join(dir, sealFile)
	if err := writeDurably(path+".tmp", text); err != nil {
		return fmt.Errorf("seal book: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("seal book: %w", err)
	}
	return syncDir(dir)
}

// breakSeal removes the seal before anything is changed.
func breakSeal(dir string) error {
	for _, name := range []string{sealFile, sealFile + ".tmp"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("break seal: %w", err)
		}
	}
	return syncDir(dir)
}

// sealBody lists the files of a book as they are. The lock is left out: it is empty, and may be held.
func sealBody(dir string) ([]byte, error) {
	body := []byte(sealTitle)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == sealFile || name == lockFile {
			return err
		}
		sum, err := hashFile(path)
		body = fmt.Appendf(body, "%x %s\n", sum, filepath.ToSlash(name))
		return err
	})
	return body, err
}

// seals is what a SEAL says, read from the file.
type seals struct {
	body  []byte // what is signed
	hub   identity.ID
	sig   []byte
	files map[string]string // path → SHA-256 in hexadecimal
}

// readSeal reads a seal strictly: what it says has one spelling. Without the file it is nil.
func readSeal(dir string) (*seals, error) {
	file, err := os.Open(filepath.Join(dir, sealFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSeal+1))
	if err != nil {
		return nil, err
	}
	bad := func(why string) error { return &Finding{File: sealFile, Why: why} }
	last := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
	if len(text) > maxSeal || !bytes.HasPrefix(text, []byte(sealTitle)) || last < len(sealTitle) {
		return nil, bad("it is not a seal")
	}
	s := &seals{body: text[:last], files: map[string]string{}}
	hub, signature, _ := strings.Cut(strings.TrimPrefix(string(text[last:]), "hub "), " ")
	if err := s.hub.UnmarshalText([]byte(hub)); err != nil {
		return nil, bad(err.Error())
	}
	if s.sig, err = hex.DecodeString(strings.TrimSuffix(signature, "\n")); err != nil {
		return nil, bad("its signature is malformed")
	}
	if string(text[last:]) != fmt.Sprintf("hub %s %x\n", s.hub, s.sig) {
		return nil, bad("its last line is malformed")
	}
	for line := range strings.Lines(string(s.body[len(sealTitle):])) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if _, twice := s.files[name]; !ok || twice {
			return nil, bad("a line is malformed")
		}
		s.files[name] = sum
	}
	return s, nil
}

// signed reports whether the hub of the network has made the seal.
func (s *seals) signed(network string, hub identity.ID) bool {
	return s.hub == hub && hub.Verify(network, sealType, s.body, s.sig)
}

// check compares the files of a book with its seal. The first difference is named by its file; nil is none.
func (s *seals) check(dir string) (*Finding, error) {
	present, err := sealBody(dir)
	if err != nil {
		return nil, err
	}
	left := maps.Clone(s.files)
	for line := range strings.Lines(string(present[len(sealTitle):])) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch sealed, known := left[name]; {
		case !known:
			return &Finding{File: name, Why: "it was not there when the book was sealed"}, nil
		case sealed != sum:
			return &Finding{File: name, Why: "it was changed since the book was sealed"}, nil
		}
		delete(left, name)
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		return &Finding{File: name, Why: "it is gone since the book was sealed"}, nil
	}
	if info, err := os.Stat(filepath.Join(dir, lockFile)); err == nil && info.Size() > 0 {
		return &Finding{File: lockFile, Why: "it was changed since the book was sealed"}, nil
	}
	return nil, nil
}

func hashFile(path string) ([sha256.Size]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	defer file.Close()
	h := sha256.New()
	_, err = io.Copy(h, file)
	return [sha256.Size]byte(h.Sum(nil)), err
}

func writeDurably(path string, data []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}
