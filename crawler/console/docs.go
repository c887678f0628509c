package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/yuin/goldmark"
)

// page renders the description for people. It is made of the same document that programs read, so that the two cannot
// differ.
func (d *description) page() ([]byte, error) {
	operations, err := d.operations()
	if err != nil {
		return nil, err
	}
	sheet := docsSheet{Title: d.Info.Title, Summary: d.Info.Summary, Description: prose(d.Info.Description)}
	for _, tag := range d.Tags {
		t := docsTag{Name: tag.Name, Description: tag.Description}
		for _, o := range operations {
			if slices.Contains(o.Tags, tag.Name) {
				t.Operations = append(t.Operations, d.operation(o))
			}
		}
		sheet.Tags = append(sheet.Tags, t)
	}
	for _, name := range d.Components.Schemas.keys {
		s := d.Components.Schemas.of[name]
		sheet.Schemas = append(sheet.Schemas, docsSchema{name, prose(s.Description), typeOf(s), d.fields(s)})
	}
	text, err := files.ReadFile("page/docs.html")
	if err != nil {
		return nil, err
	}
	parsed, err := template.New("docs").Parse(string(text))
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	err = parsed.Execute(&page, sheet)
	return page.Bytes(), err
}

type docsSheet struct {
	Title, Summary string
	Description    template.HTML
	Tags           []docsTag
	Schemas        []docsSchema
}

type docsTag struct {
	Name, Description string
	Operations        []docsOperation
}

type docsOperation struct {
	ID, Method, Path, Summary, Curl string
	Description                     template.HTML
	Parameters                      []docsField
	Body                            *docsAnswer
	Answers                         []docsAnswer
}

// docsAnswer is a body: its shape by name, or its fields.
type docsAnswer struct {
	Status string
	Text   template.HTML
	Name   string
	Fields []docsField
}

type docsSchema struct {
	Name        string
	Description template.HTML
	Type        string
	Fields      []docsField
}

type docsField struct {
	Name, Type, Link, Default string
	Must                      bool
	Description               template.HTML
}

func (d *description) operation(o operation) docsOperation {
	made := docsOperation{ID: o.ID, Method: o.Method, Path: o.Path, Summary: o.Summary, Description: prose(o.Description), Curl: curl(o)}
	for _, p := range o.Parameters {
		f := field(p.Name, p.Schema)
		f.Must, f.Type = p.In == "path", p.In+", "+f.Type
		if p.Description != "" {
			f.Description = prose(p.Description)
		}
		made.Parameters = append(made.Parameters, f)
	}
	if len(o.RequestBody.Content.keys) > 0 {
		answer := d.answer("", o.RequestBody)
		made.Body = &answer
	}
	for _, status := range o.Responses.keys {
		made.Answers = append(made.Answers, d.answer(status, o.Responses.of[status]))
	}
	return made
}

// answer shows the first kind of content: where there are several, they are files.
func (d *description) answer(status string, b body) docsAnswer {
	a := docsAnswer{Status: status, Text: prose(b.Description)}
	if len(b.Content.keys) == 0 {
		return a
	}
	s := b.Content.of[b.Content.keys[0]].Schema
	if s.Ref != "" {
		a.Name = last(s.Ref)
		return a
	}
	a.Fields = d.fields(s)
	return a
}

// fields lists the properties of an object, those of shapes that it is made of first.
func (d *description) fields(s schema) []docsField {
	if s.Ref != "" {
		return d.fields(d.Components.Schemas.of[last(s.Ref)])
	}
	var list []docsField
	for i := len(s.AllOf) - 1; i >= 0; i-- { // its own come first: the address, then how
		list = append(list, d.fields(s.AllOf[i])...)
	}
	for _, name := range s.Properties.keys {
		f := field(name, s.Properties.of[name])
		f.Must = slices.Contains(s.Required, name)
		list = append(list, f)
	}
	return list
}

func field(name string, s schema) docsField {
	f := docsField{Name: name, Type: typeOf(s), Description: prose(s.Description)}
	switch {
	case s.Ref != "":
		f.Link = last(s.Ref)
	case s.Items != nil && s.Items.Ref != "":
		f.Link = last(s.Items.Ref)
	}
	if s.Default != nil {
		f.Default = inline(s.Default)
	}
	return f
}

// typeOf says in a word or two what a value is.
func typeOf(s schema) string {
	switch {
	case s.Ref != "":
		return last(s.Ref)
	case s.Const != nil:
		return inline(s.Const)
	case len(s.Enum) > 0:
		return choice(s.Enum, inline)
	case len(s.OneOf) > 0:
		return choice(s.OneOf, typeOf)
	case s.Items != nil:
		return "list of " + typeOf(*s.Items)
	}
	text := "any"
	switch kind := s.Type.(type) {
	case string:
		text = kind
	case []any:
		text = choice(kind, func(v any) string { return fmt.Sprint(v) })
	}
	if s.Format != "" {
		text += " (" + s.Format + ")"
	}
	if s.Minimum != nil {
		text += " from " + fmt.Sprint(s.Minimum)
	}
	if s.Maximum != nil {
		text += " to " + fmt.Sprint(s.Maximum)
	}
	return text
}

func choice[T any](list []T, text func(T) string) string {
	words := make([]string, len(list))
	for i, v := range list {
		words[i] = text(v)
	}
	return strings.Join(words, " | ")
}

// inline is a value as JSON, without the quotes of a plain word.
func inline(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(string(text), `"`)
}

// prose renders a description. It is ours, and goldmark leaves no HTML of its own in.
func prose(markdown string) template.HTML {
	var html bytes.Buffer
	if err := goldmark.Convert([]byte(markdown), &html); err != nil {
		return template.HTML(template.HTMLEscapeString(markdown)) //nolint:gosec // escaped
	}
	text := strings.TrimSpace(html.String())
	if strings.Count(text, "<p>") == 1 && strings.HasPrefix(text, "<p>") && strings.HasSuffix(text, "</p>") {
		text = text[len("<p>") : len(text)-len("</p>")] // one paragraph stands in a line
	}
	return template.HTML(text) //nolint:gosec // from openapi.yaml, which is compiled in
}

// curl shows the call on a command line.
func curl(o operation) string {
	path := strings.ReplaceAll(o.Path, "{id}", "$ID")
	line := `curl -H "Authorization: Bearer $SWARD_KEY" `
	switch {
	case o.Method == http.MethodDelete:
		line += "-X DELETE "
	case len(o.RequestBody.Content.keys) > 0:
		example, err := yaml.YAMLToJSON(o.RequestBody.Content.of[o.RequestBody.Content.keys[0]].Example)
		if err == nil {
			line += "-H 'Content-Type: application/json' \\\n  -d '" + strings.TrimSpace(string(example)) + "' \\\n  "
		}
	}
	return line + `"$SWARD_API` + path + `"`
}
