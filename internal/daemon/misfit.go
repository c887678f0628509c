package daemon

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// misfit finds the first value in the document that does not fit the type it
// is for, beyond what the library checks: whole numbers must be written as
// such, and a type that reads its own text must accept it. Shapes and unknown
// keys are the library's business and are passed over here.
func misfit(n ast.Node, t reflect.Type) *fault {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		n = anchor.Value
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.(type) {
	case *ast.AliasNode, *ast.NullNode: // checked where the alias points; null keeps the default
		return nil
	}
	if readsItself(t) {
		return trial(n, t)
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		m, ok := n.(ast.MapNode)
		if !ok {
			return nil
		}
		for it := m.MapRange(); it.Next(); {
			value, known := valueType(t, it.Key().String())
			if !known {
				continue
			}
			if f := misfit(it.Value(), value); f != nil {
				return f
			}
		}
	case reflect.Slice, reflect.Array:
		s, ok := n.(*ast.SequenceNode)
		if !ok {
			return nil
		}
		for _, v := range s.Values {
			if f := misfit(v, t.Elem()); f != nil {
				return f
			}
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if _, ok := n.(*ast.IntegerNode); !ok {
			return at(n, fmt.Errorf("want %s", words(t)))
		}
	}
	return nil
}

// trial decodes one value on its own, to learn where a bad one stands.
func trial(n ast.Node, t reflect.Type) *fault {
	err := yaml.NodeToValue(n, reflect.New(t).Interface(), yaml.Strict())
	if err == nil {
		return nil
	}
	if placed, ok := errors.AsType[yaml.Error](err); ok {
		err = reworded(placed)
	}
	return at(n, err)
}

func at(n ast.Node, cause error) *fault {
	return &fault{line: n.GetToken().Position.Line, key: key(n.GetPath()), cause: cause}
}

// valueType is the type of the value under a key of a struct or map.
func valueType(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" {
			name = strings.ToLower(f.Name) // the library's rule
		}
		if strings.Contains(options, "inline") {
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			if v, ok := valueType(embedded, key); ok {
				return v, true
			}
			continue
		}
		if name == key {
			return f.Type, true
		}
	}
	return nil, false
}

// readsItself: durations and every type with its own way to read text or YAML.
func readsItself(t reflect.Type) bool {
	if t == reflect.TypeFor[time.Duration]() {
		return true
	}
	p := reflect.PointerTo(t)
	for _, way := range []reflect.Type{
		reflect.TypeFor[encoding.TextUnmarshaler](),
		reflect.TypeFor[yaml.BytesUnmarshaler](),
		reflect.TypeFor[yaml.BytesUnmarshalerContext](),
		reflect.TypeFor[yaml.InterfaceUnmarshaler](),
		reflect.TypeFor[yaml.InterfaceUnmarshalerContext](),
		reflect.TypeFor[yaml.NodeUnmarshaler](),
		reflect.TypeFor[yaml.NodeUnmarshalerContext](),
	} {
		if p.Implements(way) {
			return true
		}
	}
	return false
}

// words names a type for a person who does not write Go.
func words(t reflect.Type) string {
	if t == reflect.TypeFor[time.Duration]() {
		return "a duration such as 90s or 12h"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "a block of keys"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint8:
		return "a whole number from 0 to 255"
	case reflect.Uint16:
		return "a whole number from 0 to 65535"
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	}
	return "a whole number"
}
