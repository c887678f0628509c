// A page as it was delivered. It is a stranger's text, and is shown as text: never as HTML, and no address in it is fetched.
import { make } from '/console/view.js'

const longest = 400_000 // characters shown: more makes the browser slow, and the export has them all

export class Preview {
  page = undefined
  tab = 'Markdown'

  constructor() {
    this.root = make('div', {}, make('p', { class: 'empty' }, 'Choose a page to see it.'))
  }

  open(page) {
    this.page = page
    this.show()
  }

  // tabs are the renderings that the page has.
  tabs() {
    const p = this.page
    return Object.entries({
      Markdown: p.markdown, HTML: p.html, Raw: p.rawHtml, Links: p.links?.join('\n'), Images: p.images?.join('\n'), Screenshot: p.screenshot, Metadata: p.metadata,
    }).filter(([, content]) => content !== undefined)
  }

  show() {
    const tabs = this.tabs()
    const [name, content] = tabs.find(([name]) => name === this.tab) ?? tabs[0]
    const select = (chosen) => () => {
      this.tab = chosen
      this.show()
    }
    this.root.replaceChildren(
      make('div', { class: 'tabs', role: 'tablist' }, ...tabs.map(([t]) => make('button', { role: 'tab', 'aria-selected': `${t === name}`, onclick: select(t) }, t))),
      name === 'Metadata' ? make('div', { class: 'paper' }, metadata(content))
        : name === 'Screenshot' && /^data:image\/(png|jpeg);base64,/.test(content) ? make('div', { class: 'paper' }, make('img', { src: content, alt: 'the page as a browser shows it' }))
          : make('pre', { class: 'paper', tabindex: 0 }, content.length > longest ? `${content.slice(0, longest)}\n…` : content))
  }
}

// metadata lists names and values, and nested ones under their name.
function metadata(of) {
  const list = make('dl', { class: 'meta' })
  const add = (name, value) => list.append(make('dt', {}, name), make('dd', {}, typeof value === 'string' ? value : JSON.stringify(value, null, 1)))
  const parts = []
  for (const [name, value] of Object.entries(of)) {
    if (value && typeof value === 'object' && !Array.isArray(value)) parts.push([name, value])
    else add(name, value)
  }
  for (const [name, part] of parts) {
    list.append(make('dt', { class: 'part' }, name))
    for (const [inner, value] of Object.entries(part)) add(inner, value)
  }
  return list
}
