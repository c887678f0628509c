package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"sward/internal/bench/rig"
)

// h3 is upstream quic-go as a client that asks for its tunnels by CONNECT over HTTP/3.
func (l *lab) h3() client {
	return client{name: "quic-go, CONNECT over h3", denied: denied, refused: refused,
		version: func(context.Context) (string, error) { return moduleVersion("github.com/quic-go/quic-go"), nil },
		run:     l.fetchH3}
}

// moduleVersion is the version of a module that this program is built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "?"
}

func (l *lab) fetchH3(ctx context.Context, name, key, address string) (string, error) {
	page, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	certificate, err := os.ReadFile(l.ca)
	if err != nil {
		return "", err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(certificate)
	socket, err := l.rig.Street.ListenPacket(rig.Street + ":0")
	if err != nil {
		return "", err
	}
	defer socket.Close()
	transport := &quic.Transport{Conn: socket}
	defer transport.Close()
	conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(rig.TLSDoor)),
		&tls.Config{RootCAs: trust, ServerName: rig.Street, NextProtos: []string{http3.NextProtoH3}}, nil)
	if err != nil {
		return "", err
	}
	defer conn.CloseWithError(0, "") //nolint:errcheck // the page is here
	stream, err := (&http3.Transport{}).NewClientConn(conn).OpenRequestStream(ctx)
	if err != nil {
		return "", err
	}
	port := map[string]string{"http": "80", "https": "443"}[page.Scheme]
	request := &http.Request{Method: http.MethodConnect, Host: net.JoinHostPort(page.Hostname(), port), URL: &url.URL{Host: net.JoinHostPort(page.Hostname(), port)}, Header: http.Header{}}
	request.SetBasicAuth(name, key)
	request.Header.Set("Proxy-Authorization", request.Header.Get("Authorization"))
	request.Header.Del("Authorization")
	if err := stream.SendRequestHeader(request.WithContext(ctx)); err != nil {
		return "", err
	}
	answer, err := stream.ReadResponse() //nolint:bodyclose // the stream is the body
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK {
		return answer.Status + " " + answer.Header.Get("Sward-Error"), nil
	}
	line := net.Conn(&streamConn{RequestStream: stream, conn: conn})
	if page.Scheme == "https" {
		line = tls.Client(line, &tls.Config{RootCAs: trust, ServerName: page.Hostname()})
	}
	fmt.Fprintf(line, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", page.Path, page.Host)
	content, err := http.ReadResponse(bufio.NewReader(line), nil)
	if err != nil {
		return "", err
	}
	defer content.Body.Close()
	body, err := io.ReadAll(content.Body)
	return string(body), err
}

// streamConn is a tunnel's stream as a connection, which TLS wants.
type streamConn struct {
	*http3.RequestStream
	conn *quic.Conn
}

func (c *streamConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *streamConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }
