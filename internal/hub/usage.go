package hub

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sward/accounting"
	"sward/crawler/console"
	"sward/internal/wire"
)

const (
	// maxBearer bounds a key in a header.
	maxBearer = 256
	// maxQuery bounds the question in bytes: two days and three words are sixty.
	maxQuery = 1024
)

// apiHandler is what partners call with their key: what the network was used for, and the crawl API, whose pages for
// browsers need none.
func (h *Hub) apiHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/usage", h.getUsage)
	mux.HandleFunc("/v1/usage", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", "GET, HEAD")
		reply(w, http.StatusMethodNotAllowed, failureOf(wire.BadRequest, "usage is asked for with GET"))
	})
	mux.HandleFunc("GET /v1/webhook", h.getWebhook)
	for _, path := range console.Paths() {
		mux.Handle(path, h.pages)
	}
	h.self.serve(mux)
	mux.Handle("/", h.api)
	return mux
}

// getUsage answers GET /v1/usage: a partner's bill from the ledger, and what it was for from the relays' counts.
func (h *Hub) getUsage(w http.ResponseWriter, r *http.Request) {
	answer, err := h.askUsage(r)
	if err != nil {
		h.refuseUsage(w, err)
		return
	}
	reply(w, http.StatusOK, answer)
}

func (h *Hub) askUsage(r *http.Request) (accounting.UsageAnswer, error) {
	partner, err := h.bearer(r)
	if err != nil {
		return accounting.UsageAnswer{}, err
	}
	q, err := usageQuery(r.URL.RawQuery)
	if err != nil {
		return accounting.UsageAnswer{}, err
	}
	q.Name = partner.Name
	return h.Book.UsageBetween(r.Context(), q)
}

// bearer finds the partner whose key a request carries.
func (h *Hub) bearer(r *http.Request) (accounting.Partner, error) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if key = strings.TrimSpace(key); !strings.EqualFold(scheme, "Bearer") || key == "" || len(key) > maxBearer {
		return accounting.Partner{}, wire.Errorf(wire.AuthRequired, "send your key as Authorization: Bearer <key>")
	}
	return h.Book.PartnerByKey(r.Context(), key)
}

// usageQuery reads from, to and by. A word that is not one of them is refused: a misspelt one would silently show
// something else.
func usageQuery(raw string) (q accounting.UsageQuery, err error) {
	if len(raw) > maxQuery {
		return q, wire.Errorf(wire.BadRequest, "the question is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return q, wire.Errorf(wire.BadRequest, "the question cannot be read: from, to and by, with & between and percent signs as in URLs")
	}
	for name, all := range values {
		if len(all) != 1 {
			return q, wire.Errorf(wire.BadRequest, "%s stands there more than once", strconv.QuoteToASCII(name))
		}
		switch name {
		case "from":
			q.From = all[0]
		case "to":
			q.To = all[0]
		case "by":
			q.By = strings.Split(all[0], ",")
		default:
			return q, wire.Errorf(wire.BadRequest, "%s is not one of from, to and by", strconv.QuoteToASCII(name))
		}
	}
	return q, nil
}

// refuseUsage says why there is no answer, in the words of the network's table.
func (h *Hub) refuseUsage(w http.ResponseWriter, err error) {
	reason, ok := errors.AsType[*wire.Error](err)
	if !ok {
		h.cfg.Log.Error("usage could not be read", "err", err)
		reason = wire.Errorf(wire.Internal, "a fault of the hub, which has logged it")
	}
	status := reason.Code.HTTPStatus()
	if status == http.StatusProxyAuthRequired { // this is no proxy
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", `Bearer realm="sward"`)
	}
	reply(w, status, failureOf(reason.Code, reason.Detail))
}

// usageFailure is the body of an answer that is not 200.
type usageFailure struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func failureOf(code wire.Code, message string) (f usageFailure) {
	f.Error.Code, f.Error.Message = code.Name(), message
	return f
}

func reply(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer could not be written"}}`)
	}
	head := w.Header()
	head.Set("Content-Type", "application/json; charset=utf-8")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(text) //nolint:errcheck // a partner who has gone reads no error either
}
