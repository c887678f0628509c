package trust

import "strings"

// months begin alike in the languages of most pages that write them out.
var months = []string{"jan", "feb", "mar", "mär", "apr", "may", "mai", "jun", "jul", "aug", "sep", "oct", "okt", "nov", "dec", "dez"}

// ages are the units in which pages say how old something is.
var ages = []string{"second", "sec", "minute", "min", "hour", "hr", "day", "week", "month", "year"}

// moment reports whether the word at i is part of a date or a time: 2026-11-22, 22.11.2026, 04:31, 1763786400, the parts
// of "22 November 2026", and the 3 of "3 minutes ago". A price is none.
func moment(words []string, i int) bool {
	w := strings.Trim(words[i], ",;()[]\"'")
	at := func(k int) string {
		if k < 0 || k >= len(words) {
			return ""
		}
		return strings.ToLower(strings.Trim(words[k], ",;.()[]\"'"))
	}
	switch {
	case dated(w), clock(w), epoch(w):
		return true
	case short(w): // day or year beside a month, or an age
		return month(at(i-1)) || month(at(i+1)) || month(at(i-2)) && short(at(i-1)) || age(at(i+1)) && at(i+2) == "ago"
	case month(at(i)):
		return short(at(i-1)) || short(at(i+1))
	}
	return false
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// short is a number that a day or a year can be.
func short(w string) bool {
	w = strings.TrimRight(strings.Trim(w, ",;.()"), "stndrh") // 1st, 2nd
	return digits(w) && len(w) <= 4
}

// epoch is a number of seconds or milliseconds since 1970, of this century.
func epoch(w string) bool { return digits(w) && (len(w) == 10 || len(w) == 13) && w[0] == '1' }

// dated is three numbers between equal separators, perhaps with a time behind (RFC 3339).
func dated(w string) bool {
	day, _, _ := strings.Cut(w, "T")
	for _, sep := range []string{"-", "/", "."} {
		p := strings.Split(strings.TrimRight(day, "."), sep)
		if len(p) != 3 || !digits(p[0]) || !digits(p[1]) || !digits(p[2]) || len(p[1]) > 2 {
			continue
		}
		if len(p[0]) == 4 && len(p[2]) <= 2 || len(p[0]) <= 2 && (len(p[2]) == 4 || len(p[2]) == 2) {
			return true
		}
	}
	return false
}

// clock is 4:31, 04:31:07 or 04:31:07.250Z.
func clock(w string) bool {
	p := strings.Split(strings.TrimRight(strings.ToUpper(w), "APMZ."), ":")
	if len(p) < 2 || len(p) > 3 || !digits(p[0]) || len(p[0]) > 2 || !digits(p[1]) || len(p[1]) != 2 {
		return false
	}
	if len(p) == 2 {
		return true
	}
	second, fraction, _ := strings.Cut(p[2], ".")
	return digits(second) && len(second) == 2 && (fraction == "" || digits(fraction))
}

func month(w string) bool {
	for _, m := range months {
		if strings.HasPrefix(w, m) && len(w) <= len("september") {
			return true
		}
	}
	return false
}

func age(w string) bool {
	for _, a := range ages {
		if w == a || w == a+"s" {
			return true
		}
	}
	return false
}
