package main

import (
	"strings"

	"sward/policy"
)

// categories is category → domains.
type categories map[string]map[string]bool

// Sections of the files are headed so.
const sectionMark = "! *** easylist:"

// read takes what a file of filters says of whole domains. A filter on paths says nothing of its host, and exceptions are not
// needed where nothing but whole hosts is listed.
func (c categories) read(text string) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, sectionMark); ok {
			section, _, _ = strings.Cut(rest, ".txt")
			continue
		}
		switch {
		case line == "" || line[0] == '!' || line[0] == '[':
		case strings.Contains(section, "adult_specific"), strings.Contains(section, "adult_allowlist"):
			c.addAll("adult", sitesOf(line)) // filters made for one site name an adult site
		case strings.Contains(section, "trackingservers_mining"):
			c.addAll("tor-vpn-mining", serverOf(line))
		default:
			c.addAll("ad-measurement", serverOf(line))
		}
	}
}

func (c categories) addAll(category string, names []string) {
	for _, name := range names {
		host, err := policy.ParseHost(name)
		if err != nil || host.Name() == "" || ordinary[host.Name()] {
			continue // an address, or a pattern
		}
		if c[category] == nil {
			c[category] = map[string]bool{}
		}
		c[category][host.Name()] = true
	}
}

// wide options do not spare what a host serves besides. One for pings or images does: whole shops and newspapers count clicks on
// their own name.
var wide = set("third-party", "popup", "document", "script")

// serverOf is the host of a filter that blocks all of it, wherever it is embedded: "||example.com^", with wide options at most.
func serverOf(line string) []string {
	rest, ok := strings.CutPrefix(line, "||")
	if !ok {
		return nil
	}
	host, rest, ok := strings.Cut(rest, "^")
	if !ok {
		return nil
	}
	if rest == "" {
		return []string{host}
	}
	options, ok := strings.CutPrefix(rest, "$")
	for option := range strings.SplitSeq(options, ",") {
		ok = ok && wide[option]
	}
	if !ok {
		return nil
	}
	return []string{host}
}

// sitesOf are the sites that a filter is for: those before ## and the like, those of its domain option, or the host it
// begins with.
func sitesOf(line string) (sites []string) {
	for _, mark := range []string{"##", "#@#", "#?#", "#$#"} {
		if before, _, ok := strings.Cut(line, mark); ok {
			return positive(strings.Split(before, ","))
		}
	}
	pattern, options, _ := strings.Cut(line, "$")
	for option := range strings.SplitSeq(options, ",") {
		if list, ok := strings.CutPrefix(option, "domain="); ok {
			return positive(strings.Split(list, "|"))
		}
	}
	if host, ok := strings.CutPrefix(strings.TrimPrefix(pattern, "@@"), "||"); ok {
		if i := strings.IndexAny(host, "/^"); i >= 0 {
			host = host[:i]
		}
		return []string{host}
	}
	return nil
}

// positive leaves out exceptions.
func positive(names []string) (out []string) {
	for _, name := range names {
		if name != "" && name[0] != '~' {
			out = append(out, name)
		}
	}
	return out
}

// ordinary are sites of other kinds that adult or advertising filters name whole: what they carry besides is worth a visit.
var ordinary = set(
	"facebook.com", "google.com", "twitter.com", "x.com", "reddit.com", "tumblr.com", "imgur.com", "youtube.com", "github.com", "wordpress.com",
	"blogspot.com", "amazon.com", "ebay.com", "wikipedia.org", "archive.org", "pinterest.com", "instagram.com", "linkedin.com", "vk.com",
)

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}
