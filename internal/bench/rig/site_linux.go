package rig

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const headTimeout = 10 * time.Second

// SmallSize is how many bytes /small has.
const SmallSize = 100

// Blob answers GET /blob?n= with so many bytes, /small with a few, and reads what is posted to /sink; received, if set, is told of every
// piece as it comes.
func Blob(received func(n int)) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "n is how many bytes to send", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		w.Header().Set("Content-Type", "application/octet-stream")
		chunk := make([]byte, 64<<10)
		for n > 0 {
			k, err := w.Write(chunk[:min(n, int64(len(chunk)))])
			if n -= int64(k); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("GET /small", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, SmallSize)) }) //nolint:errcheck // the client has gone
	mux.HandleFunc("POST /sink", func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Body.Read(buf)
			if received != nil {
				received(n)
			}
			if err == io.EOF { //nolint:errorlint // a body's end is this very value
				w.WriteHeader(http.StatusNoContent)
				return
			}
			if err != nil {
				return
			}
		}
	})
	return mux
}

// serveDNS answers the rig's few names at the site, until the rig is closed.
func (s *Space) serveDNS() error {
	socket, err := s.ListenPacket(net.JoinHostPort(dns, "53"))
	if err != nil {
		return err
	}
	table := map[string]netip.Addr{SiteName + ".": netip.MustParseAddr(Site), TrapName + ".": netip.MustParseAddr("192.168.11.1")}
	go func() {
		defer socket.Close()
		buf := make([]byte, 1500)
		for {
			n, from, err := socket.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := answerTo(buf[:n], table); answer != nil {
				socket.WriteTo(answer, from) //nolint:errcheck // the resolver asks again
			}
		}
	}()
	go func() {
		<-s.done
		socket.Close()
	}()
	return nil
}

// answerTo answers questions for IPv4 addresses from a table.
func answerTo(question []byte, table map[string]netip.Addr) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Header.Response, m.Header.RecursionAvailable, m.Additionals = true, true, nil
	address, known := table[strings.ToLower(q.Name.String())]
	switch {
	case !known:
		m.Header.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: dnsmessage.TypeA, TTL: 60},
			Body:   &dnsmessage.AResource{A: address.As4()},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}
