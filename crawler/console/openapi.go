package console

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// source is the description as people write it. OpenAPI is the same in YAML and in JSON.
//
//go:embed openapi.yaml
var source []byte

// description is the part of an OpenAPI document that the page shows, and the whole of it as JSON.
type description struct {
	Info struct {
		Title, Version, Summary, Description string
	}
	Tags []struct {
		Name, Description string
	}
	Paths      ordered[map[string]yaml.RawMessage] `yaml:"paths"`
	Components struct {
		Parameters    map[string]parameter
		RequestBodies map[string]body `yaml:"requestBodies"`
		Responses     map[string]body
		Schemas       ordered[schema]
	}

	json []byte
}

// operation is one method of one path.
type operation struct {
	Method, Path string `yaml:"-"`

	Tags                 []string
	ID                   string `yaml:"operationId"`
	Summary, Description string
	Parameters           []parameter
	RequestBody          body `yaml:"requestBody"`
	Responses            ordered[body]
}

type parameter struct {
	Ref                   string `yaml:"$ref"`
	Name, In, Description string
	Schema                schema
}

type body struct {
	Ref         string `yaml:"$ref"`
	Description string
	Content     ordered[struct {
		Schema  schema
		Example yaml.RawMessage
	}]
}

type schema struct {
	Ref         string `yaml:"$ref"`
	Type        any    // a name, or several
	Format      string
	Description string
	Default     any
	Enum        []any
	Const       any
	Minimum     any
	Maximum     any
	Required    []string
	Items       *schema
	OneOf       []schema `yaml:"oneOf"`
	AllOf       []schema `yaml:"allOf"`
	Properties  ordered[schema]
}

// ordered is a map that remembers in which order it was written: the order is what a reader expects first.
type ordered[T any] struct {
	keys []string
	of   map[string]T
}

// UnmarshalYAML reads the keys and then the values.
func (o *ordered[T]) UnmarshalYAML(read func(any) error) error {
	var keys yaml.MapSlice
	if err := read(&keys); err != nil {
		return err
	}
	for _, item := range keys {
		o.keys = append(o.keys, fmt.Sprint(item.Key))
	}
	return read(&o.of)
}

// read parses the description.
func read() (*description, error) {
	var d description
	if err := yaml.Unmarshal(source, &d); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	var err error
	if d.json, err = yaml.YAMLToJSON(source); err != nil {
		return nil, fmt.Errorf("openapi.yaml as JSON: %w", err)
	}
	return &d, nil
}

// operations lists what can be called, as written.
func (d *description) operations() ([]operation, error) {
	var list []operation
	for _, path := range d.Paths.keys {
		item := d.Paths.of[path]
		var shared []parameter
		if raw, ok := item["parameters"]; ok {
			if err := yaml.Unmarshal(raw, &shared); err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s: %w", path, err)
			}
		}
		for _, method := range []string{"get", "post", "delete"} {
			raw, ok := item[method]
			if !ok {
				continue
			}
			o := operation{Method: strings.ToUpper(method), Path: path}
			if err := yaml.Unmarshal(raw, &o); err != nil {
				return nil, fmt.Errorf("openapi.yaml: %s %s: %w", method, path, err)
			}
			o.Parameters = append(append([]parameter(nil), shared...), o.Parameters...)
			for i, p := range o.Parameters {
				if p.Ref != "" {
					o.Parameters[i] = d.Components.Parameters[last(p.Ref)]
				}
			}
			if o.RequestBody.Ref != "" {
				o.RequestBody = d.Components.RequestBodies[last(o.RequestBody.Ref)]
			}
			for status, r := range o.Responses.of {
				if r.Ref != "" {
					o.Responses.of[status] = d.Components.Responses[last(r.Ref)]
				}
			}
			list = append(list, o)
		}
	}
	return list, nil
}

// last is the name that a reference ends in.
func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
