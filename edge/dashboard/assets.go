package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"strings"
	"sync"
)

//go:embed page
var pageFiles embed.FS

// asset is a file that every page loads. It is packed when it is first asked for: an agent that nobody looks at does not
// do it at all.
type asset struct {
	kind string
	once sync.Once
	data []byte // gzip
	tag  string // ETag: the browser keeps the file and asks whether it has changed
}

var assets = map[string]*asset{
	"style.css": {kind: "text/css; charset=utf-8"},
	"app.js":    {kind: "text/javascript; charset=utf-8"},
	"icon.svg":  {kind: "image/svg+xml"},
}

func (a *asset) pack(name string) {
	a.once.Do(func() {
		text, _ := pageFiles.ReadFile(path.Join("page", name)) // embedded: present or the build failed
		var out bytes.Buffer
		w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is right
		w.Write(text)                                           //nolint:errcheck // into memory
		w.Close()                                               //nolint:errcheck // as above
		sum := sha256.Sum256(text)
		a.data, a.tag = out.Bytes(), `"`+hex.EncodeToString(sum[:8])+`"`
	})
}

func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	a := assets[name]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	a.pack(name)
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.tag)
	if r.Header.Get("If-None-Match") == a.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Encoding", "gzip") // every browser that knows this page's style takes it
	w.Write(a.data)                   //nolint:errcheck // the browser went away
}
