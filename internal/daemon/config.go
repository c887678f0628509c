package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// configMax bounds a config file, in bytes. Lists of domains fit; a mistaken
// path to a disk image does not.
const configMax = 4 << 20

// LoadConfig reads the YAML file at path over the defaults in the struct that
// into points to. A key that is unknown, or given twice, or of the wrong type
// stops the program: the error is one sentence with the file, the line and the
// key. A missing file is fs.ErrNotExist.
func LoadConfig(path string, into any) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, configMax+1))
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if len(text) > configMax {
		return fmt.Errorf("config %s is longer than %d bytes", path, configMax)
	}
	if fault := decode(text, into); fault != nil {
		return fmt.Errorf("config %s%w", path, fault)
	}
	return nil
}

// MarshalConfig renders a config as YAML that LoadConfig reads back.
func MarshalConfig(v any) ([]byte, error) {
	text, err := yaml.MarshalWithOptions(v, yaml.IndentSequence(true))
	if err != nil {
		return nil, fmt.Errorf("render config: %w", err)
	}
	return text, nil
}

// RewriteConfig replaces the config file at path by one that says v, keeping the comments that people wrote beside keys
// that are still there, and the file's mode.
func RewriteConfig(path string, v any) error {
	path, err := filepath.EvalSymlinks(path) // a link stays one, to the file that says v
	if err != nil {
		return fmt.Errorf("rewrite config: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("rewrite config: %w", err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("rewrite config: %w", err)
	}
	comments := yaml.CommentMap{}
	into := reflect.New(reflect.TypeOf(v)).Interface()
	if err := yaml.UnmarshalWithOptions(before, into, yaml.CommentToMap(comments)); err != nil {
		comments = nil // a file that cannot be read has nothing to keep
	}
	text, err := MarshalConfig(v)
	if err != nil {
		return err
	}
	commented, err := yaml.MarshalWithOptions(v, yaml.IndentSequence(true), yaml.WithComment(placed(comments, before, text)))
	if err == nil && says(commented, v, text) { // a comment must not change what the file says, wherever the library puts it
		text = commented
	}
	return WriteFile(path, text, info.Mode().Perm())
}

// placed are the comments that have a place in the config after, at that place: those beside an element of a list follow it
// to where it is now.
func placed(comments yaml.CommentMap, before, after []byte) yaml.CommentMap {
	was, err := parser.ParseBytes(before, 0)
	if err != nil {
		return nil
	}
	is, err := parser.ParseBytes(after, 0)
	if err != nil {
		return nil
	}
	kept := yaml.CommentMap{}
	for path, said := range comments {
		if !strings.HasSuffix(path, "]") {
			if nodeAt(is, path) != nil {
				kept[path] = said
			}
			continue
		}
		list := path[:strings.LastIndexByte(path, '[')]
		old, now := nodeAt(was, path), elements(nodeAt(is, list))
		for i, e := range now {
			moved := fmt.Sprintf("%s[%d]", list, i)
			if old != nil && kept[moved] == nil && plain(old) == plain(e) {
				kept[moved] = said
				break
			}
		}
	}
	return kept
}

// nodeAt is the node at a path, or nil.
func nodeAt(file *ast.File, path string) ast.Node {
	p, err := yaml.PathString(path)
	if err != nil {
		return nil
	}
	n, err := p.FilterFile(file)
	if err != nil {
		return nil
	}
	return n
}

func elements(n ast.Node) []ast.Node {
	if list, ok := n.(*ast.SequenceNode); ok {
		return list.Values
	}
	return nil
}

// plain is what an element of a list says, whichever way it is quoted.
func plain(n ast.Node) string {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value
	}
	return n.String()
}

// says tells whether text reads as v, which is plain without comments.
func says(text []byte, v any, plain []byte) bool {
	into := reflect.New(reflect.TypeOf(v))
	if decode(text, into.Interface()) != nil {
		return false
	}
	again, err := MarshalConfig(into.Elem().Interface())
	return err == nil && bytes.Equal(again, plain)
}

// fault is what is wrong with one place of a config. Its text continues the
// sentence that begins with the file's name.
type fault struct {
	line  int    // 0: the whole file
	key   string // dotted path; empty when unknown
	cause error
}

func (f *fault) Error() string {
	var b strings.Builder
	if f.line > 0 {
		fmt.Fprintf(&b, " line %d", f.line)
	}
	b.WriteString(": ")
	if f.key != "" {
		fmt.Fprintf(&b, "key %q: ", f.key)
	}
	b.WriteString(f.cause.Error())
	return b.String()
}

func (f *fault) Unwrap() error { return f.cause }

func decode(text []byte, into any) error {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return faultOf(err, nil)
	}
	docs := bodies(file)
	switch {
	case len(docs) > 1:
		return &fault{line: docs[1].GetToken().Position.Line, cause: errors.New("a second document begins here, and a config is one")}
	case len(docs) == 0: // all comment: the defaults stand
		return nil
	}
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(into)
	if _, placed := errors.AsType[yaml.Error](err); placed {
		return faultOf(err, docs[0])
	}
	// The library rounds 1.5 to 1 and does not say where a duration or a size
	// was malformed. This finds both.
	if fault := misfit(docs[0], reflect.TypeOf(into)); fault != nil {
		return fault
	}
	if err != nil {
		return &fault{cause: err}
	}
	return nil
}

func bodies(file *ast.File) []ast.Node {
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body == nil {
			continue
		}
		if _, comment := d.Body.(*ast.CommentGroupNode); !comment {
			docs = append(docs, d.Body)
		}
	}
	return docs
}

// faultOf rewords the library's errors, which show source and Go types, for the
// person who wrote the file.
func faultOf(err error, doc ast.Node) error {
	placed, ok := errors.AsType[yaml.Error](err)
	if !ok {
		return &fault{cause: err}
	}
	f := &fault{cause: reworded(placed)}
	if tk := placed.GetToken(); tk != nil {
		f.line = tk.Position.Line
		if doc != nil {
			find := &finder{offset: tk.Position.Offset}
			ast.Walk(find, doc)
			f.key = key(find.path)
		}
	}
	return f
}

func reworded(err yaml.Error) error {
	switch e := err.(type) {
	case *yaml.UnknownFieldError:
		return errors.New("unknown key")
	case *yaml.TypeError:
		return fmt.Errorf("want %s", words(e.DstType))
	case *yaml.OverflowError:
		return fmt.Errorf("number out of range for %s", words(e.DstType))
	case *yaml.UnexpectedNodeTypeError:
		switch e.Expected {
		case ast.SequenceType:
			return errors.New("want a list")
		case ast.MappingType:
			return errors.New("want a block of keys")
		}
	}
	return errors.New(err.GetMessage())
}

// finder is an ast.Visitor that keeps the path of the node at one offset.
type finder struct {
	offset int
	path   string
}

func (v *finder) Visit(n ast.Node) ast.Visitor {
	if tk := n.GetToken(); tk != nil && tk.Position.Offset == v.offset {
		v.path = n.GetPath()
	}
	return v
}

// key is a node's path as a person would say it: "relays[0].id".
func key(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, "$"), ".") }
