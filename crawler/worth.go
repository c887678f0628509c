package crawler

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"sward/crawler/text"
	"sward/internal/wire"
)

// Codes of answers that came whole and well, and are not what was asked for. They are not charged.
const (
	codeTruncated = "truncated"      // the body was cut off
	codeCaptcha   = "captcha"        // a wall against robots stands before the page
	codeLogin     = "login_required" // a form that asks who you are stands in its place
	codeMissing   = "soft_404"       // the site says that there is no such page, under status 200
	codeEmpty     = "empty_page"     // it shows neither text nor picture
)

// Sizes, in bytes of text outside of links, up to which a page can be something else than a page. Walls and notices have a
// few sentences; what says more is delivered, whatever it is called.
const (
	maxWall   = 1500
	maxNotice = 600
	maxMarked = 64 << 10 // of a body, searched for the marks of walls, which stand at its start
)

// flaw is why an answer is not worth its price.
type flaw struct {
	code, detail string
	owner        wire.Owner
	follow       bool // its links lead somewhere all the same
}

// flawOf judges an answer under a status of success. Each rule asks for two signs that do not meet on honest pages, because
// to withhold a page that was wanted is worse than to charge for one that was not: the text is short, and it is called,
// marked or built as no page is.
func flawOf(a arrival, t text.Content, at *url.URL, o ScrapeOptions) *flaw {
	switch reason := a.truncated(); {
	case reason == "length":
		return &flaw{codeTruncated, "the page is larger than what is taken of one", wire.OwnerPolicy, true}
	case reason != "":
		return &flaw{codeTruncated, "the page did not come to its end in time", wire.OwnerTarget, true}
	case t.Said <= maxWall && isWall(a.Body, t.Title):
		return &flaw{codeCaptcha, "the site asks for a proof that no robot is asking", wire.OwnerTarget, false}
	case t.Said <= maxWall && t.Password && (named(t.Title, loginTitles) || len(a.Hops) > 0 && leadsToLogin(at)):
		return &flaw{codeLogin, "the site shows the page to those it knows", wire.OwnerTarget, false}
	case t.Said <= maxNotice && named(t.Title, missingTitles) && !expectsError(a.asked):
		return &flaw{codeMissing, "the site says that there is no such page, under a status of success", wire.OwnerTarget, false}
	case len(bytes.TrimSpace(a.Body)) == 0:
		return &flaw{codeEmpty, "the body has no bytes", wire.OwnerTarget, false}
	case t.Shown == 0 && len(t.Images) == 0 && !o.wants(FormatRawHTML) && !o.textless(): // those get what there is
		return &flaw{codeEmpty, "the page shows nothing before its scripts have run", wire.OwnerTarget, true}
	}
	return nil
}

// unworthy reports an answer that is not worth its price, and fills in why.
func (o *outcome) unworthy(a arrival, t text.Content, at *url.URL) bool {
	if a.Status >= 300 || o.job.kind == Map { // whoever gets the first wants to see it; the second delivers addresses
		return false
	}
	f := flawOf(a, t, at, o.job.order.Scrape)
	if f == nil || f.code == codeLogin && o.job.kind != Crawl && len(a.Hops) == 0 && leadsToLogin(at) { // that form was asked for
		return false
	}
	o.fate, o.code, o.owner, o.detail = fail, f.code, f.owner, f.detail
	if !f.follow {
		o.links = nil
	}
	return true
}

// wallMarks stand in the source of the walls that the large makers sell, and on no page behind them: pages behind them have
// scripts of theirs too, but others.
var wallMarks = []string{
	"_cf_chl_opt", "cf-browser-verification", "/orchestrate/chl_page/", // Cloudflare
	"Request unsuccessful. Incapsula incident", "/_Incapsula_Resource?CWUDNSAI=", // Imperva
	"geo.captcha-delivery.com",                                            // DataDome
	"px-captcha", "gokuProps", "sucuri_cloudproxy_js", "distil_r_captcha", // HUMAN, Amazon's WAF, Sucuri, Distil
	"anubis_challenge", "/errors/validateCaptcha", // Anubis, Amazon's shop
}

