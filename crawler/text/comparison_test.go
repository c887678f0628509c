package text

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/markusmobius/go-trafilatura"
	"golang.org/x/net/html"
)

var wholeSample = flag.Bool("whole-sample", false, "compare all 983 pages of go-trafilatura's sample, in about two minutes")

// sampleStep takes every so many-th page of the sample: the whole takes a minute, and ten under the race detector.
const sampleStep = 48

// labelled is a page of which people said what its article has, and has not.
type labelled struct {
	url, file     string
	with, without []string
}

// comparisonSample reads the labels that lie in the library's module, which are Go source of a command.
func comparisonSample(t *testing.T) (pages []labelled) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/markusmobius/go-trafilatura").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skip("the module cache does not hold go-trafilatura")
	}
	source, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "scripts/comparison/data.go"), nil, 0)
	if err != nil {
		t.Skip(err)
	}
	ast.Inspect(source, func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		fields, ok := entry.Value.(*ast.CompositeLit)
		if !ok {
			return true
		}
		page := labelled{url: unquoted(entry.Key)[0]}
		for _, field := range fields.Elts {
			if field, ok := field.(*ast.KeyValueExpr); ok {
				switch field.Key.(*ast.Ident).Name {
				case "File":
					page.file = filepath.Join(dir, "test-files/comparison", unquoted(field.Value)[0])
				case "With":
					page.with = unquoted(field.Value)
				case "Without":
					page.without = unquoted(field.Value)
				}
			}
		}
		if _, err := os.Stat(page.file); err != nil {
			page.file = filepath.Join(dir, "test-files/mock", filepath.Base(page.file))
		}
		if _, err := os.Stat(page.file); err == nil {
			pages = append(pages, page)
		}
		return false
	})
	slices.SortFunc(pages, func(a, b labelled) int { return strings.Compare(a.url, b.url) })
	return pages
}

// unquoted lists the string literals of an expression.
func unquoted(e ast.Expr) (list []string) {
	ast.Inspect(e, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if s, err := strconv.Unquote(literal.Value); err == nil {
				list = append(list, folded(s))
			}
		}
		return true
	})
	return list
}

// folded makes passages comparable that two writers broke into lines differently.
func folded(s string) string { return strings.Join(strings.Fields(Clean(s)), " ") }

// score counts as the library's own comparison does.
type score struct{ found, missed, wrong int }

func (s *score) count(page labelled, text string) {
	text = folded(text)
	for _, passage := range page.with {
		if strings.Contains(text, passage) {
			s.found++
		} else {
			s.missed++
		}
	}
	for _, passage := range page.without {
		if text != "" && strings.Contains(text, passage) {
			s.wrong++
		}
	}
}

func (s score) f1() float64 { return 2 * float64(s.found) / float64(2*s.found+s.missed+s.wrong) }

// TestArticlesAreFoundAsWellAsByTheLibrary holds our articles, which keep the page's own form, to the library's text, with
// and without its fallback.
func TestArticlesAreFoundAsWellAsByTheLibrary(t *testing.T) {
	var ours, plain, fallback score
	for n, page := range comparisonSample(t) {
		if !*wholeSample && n%sampleStep != 0 {
			continue
		}
		body, err := os.ReadFile(page.file)
		if err != nil {
			t.Fatal(err)
		}
		address := mustURL(t, page.url)
		x, err := Extract(t.Context(), body, "text/html", address, Options{MainOnly: true, Budget: LongestBudget})
		if err != nil {
			t.Errorf("%s: %v", page.file, err)
		}
		ours.count(page, x.Plain)
		plain.count(page, libraryText(t, body, address, false))
		fallback.count(page, libraryText(t, body, address, true))
	}
	t.Logf("F1: ours %.4f %+v, the library's %.4f %+v, with its fallback %.4f %+v", ours.f1(), ours, plain.f1(), plain, fallback.f1(), fallback)
	if want := max(plain.f1(), fallback.f1()); ours.f1() < want {
		t.Errorf("F1 of our articles is %.4f, the library's %.4f", ours.f1(), want)
	}
}

func libraryText(t *testing.T, body []byte, address *url.URL, fallback bool) string {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader([]byte(Source(body, "text/html"))))
	if err != nil {
		return ""
	}
	result, err := trafilatura.ExtractDocument(doc, trafilatura.Options{
		OriginalURL: address, ExcludeComments: true, EnableFallback: fallback, HtmlDateMode: trafilatura.Disabled,
	})
	if err != nil {
		return ""
	}
	return result.ContentText
}
