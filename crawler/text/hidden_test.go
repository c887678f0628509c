package text

import "testing"

// K04.
func TestHiddenTextGoesAndLayoutStays(t *testing.T) {
	const told = "What everybody reads is longer than this page's menu and its little secret together."
	for _, c := range []struct {
		name, source, want string
		hidden             bool
	}{
		{"not drawn", `<p>` + told + `</p><p style="display:none">secret</p>`, told, true},
		{"in letters of no size", `<p>` + told + `</p><p style="font-size:0">secret <b>words</b></p>`, told, true},
		{"by a class", `<style>.z{font-size:0px}</style><p>` + told + `</p><p class=z>secret</p>`, told, true},
		{"columns without gaps", `<style>.row{font-size:0}</style><div class=row><div class=col>` + told + `</div> <div class=col>next</div></div>`, told + "\nnext", false},
		{"off the screen", `<p>` + told + `</p><p style="position:absolute;left:-9999px">secret</p>`, told, true},
		{"in the background's colour", `<p>` + told + `</p><p style="color:#fff;background:white">secret</p>`, told, true},
		{"a slide show before its script has run", `<p>1</p><p style="display:none">two, in many words</p><p style="display:none">three, in many words</p>`, "1\ntwo, in many words\nthree, in many words", true},
		{"a secret inside what waits", `<div hidden><p>` + told + `</p></div>`, told, true},
	} {
		x := extractHTML(t, c.source, Options{})
		if x.Plain != c.want || x.Hidden != c.hidden {
			t.Errorf("%s: got %q, hidden %v, want %q, %v", c.name, x.Plain, x.Hidden, c.want, c.hidden)
		}
	}
}