// wallTitles are what walls call themselves. A poem may do so too.
var wallTitles = names(
	"just a moment", "attention required", "access denied", "please wait", "one more step", "checking your browser",
	"are you a robot", "are you human", "robot check", "bot check", "security check", "human verification", "robot or human",
	"verify you are human", "making sure you're not a bot", "pardon our interruption", "client challenge",
	"access to this page has been denied", "you have been blocked", "sorry, you have been blocked",
	"vercel security checkpoint", "bitte warten", "sind sie ein roboter", "un instant",
	"un momento", //nolint:misspell // Spanish
)

// wallWords have to stand on what has such a title.
var wallWords = []string{
	"captcha", "turnstile", "kpsdk", "enable javascript", "verify you are", "verify that you are", "not a robot", "unusual traffic",
	"automated", "ray id", "incident id", "reference #", "proof-of-work",
}

// isWall needs a mark of a wall's maker, or a wall's title together with a wall's words.
func isWall(body []byte, title string) bool {
	head := body[:min(len(body), maxMarked)]
	has := func(mark string) bool { return bytes.Contains(head, []byte(mark)) }
	if slices.ContainsFunc(wallMarks, has) {
		return true
	}
	if !named(title, wallTitles) {
		return false
	}
	head = bytes.ToLower(head)
	return slices.ContainsFunc(wallWords, has)
}

var loginTitles = names(
	"login", "log in", "log-in", "sign in", "sign-in", "signin", "please log in", "please sign in", "login required",
	"log in or sign up", "log in to continue", "sign in to continue", "member login", "authentication required",
	"anmelden", "anmeldung", "einloggen", "connexion", "se connecter", "identifiez-vous", "iniciar sesión", "inicia sesión",
	"accedi", "entrar", "inloggen", "zaloguj się", "logowanie", "logga in", "вход", "войти", "авторизация", "ログイン", "登录", "登入", "로그인",
)

// leadsToLogin reads the address that a redirect ended at.
func leadsToLogin(at *url.URL) bool {
	for segment := range strings.SplitSeq(strings.ToLower(at.Path), "/") {
		segment, _, _ = strings.Cut(segment, ".") // login.php
		switch segment {
		case "login", "log-in", "signin", "sign-in", "sign_in", "sso", "auth", "wp-login", "anmelden", "connexion":
			return true
		}
	}
	return false
}

var missingTitles = names(
	"404", "404 not found", "404 - not found", "error 404", "404 error", "404 page not found", "page not found", "not found", "file not found",
	"page not found (404)", "404 (not found)", "error 404 (not found)", "page cannot be found", "this page could not be found",
	"the page you requested was not found", "page does not exist", "oops! page not found", "oops! that page can’t be found",
	"seite nicht gefunden", "seite wurde nicht gefunden", "page non trouvée", "page introuvable", "página no encontrada",
	"página não encontrada", "pagina non trovata", "pagina niet gevonden", "strona nie została znaleziona", "nie znaleziono strony",
	"sidan hittades inte", "страница не найдена", "ページが見つかりません", "页面未找到", "找不到页面", "페이지를 찾을 수 없습니다",
)

// expectsError spares the pages that are about errors.
func expectsError(asked string) bool {
	asked = strings.ToLower(asked)
	return strings.Contains(asked, "404") || strings.Contains(asked, "not-found") || strings.Contains(asked, "not_found") || strings.Contains(asked, "notfound")
}

func names(list ...string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, name := range list {
		set[name] = true
	}
	return set
}

// named reports that a title is one of the names, alone or beside the name of its site.
func named(title string, set map[string]bool) bool {
	title = strings.ToLower(title)
	if set[bare(title)] {
		return true
	}
	parts := strings.FieldsFunc(title, func(r rune) bool { return strings.ContainsRune("|·•–—:»«", r) })
	for _, part := range parts {
		for piece := range strings.SplitSeq(part, " - ") {
			if set[bare(piece)] {
				return true
			}
		}
	}
	return false
}

// bare drops what stands around a name for looks.
func bare(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(".…!?-", r) })
}
