// Runs the stock Firecrawl SDK against SWARD_API: scrape one page, crawl a site. Prints one JSON line.
import Firecrawl from 'firecrawl'

const { SWARD_API, SWARD_KEY, SWARD_SITE } = process.env
const app = new Firecrawl({ apiKey: SWARD_KEY, apiUrl: SWARD_API })

const page = await app.scrape(`${SWARD_SITE}/`, { formats: ['markdown', 'links', 'html', 'rawHtml'] })
const job = await app.crawl(`${SWARD_SITE}/`, {
  limit: 100, pollInterval: 1, timeout: 120, excludePaths: ['^/design/.*'], scrapeOptions: { formats: ['markdown'] },
})
const started = await app.startCrawl(`${SWARD_SITE}/`, { limit: 3 })
const status = await app.getCrawlStatus(started.id)
const cancelled = await app.cancelCrawl(started.id).catch((e) => `refused: ${e.message}`)

let refused = ''
try {
  await new Firecrawl({ apiKey: 'wrong-key', apiUrl: SWARD_API }).scrape(`${SWARD_SITE}/`)
} catch (e) {
  refused = `${e.status ?? e.statusCode}`
}

console.log(JSON.stringify({
  title: page.metadata?.title, statusCode: page.metadata?.statusCode, markdown: page.markdown?.length ?? 0,
  html: page.html?.length ?? 0, rawHtml: page.rawHtml?.length ?? 0, links: page.links?.length ?? 0,
  provenance: !!page.metadata?.provenance,
  status: job.status, completed: job.completed, total: job.total,
  urls: job.data.map((d) => d.metadata.sourceURL).sort(), empty: job.data.filter((d) => !d.markdown).length,
  started: status.status, cancelled: String(cancelled), refused,
}))
