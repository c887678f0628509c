package sward_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// imports is the house: each package with the packages of this module that it may import. A package that is
// missing here fails the test, and so does an import that is not in its row: to move a wall, move it here first.
var imports = map[string][]string{
	// Layer 0 knows nobody.
	"policy":            {},
	"policy/easylist":   {"policy"}, // makes a table of policy
	"indexer":           {},
	"internal/identity": {},
	"internal/wire":     {},
	"internal/splice":   {},
	"internal/daemon":   {},
	"internal/bbr":      {},
	"internal/geo":      {},
	"crawler/link":      {},
	"crawler/warc":      {},
	"crawler/botauth":   {},
	"crawler/render":    {},
	// Layer 1 gives the roles their tools.
	"accounting":         {"internal/daemon", "internal/identity", "internal/wire"},
	"internal/tunnel":    {"internal/bbr", "internal/identity", "internal/reach", "internal/wire"}, // reach: its tests, for a carrier
	"internal/reach":     {"internal/homelab", "internal/identity", "policy"},                      // but for identity, its tests
	"crawler/fetch":      {"crawler/link", "internal/wire", "policy"},
	"crawler/text":       {"crawler/link"},
	"crawler/trust":      {"crawler/text"},
	"crawler/proof":      {"internal/wire"},
	"crawler/rights":     {"crawler/link", "crawler/text"},
	"crawler/crawltest":  {"crawler/fetch", "internal/wire"}, // the world of the tests of the crawler and its doors
	"internal/household": {"accounting", "internal/daemon", "internal/identity", "internal/wire", "policy"},
	"internal/outside":   {"internal/wire", "policy"},
	"edge/diary":         {"internal/daemon", "policy"},
	"edge/sense":         {},
	"relay/gateway":      {"internal/splice", "internal/wire", "policy"},
	"edge/seal":          {"internal/outside", "internal/wire", "policy"},
	// Layer 2 is what people run. edge and relay meet only on the wire.
	"crawler":     {"crawler/botauth", "crawler/crawltest", "crawler/fetch", "crawler/link", "crawler/proof", "crawler/render", "crawler/rights", "crawler/text", "crawler/trust", "crawler/warc", "internal/wire", "policy"},
	"edge":        {"accounting", "crawler/fetch", "edge/diary", "edge/seal", "edge/sense", "internal/daemon", "internal/homelab", "internal/identity", "internal/outside", "internal/portmap", "internal/reach", "internal/splice", "internal/tunnel", "internal/wire", "policy"},
	"relay":       {"accounting", "internal/bbr", "internal/daemon", "internal/geo", "internal/identity", "internal/reach", "internal/splice", "internal/tunnel", "internal/wire", "policy", "relay/gateway"},
	"crawler/api": {"crawler", "crawler/text", "internal/wire", "policy", "crawler/crawltest"},
	// Layer 3 joins rooms that do not know each other.
	"edge/dashboard":     {"accounting", "edge", "edge/diary", "edge/seal", "edge/sense", "internal/daemon", "internal/identity", "internal/portmap", "internal/wire", "policy"}, // shows an edge to its owner
	"crawler/console":    {"crawler", "crawler/api"},                                                                                                                             // its test holds the description to the crawler's types
	"crawler/export":     {"crawler", "crawler/crawltest", "crawler/warc"},
	"crawler/client":     {"crawler", "crawler/api", "crawler/crawltest", "crawler/export", "crawler/warc", "internal/wire"}, // its tests call the real door
	"internal/hub":       {"crawler/fetch", "crawler/botauth", "accounting", "crawler", "crawler/api", "crawler/proof", "crawler/console", "crawler/render", "indexer", "internal/daemon", "internal/household", "internal/identity", "internal/outside", "internal/tunnel", "internal/wire", "policy", "crawler/export"},
	"internal/sandbox":   {"accounting", "crawler", "edge", "edge/dashboard", "internal/daemon", "internal/geo", "internal/hub", "internal/identity", "internal/outside", "internal/tunnel", "internal/wire", "policy", "relay"},
	"internal/bench/rig": {}, // a lab of processes: it meets the network only as its users do
	// Homes for tests: what ships never imports them.
	"internal/homelab":       {"internal/bench/rig"},
	"internal/portmap":       {"internal/homelab"},
	"internal/bench/wan":     {"internal/bench/rig"},
	"internal/bench/idle":    {"internal/bench/rig"},
	"internal/bench/clients": {"internal/bench/rig"},
	"internal/bench/peers":   {"internal/bench/rig"},
	"internal/bench/road":    {"internal/daemon", "internal/identity", "internal/sandbox"},
	"internal/bench/soak":    {"accounting", "edge", "internal/identity", "internal/sandbox", "policy"},
	"internal/bench/crawl":   {"crawler", "internal/hub", "internal/sandbox"},
	"internal/bench/scale":   {"accounting", "internal/identity", "internal/tunnel", "internal/wire", "relay"},
	// Layer 4 is wiring.
	"internal/testnet": {"docs", "accounting", "crawler", "edge", "indexer", "internal/daemon", "internal/hub", "internal/identity", "internal/sandbox", "internal/splice", "internal/tunnel", "internal/wire", "policy", "relay"},
	"cmd/sward":        {"crawler/botauth", "accounting", "crawler/link", "crawler/proof", "docs", "edge", "edge/agent", "extension", "internal/daemon", "internal/geo", "internal/hub", "internal/identity", "internal/sandbox", "internal/tunnel", "internal/wire", "policy", "relay", "crawler/warc", "crawler/client"},
	"cmd/sward-edge":   {"edge/agent", "internal/daemon"},
	"edge/install":     {},
	"edge/doctor":      {"accounting", "edge", "internal/identity", "internal/outside", "internal/tunnel", "internal/wire"},
	"edge/agent":       {"accounting", "edge", "edge/dashboard", "edge/diary", "edge/doctor", "edge/install", "internal/daemon", "internal/identity", "internal/portmap", "internal/wire", "policy"},
	"docs":             {},
	"extension":        {"accounting", "crawler/fetch", "internal/identity", "policy"}, // tests that hold the JavaScript to the network
	".":                {},
}

