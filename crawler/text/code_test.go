package text

import (
	"strings"
	"testing"
)

func TestMarkdownKeepsTheFormOfThePage(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"code of HTML's own", "<pre><code class='language-go hljs'>func main() {\n\tx()\n}</code></pre>", "```go\nfunc main() {\n\tx()\n}\n```"},
		{"code of Sphinx", `<div class="highlight-python3 notranslate"><div class="highlight"><pre><span></span><span class="kn">import</span> os` + "\n</pre></div></div>", "```python3\nimport os\n```"},
		{"code of GitHub", `<div class="highlight highlight-source-shell"><pre>ls</pre></div>`, "```shell\nls\n```"},
		{"code by an attribute", `<pre data-lang="c++">int x;</pre>`, "```c++\nint x;\n```"},
		{"code of no language", `<div class="highlight-default"><pre>x</pre></div>`, "```\nx\n```"},
		{"a language that is none", "<pre class='language-x\"><script>'>x</pre>", "```\nx\n```"},
		{"code with line numbers", `<table class=highlighttable><tr><td class=linenos><pre>1` + "\n" + `2</pre></td><td class=code><pre>a` + "\n" + `b</pre></td></tr></table>`, "```\na\nb\n```"},
		{"heading with its own link", `<h2>Title<a class=headerlink href="#t" title="Permalink">¶</a></h2>`, "## Title"},
		{"table", "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>x|y</td></tr></table>", "| a | b |\n|---|---|\n| 1 | x\\|y |"},
		{"table without header", "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>", "| a | b |\n|---|---|\n| 1 | 2 |"},
		{"table with lines in cells", "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2<br>3</td></tr></table>", "| a | b |\n|---|---|\n| 1 | 2  <br />3 |"},
		{"table that arranges", "<table><tr><td><h2>Left</h2></td><td><p>right</p></td></tr></table>", "## Left\n\nright"},
		{"data inside a table that arranges", "<table><tr><td><h2>Left</h2><table><tr><td>1</td><td>2</td></tr></table></td></tr></table>", "## Left\n\n| 1 | 2 |\n|---|---|"},
		{"lists", "<ol start=3><li>three<ul><li>in it</li></ul></li><li>four</li></ol>", "3. three\n\n   - in it\n4. four"},
		{"image", "<p><img src=/i.png alt='a *pic*'></p>", `[a \*pic\*](<https://site.example/i.png>)`},
	} {
		x := extractHTML(t, c.source, Options{})
		checkHarmless(t, x)
		var lines []string
		for line := range strings.Lines(x.Markdown) {
			lines = append(lines, strings.TrimRight(line, " \n"))
		}
		if got := strings.Join(lines, "\n"); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
