package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"sward/internal/sandbox"
)

const (
	pageSize  = 512 << 10 // bytes of a download
	postSize  = 96 << 10  // bytes of an upload
	askAgain  = 30 * time.Millisecond
	loadPatch = 64 << 10 // bytes that the site writes at once
)

// site answers a request of any kind with pageSize bytes, after it has read what was sent.
func site() http.Handler {
	patch := bytes.Repeat([]byte("sward"), loadPatch/5)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // a cut upload has no answer
		for sent := 0; sent < pageSize; sent += len(patch) {
			if _, err := w.Write(patch); err != nil {
				return
			}
		}
	})
}

// load is what partners do: streams at once, each with the next request as soon as the one before has ended.
type load struct {
	cancel  context.CancelFunc
	clients sync.WaitGroup

	mu      sync.Mutex
	refused map[string]int // by reason
}

func startLoad(ctx context.Context, info sandbox.Info) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{cancel: cancel, refused: map[string]int{}}
	door, err := url.Parse(info.Proxy)
	if err != nil {
		cancel()
		return l
	}
	door.User = url.UserPassword(info.Partner, info.Key)
	for n := range streams {
		l.clients.Go(func() {
			transport := &http.Transport{Proxy: http.ProxyURL(door), DisableKeepAlives: true}
			client := &http.Client{Transport: transport, Timeout: drainWait}
			for ctx.Err() == nil {
				if reason := request(client, info.Site, n%4 == 0); reason != "" {
					l.note(reason)
					wait(ctx, askAgain) //nolint:errcheck // the loop asks
				}
			}
		})
	}
	return l
}

// request makes one exchange and returns the reason when it was refused or cut. It is not broken off when the load stops:
// what has begun ends.
func request(client *http.Client, site string, upload bool) string {
	var body io.Reader = http.NoBody
	method := http.MethodGet
	if upload {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, postSize))
	}
	r, err := http.NewRequestWithContext(context.Background(), method, site+"/", body)
	if err != nil {
		return err.Error()
	}
	answer, err := client.Do(r)
	if err != nil {
		return "cut"
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "cut"
	}
	return answer.Header.Get("Sward-Error")
}

func (l *load) note(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[reason]++
}

// stop waits for what runs, and returns the reason that was heard most.
func (l *load) stop() string {
	l.cancel()
	l.clients.Wait()
	most := "nobody"
	for reason, n := range l.refused {
		if n > l.refused[most] {
			most = reason
		}
	}
	return most
}