// stdlibOnly are the packages that import nothing but the standard library.
var stdlibOnly = []string{"internal/wire", "internal/splice"}

// edgeMustNot are modules that the home agent never links: it stays small, and has no index and no SQL server.
var edgeMustNot = []string{"github.com/blevesearch/bleve/v2", "modernc.org/sqlite", "github.com/elazarl/goproxy"}

const module = "sward"

type source struct {
	path string // of the file
	pkg  string // directory, slash-separated, "." for the root
	test bool
	file *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "bin" || name == "sandbox" && path == "sandbox") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		all = append(all, source{path: path, pkg: filepath.ToSlash(filepath.Dir(path)), test: strings.HasSuffix(path, "_test.go"), file: file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (s source) imports() []string {
	var paths []string
	for _, spec := range s.file.Imports {
		paths = append(paths, strings.Trim(spec.Path.Value, `"`))
	}
	return paths
}

func TestImportsFollowTheHouse(t *testing.T) {
	for _, s := range sources(t) {
		allowed, known := imports[s.pkg]
		if !known {
			t.Errorf("%s: package %s is not in the import table", s.path, s.pkg)
			continue
		}
		for _, path := range s.imports() {
			inside, ok := strings.CutPrefix(path, module+"/")
			if !ok {
				if slices.Contains(stdlibOnly, s.pkg) && !s.test && strings.Contains(strings.Split(path, "/")[0], ".") {
					t.Errorf("%s imports %s: %s is standard library only", s.path, path, s.pkg)
				}
				continue
			}
			if s.test && (inside == s.pkg || inside == "internal/testnet") {
				continue // an external test imports its own package, and any room may be tested in the whole network
			}
			if !slices.Contains(allowed, inside) {
				t.Errorf("%s imports %s, which the table does not allow to %s", s.path, inside, s.pkg)
			}
		}
	}
}

func TestImportTableHasNoCycleAndNoGhost(t *testing.T) {
	exists := map[string]bool{}
	for _, s := range sources(t) {
		exists[s.pkg] = true
	}
	const grey, black = 1, 2
	colour := map[string]int{}
	var visit func(pkg string, path []string)
	visit = func(pkg string, path []string) {
		switch colour[pkg] {
		case black:
			return
		case grey:
			t.Errorf("import cycle in the table: %s", strings.Join(append(path, pkg), " → "))
			return
		}
		colour[pkg] = grey
		for _, next := range imports[pkg] {
			visit(next, append(path, pkg))
		}
		colour[pkg] = black
	}
	for pkg := range imports {
		visit(pkg, nil)
		if !exists[pkg] {
			t.Errorf("the table names %s, which does not exist", pkg)
		}
	}
}

func TestEachPackageHasOnePackageComment(t *testing.T) {
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		comments[s.pkg] = append(comments[s.pkg], "")
		if s.file.Doc != nil && len(strings.TrimSpace(s.file.Doc.Text())) > 0 {
			comments[s.pkg] = append(comments[s.pkg], s.path)
		}
	}
	for pkg, files := range comments {
		files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
		sort.Strings(files)
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments %v, want exactly one", pkg, len(files), files)
		}
	}
}

func TestHomeAgentStaysSmall(t *testing.T) {
	direct := map[string][]string{} // package → what its shipped files import
	for _, s := range sources(t) {
		if !s.test {
			direct[s.pkg] = append(direct[s.pkg], s.imports()...)
		}
	}
	seen := map[string]bool{}
	var visit func(pkg, from string)
	visit = func(pkg, from string) {
		if seen[pkg] {
			return
		}
		seen[pkg] = true
		for _, path := range direct[pkg] {
			if inside, ok := strings.CutPrefix(path, module+"/"); ok {
				visit(inside, pkg)
				continue
			}
			for _, heavy := range edgeMustNot {
				if path == heavy || strings.HasPrefix(path, heavy+"/") {
					t.Errorf("sward-edge links %s through %s (imported by %s)", path, pkg, from)
				}
			}
		}
	}
	visit("cmd/sward-edge", "main")
}
