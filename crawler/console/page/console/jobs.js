// The list of an account's jobs, and the form that starts one.
import * as api from '/console/api.js'
import { Rate } from '/console/rate.js'
import { ago, bar, count, make, show } from '/console/view.js'

const kinds = { crawl: 'crawl', scrape: 'page', batch_scrape: 'list', map: 'map' }

export class JobsView {
  busy = true
  rates = new Map() // by job

  constructor(tell) {
    this.tell = tell
    this.list = make('ul', { class: 'jobs' })
    this.root = make('div', {}, this.form(), make('section', { class: 'card' }, make('h2', {}, 'Jobs'), this.list))
  }

  form() {
    const url = make('input', { name: 'url', required: true, placeholder: 'https://shop.example/', autocomplete: 'off', inputmode: 'url' })
    const limit = make('input', { name: 'limit', type: 'number', min: 1, max: 100_000, value: 100 })
    return make('section', { class: 'card' }, make('form', {
      class: 'line',
      onsubmit: async (e) => {
        e.preventDefault()
        try {
          const { id } = await api.crawl({ url: url.value.trim(), limit: Number(limit.value), scrapeOptions: { formats: ['markdown', 'rawHtml'] } })
          location.hash = `#/job/${id}`
        } catch (refused) {
          this.tell(refused.message)
        }
      },
    }, make('label', { class: 'wide' }, 'Crawl a site', url), make('label', {}, 'Pages at most', limit), make('button', { class: 'main' }, 'Start')))
  }

  async refresh(signal) {
    const jobs = await api.jobs(signal)
    this.busy = jobs.some((j) => j.status === 'scraping')
    show(this.list, ...jobs.map((j) => this.row(j)))
    if (jobs.length === 0) show(this.list, make('li', { class: 'empty' }, 'No jobs yet. Start one above, or with the API.'))
  }

  row(j) {
    if (!this.rates.has(j.id)) this.rates.set(j.id, new Rate())
    const rate = this.rates.get(j.id)
    if (j.status === 'scraping') rate.note(j.completed)
    const speed = j.status === 'scraping' ? `${rate.now().toFixed(1)} pages/s` : ago(j.completedAt ?? j.createdAt)
    return make('li', {}, make('a', { class: 'job', href: `#/job/${j.id}` },
      make('div', {}, make('div', { class: 'where' }, j.url), make('div', { class: 'small' }, `${kinds[j.kind] ?? j.kind} · ${j.id.slice(0, 8)}`)),
      make('div', { class: 'bar' }, bar(j.completed, j.status === 'scraping' ? j.total : Math.max(1, j.completed), 'progress'),
        make('div', { class: 'small' }, `${count(j.completed)} of ${count(j.total)} pages${j.failed ? `, ${count(j.failed)} failed` : ''}`)),
      make('div', { class: 'small right' }, speed),
      make('div', { class: `state right ${j.status}` }, j.status)))
  }
}
