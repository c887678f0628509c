package sandbox

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// awaited is a listener that tells when somebody accepts on it.
type awaited struct {
	net.Listener
	once     sync.Once
	accepted chan struct{}
}

func (l *awaited) Accept() (net.Conn, error) {
	l.once.Do(func() { close(l.accepted) })
	return l.Listener.Accept()
}

func TestSiteSpeaksHTTP2WhicheverListenerComesFirst(t *testing.T) {
	made, err := authority(time.Now(), SiteName)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.ca)
	for _, first := range []string{"plain", "secure"} {
		t.Run(first, func(t *testing.T) {
			server := siteServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), made.site)
			plain, secure := listenForTest(t), listenForTest(t)
			var serving sync.WaitGroup
			defer serving.Wait()
			defer server.Close()
			start := map[string]func(){
				"plain":  func() { serving.Go(func() { server.Serve(plain) }); <-plain.accepted },
				"secure": func() { serving.Go(func() { server.ServeTLS(secure, "", "") }); <-secure.accepted },
			}
			start[first]()
			delete(start, first)
			for _, other := range start {
				other()
			}
			transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: SiteName}}
			defer transport.CloseIdleConnections()
			answer, err := (&http.Client{Transport: transport}).Get("https://" + secure.Addr().String() + "/")
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusOK {
				t.Errorf("got %s %s, want HTTP/2.0 200 OK", answer.Proto, answer.Status)
			}
		})
	}
}

func listenForTest(t *testing.T) *awaited {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &awaited{Listener: l, accepted: make(chan struct{})}
}
