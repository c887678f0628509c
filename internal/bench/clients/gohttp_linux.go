package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"
)

// fetch gets a page as any program in Go would, from the street.
func (l *lab) fetch(ctx context.Context, proxy, address string) (string, error) {
	through, err := url.Parse(proxy)
	if err != nil {
		return "", err
	}
	certificate, err := os.ReadFile(l.ca)
	if err != nil {
		return "", err
	}
	trust := x509.NewCertPool()
	trust.AppendCertsFromPEM(certificate)
	transport := &http.Transport{
		Proxy: http.ProxyURL(through), TLSClientConfig: &tls.Config{RootCAs: trust}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, at string) (net.Conn, error) {
			return l.rig.Street.Dial(ctx, at, net.Dialer{Timeout: 10 * time.Second})
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return fmt.Sprintf("%s %s %s", answer.Status, answer.Header.Get("Sward-Error"), body), err
}
