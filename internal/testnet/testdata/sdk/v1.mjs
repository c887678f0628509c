// Clients of Firecrawl's version 1 against SWARD_API: the last of its own line (@mendable/firecrawl-js 1.29.3), and the frozen
// copy that version 4 carries as .v1. They differ in names only.
import { assert, check, documents, eventually, pages, refusal, SWARD_API, SWARD_KEY, SWARD_SITE } from './checks.mjs'

globalThis.WebSocket ??= (await import('undici')).WebSocket // Node before 22 has none, and these clients ask for the global one
const frozen = process.argv[2] === 'frozen'
const { default: Firecrawl } = await import(frozen ? 'firecrawl' : '@mendable/firecrawl-js')
const client = (apiKey) => {
  const made = new Firecrawl({ apiKey, apiUrl: SWARD_API })
  return frozen ? made.v1 : made
}
const app = client(SWARD_KEY)
const site = `${SWARD_SITE}/`

await check('scrapeUrl', async () => {
  const page = await app.scrapeUrl(site, { formats: ['markdown', 'html', 'rawHtml', 'links'] })
  assert.equal(page.success, true)
  documents([page], 1)
  for (const format of ['html', 'rawHtml', 'links']) assert.ok(page[format]?.length > 0, `no ${format}`)
})
await check('crawlUrl', async () => {
  const job = await app.crawlUrl(site, { limit: 5, excludePaths: ['^/design/.*'], scrapeOptions: { formats: ['markdown'] } }, 1)
  assert.deepEqual([job.success, job.status, job.completed, job.total], [true, 'completed', 5, 5])
  documents(job.data, 5)
})
await check('crawlUrl within maxDepth, without the sitemap', async () => {
  const job = await app.crawlUrl(`${SWARD_SITE}/getting-started`, { limit: 50, maxDepth: 0, ignoreSitemap: true }, 1)
  assert.equal(job.status, 'completed')
})
await check('asyncCrawlUrl and checkCrawlStatus', async () => {
  const started = await app.asyncCrawlUrl(site, { limit: 3 })
  assert.equal(started.success, true)
  assert.equal(started.url, `${SWARD_API}/v1/crawl/${started.id}`)
  const status = await eventually(async () => {
    const s = await app.checkCrawlStatus(started.id, true)
    assert.equal(s.status, 'completed')
    return s
  })
  documents(status.data, 3)
  assert.ok(status.expiresAt > new Date())
})
await check('checkCrawlErrors answers and does not cancel', async () => {
  const { id } = await app.asyncCrawlUrl(site, { limit: 6 })
  const answer = await app.checkCrawlErrors(id) // sent as DELETE by 1.29.3
  assert.ok(Array.isArray(answer.errors) && Array.isArray(answer.robotsBlocked), JSON.stringify(answer))
  const end = await eventually(async () => {
    const s = await app.checkCrawlStatus(id)
    assert.notEqual(s.status, 'scraping')
    return s
  })
  assert.equal(end.status, 'completed')
})
await check('cancelCrawl', async () => {
  const { id } = await app.asyncCrawlUrl(site, { limit: 1000, delay: 2 })
  assert.equal((await app.cancelCrawl(id)).status, 'cancelled')
})
await check('batchScrapeUrls', async () => { // polls /v1/crawl/{id}
  const job = await app.batchScrapeUrls(pages, { formats: ['markdown'] }, 1)
  assert.deepEqual([job.status, job.completed], ['completed', pages.length])
  assert.deepEqual(documents(job.data, pages.length).sort(), [...pages].sort())
})
await check('asyncBatchScrapeUrls, checkBatchScrapeStatus and its errors', async () => {
  const { id } = await app.asyncBatchScrapeUrls(pages, { formats: ['markdown'] })
  const status = await eventually(async () => {
    const s = await app.checkBatchScrapeStatus(id, true)
    assert.equal(s.status, 'completed')
    return s
  })
  documents(status.data, pages.length)
  assert.deepEqual((await app.checkBatchScrapeErrors(id)).errors, [])
})
await check('an idempotency key is good for one start', async () => {
  const key = crypto.randomUUID()
  await app.asyncCrawlUrl(site, { limit: 1 }, key)
  await refusal(app.asyncCrawlUrl(site, { limit: 1 }, key), 409)
})
await check('mapUrl', async () => {
  const answer = await app.mapUrl(site, { limit: 50 })
  assert.equal(answer.success, true)
  for (const page of pages) assert.ok(answer.links.includes(page), `${page} is not among ${answer.links}`)
})
await check('search', () => eventually(async () => {
  const found = await app.search('relay', { limit: 3 })
  assert.equal(found.success, true)
  assert.ok(Array.isArray(found.data) && found.data.length > 0 && found.data.length <= 3, JSON.stringify(found))
  assert.ok(found.data[0].url && found.data[0].title)
}))
for (const [name, watch, want] of [
  ['crawlUrlAndWatch', () => app.crawlUrlAndWatch(site, { limit: 4 }), 4],
  ['batchScrapeUrlsAndWatch', () => app.batchScrapeUrlsAndWatch(pages, { formats: ['markdown'] }), pages.length],
]) {
  await check(name, async () => {
    const watcher = await watch()
    const seen = new Set()
    await new Promise((resolve, reject) => {
      watcher.addEventListener('document', (e) => seen.add(e.detail.metadata.sourceURL))
      watcher.addEventListener('done', resolve)
      watcher.addEventListener('error', (e) => reject(new Error(JSON.stringify(e.detail))))
    })
    watcher.close()
    assert.equal(seen.size, want)
  })
}
await check('a wrong key', () => refusal(client('wrong-key').scrapeUrl(site, { formats: ['markdown'] }), 401))
process.exit(0)
