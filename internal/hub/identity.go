package hub

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"path/filepath"
	"time"

	"sward/crawler"
	"sward/crawler/botauth"
	"sward/crawler/fetch"
	"sward/internal/wire"
)

//go:embed bot.html
var botPage string

const botPath = "/bot"

// self is how the crawler says who it is: an agent with the address of a page about it, and keys that the world can look up.
// Without a public address there is neither.
type self struct {
	agent string // empty: the default
	ring  *botauth.Ring
	page  []byte
}

func newSelf(cfg Config) (s self, err error) {
	if cfg.Public == "" {
		return s, nil
	}
	s.agent = "SwardBot/1.0 (+" + cfg.Public + botPath + ")"
	if len(s.agent) > wire.MaxAgent {
		return s, fmt.Errorf("the public address is too long: with it the crawler's name has %d bytes, at most %d", len(s.agent), wire.MaxAgent)
	}
	if s.ring, err = botauth.Open(filepath.Join(cfg.Dir, "botauth.json"), cfg.Public, cfg.Clock); err != nil {
		return s, err
	}
	t, err := template.New("bot").Parse(botPage)
	if err != nil {
		return s, fmt.Errorf("read the page about the crawler: %w", err)
	}
	var page bytes.Buffer
	err = t.Execute(&page, struct{ Agent, Public, Directory, Contact, Network string }{
		s.agent, cfg.Public, cfg.Public + botauth.DirectoryPath, cfg.Contact, cfg.Network,
	})
	s.page = page.Bytes()
	return s, err
}

// introduce gives the crawler its name and its signature.
func (s self) introduce(c *crawler.Config) {
	if s.ring == nil {
		c.Agent = fetch.DefaultAgent
		return
	}
	c.Agent = s.agent
	c.Sign = func(authority string, life time.Duration) (agent, input, signature string, err error) {
		f, err := s.ring.Sign(authority, life)
		return f.Agent, f.Input, f.Signature, err
	}
}

// serve adds the page and the directory to what the API's address serves.
func (s self) serve(mux *http.ServeMux) {
	if s.ring == nil {
		return
	}
	mux.Handle("GET "+botauth.DirectoryPath, s.ring)
	mux.HandleFunc("GET "+botPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Write(s.page) //nolint:errcheck // the reader has gone
	})
}
