package dashboard

import (
	"os"
	"strings"

	"github.com/chromedp/chromedp"
)

// wrongs is a script that returns what keeps a person from using the page that is open: text with less contrast than
// 4.5:1, or 3:1 where it is large (WCAG 2.2, 1.4.3), fields and buttons without a name (4.1.2), targets smaller than 24
// pixels (2.5.8), a page wider than its window (1.4.10), and one without its landmarks and heading.
const wrongs = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => { const l = c.slice(0, 3).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return rgba('Canvas'); };
  const shown = (e) => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && e.getBoundingClientRect().width > 1;
  const bad = [];
  const say = (what, e) => bad.push(what + ': ' + (e.textContent.trim() || e.outerHTML).slice(0, 60));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(e) || e.closest('svg, progress, option, script, noscript, :disabled')) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const a = light(rgba(style.color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) say('contrast ' + ratio.toFixed(2), e);
  }
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea')) {
    if (!e.labels.length && !e.ariaLabel) say('no label', e);
  }
  for (const e of document.querySelectorAll('button, a[href], summary')) {
    if (!e.ariaLabel && !e.textContent.trim()) say('no name', e);
    const box = e.getBoundingClientRect();
    if (shown(e) && getComputedStyle(e).display !== 'inline' && !e.matches('.skip') && box.height < 24) say('too small to press', e);
  }
  if (document.documentElement.scrollWidth > innerWidth) bad.push('the page is ' + document.documentElement.scrollWidth + ' wide in a window of ' + innerWidth);
  for (const mark of ['main', 'header', 'nav', 'footer', 'html[lang]']) if (!document.querySelector(mark)) bad.push('no ' + mark);
  if (document.querySelectorAll('h1').length !== 1) bad.push(document.querySelectorAll('h1').length + ' first headings');
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push('twice the id ' + id);
  return bad;
})()`

// access reports what is wrong with the open page for people who see it badly, or not, or have no mouse. With the path of
// axe-core in SWARD_AXE (npm i axe-core; MPL-2.0) its rules are asked as well.
func (b *browser) access(name string, where ...look) {
	b.Helper()
	axe := ""
	if path := os.Getenv("SWARD_AXE"); path != "" {
		script, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		axe = string(script)
	}
	for _, l := range where {
		b.look(l)
		for _, wrong := range evaluate[[]string](b, wrongs) {
			b.Errorf("%s, %s: %s", name, l.name, wrong)
		}
		if axe == "" {
			continue
		}
		evaluate[int](b, axe+";0")
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`axe.run().then((r) => r.violations.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.map((n) => n.target + ' ' + n.html).join(' | ').slice(0, 400)))`, chromedp.EvalAwaitPromise))
		if err != nil {
			b.Fatal(err)
		}
		for _, violation := range found {
			b.Errorf("%s, %s, axe: %s", name, l.name, strings.TrimSpace(violation))
		}
	}
}
