package bbr_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/apernet/quic-go"

	"sward/internal/bbr"
)

// What the controller costs where no line is the limit but the machine is: one stream over loopback, under quic-go's own
// CUBIC and under ours. Compare them interleaved:
//
//	go test ./internal/bbr -run - -bench Loopback -count 6
func BenchmarkLoopback(b *testing.B) {
	for _, ours := range []bool{false, true} {
		name := "cubic"
		if ours {
			name = "bbr"
		}
		b.Run(name, func(b *testing.B) {
			near, far := loopback(b)
			if ours {
				for _, conn := range []*quic.Conn{near, far} {
					conn.SetCongestionControl(bbr.New(bbr.Config{PacketSize: conn.InitialPacketSize()}))
				}
			}
			go func() {
				st, err := far.OpenUniStream()
				if err != nil {
					return
				}
				block := make([]byte, 32<<10)
				for {
					if _, err := st.Write(block); err != nil {
						return
					}
				}
			}()
			st, err := near.AcceptUniStream(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 32<<10)
			read := func(n int) {
				for n > 0 {
					m, err := st.Read(buf[:min(n, len(buf))])
					if err != nil {
						b.Fatal(err)
					}
					n -= m
				}
			}
			read(32 << 20)
			b.SetBytes(1 << 20)
			for b.Loop() {
				read(1 << 20)
			}
		})
	}
}

func loopback(b *testing.B) (near, far *quic.Conn) {
	b.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		b.Fatal(err)
	}
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}}, NextProtos: []string{"x"}}
	client := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"x"}} // nobody else is on this loopback port
	pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	cfg := &quic.Config{MaxStreamReceiveWindow: 2 << 20, MaxConnectionReceiveWindow: 16 << 20} // as package tunnel has them
	l, err := quic.Listen(pc, server, cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	if near, err = quic.DialAddr(ctx, pc.LocalAddr().String(), client, cfg); err != nil {
		b.Fatal(err)
	}
	if far, err = l.Accept(ctx); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		near.CloseWithError(0, "")
		l.Close()
		pc.Close()
	})
	return near, far
}
