package dashboard

import (
	"net/http"
	"path/filepath"
	"strings"

	"sward/edge"
)

// consentModel is the one screen that the owner reads before the first byte.
type consentModel struct {
	shell
	Text   terms
	Phrase string
	Typed  string // what the owner typed instead
	Since  string // when they agreed; empty: they have not
}

func (d *Dashboard) consent(r *http.Request) any {
	s := d.shell(r, "consent")
	return consentModel{shell: s, Text: parseTerms(edge.ConsentText(d.file())), Phrase: edge.ConsentPhrase, Since: s.Status.Consent}
}

// file is the settings file as it is in force. An edge without one has the defaults beside its settings.
func (d *Dashboard) file() edge.FileConfig {
	c, err := edge.ReadSettings(filepath.Join(d.Dir, edge.SettingsFile))
	if err != nil {
		c = edge.DefaultFileConfig()
	}
	c.Settings = d.Edge.Settings()
	return c
}

// postConsent takes the owner's word: the phrase, typed under the text.
func (d *Dashboard) postConsent(w http.ResponseWriter, r *http.Request) {
	typed := r.PostFormValue("phrase")
	if !strings.EqualFold(strings.TrimSpace(typed), edge.ConsentPhrase) {
		m := d.consent(r).(consentModel) //nolint:forcetypeassert // it is what consent makes
		m.Fault, m.Typed = "Nothing is agreed: please type the words as they stand there.", typed
		w.WriteHeader(http.StatusUnprocessableEntity)
		d.render(w, "consent.html", m)
		return
	}
	if err := edge.Agree(d.Dir, d.Clock()); err != nil {
		d.Log.Error("the owner's agreement cannot be written down", "err", err)
		http.Error(w, "your agreement cannot be written down: "+err.Error(), http.StatusInternalServerError)
		return
	}
	http.Redirect(w, r, "/?done=agreed", http.StatusSeeOther)
}

// terms is the text to agree to, taken apart.
type terms struct {
	Title  string
	Intro  string
	Points []point
}

// point is one of the things to know: a sentence that says it, and the rest.
type point struct{ Lead, Text string }

// parseTerms reads the Markdown of edge/consent.md: a heading, a paragraph, and a list in which each item begins with a
// sentence in bold.
func parseTerms(markdown string) (t terms) {
	for block := range strings.SplitSeq(markdown, "\n\n") {
		block = strings.Join(strings.Fields(block), " ")
		number, item, numbered := strings.Cut(block, ". ")
		switch title, heading := strings.CutPrefix(block, "# "); {
		case heading:
			t.Title = title
		case numbered && len(number) < 3 && strings.Trim(number, "0123456789") == "":
			lead, rest, _ := strings.Cut(strings.TrimPrefix(item, "**"), "**")
			if strings.HasPrefix(rest, ",") { // the sentence goes on
				lead, rest = lead+rest, ""
			}
			t.Points = append(t.Points, point{lead, strings.TrimSpace(rest)})
		case block != "":
			t.Intro = strings.TrimSpace(t.Intro + " " + block)
		}
	}
	return t
}
