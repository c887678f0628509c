package identity

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// keyPrefix names the format, so that a person who opens the file, or a
	// scanner for leaked secrets, knows what it is.
	keyPrefix = "sward-ed25519:"
	// keyFileMax bounds what is read: prefix, 44 base64 characters, an end of
	// line in any system's spelling.
	keyFileMax = 128
	keyMode    = fs.FileMode(0o600)
)

// LoadKey reads a key file: one line, "sward-ed25519:" and the base64 of the
// 32-byte seed. The error is one sentence that names the file; a missing file
// is fs.ErrNotExist. On unix the file must not be open to group or others.
func LoadKey(path string) (Key, error) {
	text, err := readKeyFile(path)
	if err != nil {
		return Key{}, err
	}
	encoded, ok := strings.CutPrefix(strings.TrimRight(text, "\r\n"), keyPrefix)
	if !ok {
		return Key{}, fmt.Errorf("key file %s does not begin with %q", path, keyPrefix)
	}
	seed, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("key file %s does not hold %d bytes of base64 after %q", path, ed25519.SeedSize, keyPrefix)
	}
	return Key{private: ed25519.NewKeyFromSeed(seed)}, nil
}

// LoadOrCreateKey reads the key at path, or draws one and keeps it there with
// mode 0600. It never overwrites a file: when two processes create the same
// key file, both end up with the key of the first.
func LoadOrCreateKey(path string) (Key, error) {
	k, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if k, err = NewKey(); err != nil {
		return Key{}, err
	}
	err = createKeyFile(path, keyPrefix+base64.StdEncoding.EncodeToString(k.private.Seed())+"\n")
	if errors.Is(err, fs.ErrExist) {
		return LoadKey(path)
	}
	if err != nil {
		return Key{}, fmt.Errorf("create key file %s: %w", path, err)
	}
	return k, nil
}

func readKeyFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read key file %s: %w", path, reason(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read key file %s: %w", path, reason(err))
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("key file %s is not a regular file", path)
	}
	if loose(info.Mode()) {
		return "", fmt.Errorf("key file %s has mode %04o, which lets other users read or change it: want %04o", path, info.Mode().Perm(), keyMode)
	}
	text, err := io.ReadAll(io.LimitReader(f, keyFileMax+1))
	if err != nil {
		return "", fmt.Errorf("read key file %s: %w", path, reason(err))
	}
	if len(text) > keyFileMax {
		return "", fmt.Errorf("key file %s is longer than one key", path)
	}
	return string(text), nil
}

// createKeyFile writes a complete, synced file beside path and then gives it
// that name, so that a crash leaves either no key file or a whole one.
func createKeyFile(path, text string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // created with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	// A hard link, unlike a rename, fails when the name is taken.
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// reason drops the path that the caller's sentence already has.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
