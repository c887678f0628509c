package dashboard

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	sessionCookie = "sward_edge"
	maxForm       = 1 << 20 // bytes of a form: ten thousand domains, and a name each takes 60 bytes
)

// contentPolicy lets the browser run and load what this server sends, and nothing written into a page.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guard is what every request passes first. A web page that reaches this port under another name (DNS rebinding) is
// turned away by Host, one that is itself elsewhere by the origin that its browser tells.
func (d *Dashboard) guard(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer browsers call a form's own origin null
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if r.Host != d.addr {
			http.Error(w, "this is not a host of the dashboard: it is at "+d.addr, http.StatusMisdirectedRequest)
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+d.addr {
			http.Error(w, "other sites have no business here", http.StatusForbidden)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		sameOrigin.ServeHTTP(w, r)
	})
}

// forOwner lets in the owner's browser and the owner's programs.
func (d *Dashboard) forOwner(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.program(r) && !d.browser(w, r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "the access code is missing or wrong; it is in the file "+controlFile, http.StatusUnauthorized)
			return
		}
		next(w, r)
	}
}

// forBrowser lets in a browser that is signed in, and shows the others how to sign in.
func (d *Dashboard) forBrowser(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.browser(w, r) {
			w.WriteHeader(http.StatusUnauthorized)
			d.render(w, "login.html", login{})
			return
		}
		next(w, r)
	}
}

// program tells whether the request shows the token of the control file.
func (d *Dashboard) program(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(token), []byte(d.token)) == 1
}

// browser tells whether the request comes from a browser that is signed in.
func (d *Dashboard) browser(w http.ResponseWriter, r *http.Request) bool {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return false
	}
	known, renewed := d.sessions.knows(cookie.Value)
	if renewed {
		setCookie(w, cookie.Value, sessionLife)
	}
	return known
}

func setCookie(w http.ResponseWriter, secret string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: secret, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// Link makes a code that signs one browser in, within two minutes. It is the part of the address that browsers keep to
// themselves: no request, log or referrer carries it.
func (d *Dashboard) Link() string {
	code, _ := d.sessions.invite()
	return d.URL() + "#code=" + code
}

// Invitation answers POST /code: how a browser signs in.
type Invitation struct {
	URL  string    `json:"url"`  // with the code in the fragment
	Code string    `json:"code"` // to be typed instead
	Ends time.Time `json:"ends"`
}

// postCode is for the owner's programs alone: a browser must not let another one in.
func (d *Dashboard) postCode(w http.ResponseWriter, r *http.Request) {
	if !d.program(r) {
		http.Error(w, "a code is given to the owner's programs only", http.StatusUnauthorized)
		return
	}
	code, ends := d.sessions.invite()
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(Invitation{URL: d.URL() + "#code=" + code, Code: code, Ends: ends}); err != nil {
		d.Log.Debug("a code was not sent", "err", err)
	}
}

// login is what the sign-in page shows.
type login struct{ Problem string }

// postLogin exchanges a code for a cookie that scripts cannot read and other sites cannot send.
func (d *Dashboard) postLogin(w http.ResponseWriter, r *http.Request) {
	secret, err := d.sessions.redeem(strings.TrimSpace(r.PostFormValue("code")))
	switch {
	case errors.Is(err, errNoCode), errors.Is(err, errWrongCode):
		w.WriteHeader(http.StatusUnauthorized)
		d.render(w, "login.html", login{Problem: sentence(err.Error())})
		return
	case err != nil:
		d.Log.Warn("a browser is signed in until the next start only", "err", err)
	}
	setCookie(w, secret, sessionLife)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// postLogout signs this browser out.
func (d *Dashboard) postLogout(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if err := d.sessions.forget(cookie.Value); err != nil {
			d.Log.Warn("a browser is signed out until the next start only", "err", err)
		}
	}
	setCookie(w, "", -time.Second)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
