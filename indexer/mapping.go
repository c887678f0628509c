package indexer

import (
	"strings"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/custom"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/analysis/lang/en"
	"github.com/blevesearch/bleve/v2/analysis/token/length"
	"github.com/blevesearch/bleve/v2/analysis/token/lowercase"
	"github.com/blevesearch/bleve/v2/analysis/token/porter"
	"github.com/blevesearch/bleve/v2/analysis/token/unicodenorm"
	"github.com/blevesearch/bleve/v2/analysis/tokenizer/unicode"
	"github.com/blevesearch/bleve/v2/mapping"
)

// The fields of a page in a shard. There are no others: a page cannot add any.
const (
	fieldTitle    = "title"
	fieldHeadings = "headings"
	fieldBody     = "body"
	fieldHost     = "host"
	fieldLanguage = "language"
	fieldFetched  = "fetched"
)

// Names of the two ways in which text becomes terms. Both fold case, width and composition, stem
// English words and drop what is longer than any word.
const (
	prose  = "prose"  // without the English stop words, which are half of a body
	titles = "titles" // with them: "The Who" is a name
)

// maxWord is the longest term in characters. A longer one is an identifier or an attack.
const maxWord = 64

// newMapping is static, and its body is neither stored nor has term vectors: against bleve's
// defaults that indexes more than twice the pages per second of CPU on a twelfth of the disk.
// Snippets are made from the page store instead.
func newMapping() (*mapping.IndexMappingImpl, error) {
	m := bleve.NewIndexMapping()
	if err := m.AddCustomTokenFilter("words", map[string]any{"type": length.Name, "min": 1.0, "max": float64(maxWord)}); err != nil {
		return nil, err
	}
	if err := m.AddCustomTokenFilter("fold", map[string]any{"type": unicodenorm.Name, "form": unicodenorm.NFKC}); err != nil {
		return nil, err
	}
	for name, filters := range map[string][]any{
		prose:  {"words", "fold", en.PossessiveName, lowercase.Name, en.StopName, porter.Name},
		titles: {"words", "fold", en.PossessiveName, lowercase.Name, porter.Name},
	} {
		err := m.AddCustomAnalyzer(name, map[string]any{"type": custom.Name, "tokenizer": unicode.Name, "token_filters": filters})
		if err != nil {
			return nil, err
		}
	}
	page := bleve.NewDocumentStaticMapping()
	page.AddFieldMappingsAt(fieldTitle, textField(titles, true))
	page.AddFieldMappingsAt(fieldHeadings, textField(titles, true))
	page.AddFieldMappingsAt(fieldBody, textField(prose, false))
	page.AddFieldMappingsAt(fieldHost, keywordField())
	page.AddFieldMappingsAt(fieldLanguage, keywordField())
	fetched := bleve.NewDateTimeFieldMapping()
	fetched.Store, fetched.IncludeInAll = false, false
	page.AddFieldMappingsAt(fieldFetched, fetched)
	page.AddSubDocumentMapping("_all", bleve.NewDocumentDisabledMapping())
	m.DefaultMapping = page
	m.IndexDynamic, m.StoreDynamic, m.DocValuesDynamic = false, false, false
	return m, m.Validate()
}

func textField(analyzer string, vectors bool) *mapping.FieldMapping {
	f := bleve.NewTextFieldMapping()
	f.Analyzer, f.IncludeTermVectors = analyzer, vectors
	f.Store, f.IncludeInAll, f.DocValues = false, false, false
	return f
}

func keywordField() *mapping.FieldMapping {
	f := bleve.NewTextFieldMapping()
	f.Analyzer = keyword.Name
	f.Store, f.IncludeInAll, f.IncludeTermVectors = false, false, false
	return f
}

// fields is a page as the mapping expects it.
func (d *Document) fields() map[string]any {
	return map[string]any{
		fieldTitle: d.Title, fieldHeadings: strings.Join(d.Headings, "\n"), fieldBody: d.Text,
		fieldHost: d.host(), fieldLanguage: d.Language, fieldFetched: d.Fetched,
	}
}

// words is the analysis that queries and snippets share with the shards.
var words = mustMapping()

func mustMapping() *mapping.IndexMappingImpl {
	m, err := newMapping()
	if err != nil {
		panic("indexer: the mapping is constant and valid: " + err.Error())
	}
	return m
}

func analyse(analyzer, text string) analysis.TokenStream {
	return words.AnalyzerNamed(analyzer).Analyze([]byte(text))
}
