// One job: where it stands, how fast it goes, what failed and why, its pages, and the way out of here as a file.
import * as api from '/console/api.js'
import { Preview } from '/console/preview.js'
import { Rate, spark } from '/console/rate.js'
import { bar, count, lasted, make, show } from '/console/view.js'

const chunk = 25 // pages in the list at once
const named = 10 // addresses shown of one cause

export class JobView {
  busy = true
  skip = 0
  rate = new Rate()
  shown = ''  // what list stands there: it is read again only when it has grown or was turned
  rows = 0    // in it
  seen = ''   // how many pages the job had when it was read

  constructor(id, tell) {
    this.id = id
    this.tell = tell
    this.head = make('section', { class: 'card' })
    this.causes = make('div')
    this.pages = make('div')
    this.preview = new Preview()
    this.format = make('select', { 'aria-label': 'file format' },
      ...[['jsonl', 'JSON lines'], ['warc', 'WARC'], ['parquet', 'Parquet']].map(([value, text]) => make('option', { value }, text)))
    this.export = make('button', { class: 'main', onclick: () => this.save() }, 'Export')
    this.stop = make('button', { onclick: () => api.cancel(this.id).catch((e) => this.tell(e.message)) }, 'Cancel')
    this.title = make('h2')
    this.figures = make('div')
    this.head.append(make('div', { class: 'top' }, this.title, make('div', { class: 'acts' }, this.stop, this.format, this.export)), this.figures)
    this.root = make('div', {}, this.head, make('div', { class: 'split' },
      make('div', {}, make('section', { class: 'card' }, make('h2', {}, 'Pages'), this.pages),
        make('section', { class: 'card' }, make('h2', {}, 'What failed'), this.causes)),
      make('section', { class: 'card' }, this.preview.root)))
  }

  async save() {
    this.export.disabled = true
    this.export.textContent = 'Exporting …'
    try {
      await api.save(this.id, this.format.value)
      this.tell()
    } catch (e) {
      this.tell(`The export failed: ${e.message}`)
    }
    this.export.disabled = false
    this.export.textContent = 'Export'
  }

  async refresh(signal) {
    const want = `${this.skip}`
    const full = this.shown !== want || this.rows < chunk && this.stand !== this.seen
    const s = await api.job(this.id, this.skip, full ? chunk : 1, signal)
    this.url ??= (await api.jobs(signal)).find((j) => j.id === this.id)?.url ?? this.id // an old one is known by its name
    this.busy = s.status === 'scraping'
    if (this.busy) this.rate.note(s.completed)
    this.showHead(s)
    this.stand = `${s.completed} ${s.status}`
    if (full) {
      this.seen = this.stand
      this.showPages(s)
    }
    this.showTurn(s)
    this.shown = want
    if (s.failed !== this.failed) this.showCauses(await api.errors(this.id, signal)) // up to 3 MiB
    this.failed = s.failed
  }

  showHead(s) {
    show(this.title, this.url, ' ', make('span', { class: `state ${s.status}` }, s.status))
    this.stop.hidden = !this.busy
    const speed = this.busy ? this.rate.now() : s.completed * 1000 / Math.max(1000, new Date(s.completedAt) - new Date(s.createdAt))
    const figure = (value, name) => make('div', {}, make('b', {}, value), make('span', {}, name))
    show(this.figures,
      bar(s.completed, this.busy ? s.total : Math.max(1, s.completed), 'progress'),
      make('div', { class: 'figures' },
        figure(count(s.completed), `of ${count(s.total)} pages`),
        figure(speed.toFixed(1), this.busy ? 'pages/s now' : 'pages/s on average'),
        figure(count(s.failed), 'failed, at no cost'),
        figure(count(s.creditsUsed), 'credits spent'),
        figure(lasted(s.createdAt, s.completedAt ?? Date.now()), this.busy ? 'so far' : 'in all')),
      this.busy && spark(this.rate.curve()),
      s.waiting && make('p', { class: 'soft' }, `It waits: ${s.waiting}`),
      s.error && make('p', { role: 'alert' }, s.error))
  }

  showPages(s) {
    this.rows = s.data.length
    if (s.data.length === 0) return show(this.pages, make('p', { class: 'empty' }, this.busy ? 'None yet.' : 'None.'))
    const list = make('ul', { class: 'pages' }, ...s.data.map((d) => make('li', {}, this.pageButton(d))))
    const at = this.pages.querySelector('.pages')?.scrollTop ?? 0
    this.pages.replaceChildren(list, make('div', { class: 'turn' }))
    list.scrollTop = at
    if (!this.preview.page) this.open(s.data[0], list.querySelector('button'))
  }

  // showTurn keeps the way on open: a job has more pages than when the list was read.
  showTurn(s) {
    const place = this.pages.querySelector('.turn')
    if (!place) return
    show(place,
      make('button', { class: 'plain', disabled: this.skip === 0, onclick: () => this.turn(-chunk) }, '← Before'),
      make('span', { class: 'soft' }, `${count(this.skip + 1)}–${count(this.skip + this.rows)} of ${count(s.completed)}`),
      make('button', { class: 'plain', disabled: this.skip + this.rows >= s.completed, onclick: () => this.turn(this.rows) }, 'After →'))
  }

  pageButton(d) {
    const m = d.metadata
    const button = make('button', { onclick: () => this.open(d, button), 'aria-current': this.preview.page?.metadata.scrapeId === m.scrapeId },
      make('b', {}, m.title || m.url), make('span', {}, m.url))
    return button
  }

  open(d, button) {
    for (const b of this.pages.querySelectorAll('[aria-current]')) b.setAttribute('aria-current', 'false')
    button.setAttribute('aria-current', 'true')
    this.preview.open(d)
  }

  turn(by) {
    this.skip = Math.max(0, this.skip + by)
    this.refresh().catch((e) => this.tell(e.message))
  }

  showCauses(failed) {
    const causes = Map.groupBy ? Map.groupBy(failed, (e) => e.code) : failed.reduce((m, e) => m.set(e.code, [...(m.get(e.code) ?? []), e]), new Map())
    if (causes.size === 0) return show(this.causes, make('p', { class: 'empty' }, 'Nothing.'))
    const open = new Set([...this.causes.querySelectorAll('details[open]')].map((d) => d.dataset.code))
    show(this.causes, make('ul', { class: 'causes' }, ...[...causes].sort((a, b) => b[1].length - a[1].length).map(([code, list]) => make('li', {},
      make('div', { class: 'cause' }, make('b', {}, code), make('span', {}, count(list.length))),
      bar(list.length, failed.length, `share of ${code}`),
      make('details', { 'data-code': code, open: open.has(code) }, make('summary', {}, `${owners[list[0].owner] ?? list[0].owner}: ${list[0].error}`),
        ...list.slice(0, named).map((e) => make('div', {}, e.url)),
        list.length > named && make('div', { class: 'soft' }, `and ${count(list.length - named)} more`))))))
  }
}

const owners = { target: 'the site', policy: 'a rule', client: 'the order', edge: 'an edge', relay: 'a relay', hub: 'the hub' }
