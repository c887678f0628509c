package relay

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificateFiles writes a pair whose serial is n and which ends at until.
func certificateFiles(t *testing.T, dir string, n int64, until time.Time) (chain, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "door"}, DNSNames: []string{"door.example"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	chain, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Duration(n) * time.Minute) // file systems whose clock is coarse
		if err := os.Chtimes(name, later, later); err != nil {
			t.Fatal(err)
		}
	}
	return chain, key
}

// A renewed pair is shown without a restart; one that is broken, half written or gone leaves the old one, and is told
// once.
func TestCertificateIsReadAgainWhenItChanges(t *testing.T) {
	dir, hour := t.TempDir(), time.Now().Add(time.Hour)
	chain, key := certificateFiles(t, dir, 1, hour)
	var said bytes.Buffer
	c, err := OpenCertificate(chain, key, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Now()
	c.now = func() time.Time { return clock }
	shows := func(step string, serial int64, wantSaid string) {
		t.Helper()
		for range 2 {
			clock = clock.Add(2 * certificateLook)
			pair, err := c.Get(nil)
			if err != nil || pair.Leaf.SerialNumber.Int64() != serial {
				t.Fatalf("%s: got certificate %v, %v, want number %d", step, pair.Leaf.SerialNumber, err, serial)
			}
		}
		if got := strings.Count(said.String(), "level="); wantSaid == "" && got != 0 || wantSaid != "" && (got != 1 || !strings.Contains(said.String(), wantSaid)) {
			t.Errorf("%s: logged %q, want one line with %q", step, said.String(), wantSaid)
		}
		said.Reset()
	}
	shows("unchanged", 1, "")
	certificateFiles(t, dir, 2, hour)
	shows("renewed", 2, "shows a new certificate")
	if err := os.WriteFile(chain, []byte("-----BEGIN"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows("half written", 2, "does not load")
	if err := os.Remove(chain); err != nil {
		t.Fatal(err)
	}
	shows("gone", 2, "cannot be read")
	certificateFiles(t, dir, 3, time.Now().Add(-time.Hour))
	shows("expired", 2, "expired on")
	certificateFiles(t, dir, 4, hour)
	shows("back", 4, "shows a new certificate")
}

func TestCertificateThatCannotServeIsNamed(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	chain, key := certificateFiles(t, t.TempDir(), 1, hour)
	_, other := certificateFiles(t, t.TempDir(), 2, hour)
	expired, expiredKey := certificateFiles(t, t.TempDir(), 3, time.Now().Add(-time.Hour))
	for _, c := range []struct{ chain, key, want string }{
		{filepath.Join(t.TempDir(), "none.pem"), key, "none.pem: no such file"},
		{chain, filepath.Join(t.TempDir(), "none.key"), "none.key: no such file"},
		{chain, other, "private key does not match public key"},
		{key, key, "failed to find"},
		{expired, expiredKey, "cert.pem: expired on "},
	} {
		if _, err := OpenCertificate(c.chain, c.key, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("OpenCertificate(%s, %s) = %v, want %q in it", c.chain, c.key, err, c.want)
		}
	}
}
