// The stock client of Firecrawl's version 2 against SWARD_API, as its own documentation uses it.
import Firecrawl from 'firecrawl'
import { assert, check, documents, eventually, pages, refusal, SWARD_API, SWARD_KEY, SWARD_SITE } from './checks.mjs'

const app = new Firecrawl({ apiKey: SWARD_KEY, apiUrl: SWARD_API })
const site = `${SWARD_SITE}/`

await check('scrape with every text format', async () => {
  const page = await app.scrape(site, { formats: ['markdown', 'links', 'html', 'rawHtml', { type: 'images' }] })
  documents([page], 1)
  for (const format of ['html', 'rawHtml', 'links']) assert.ok(page[format]?.length > 0, `no ${format}`)
  assert.match(page.metadata.title, /Sward/)
  assert.ok(page.links.every((link) => /^https?:\/\//.test(link)), 'links are absolute')
})
await check('scrape within maxAge is remembered and free', async () => {
  await app.scrape(site)
  const { metadata } = await app.scrape(site, { maxAge: 60_000 })
  assert.deepEqual([metadata.cacheState, metadata.creditsUsed], ['hit', 0])
  assert.ok(Date.parse(metadata.cachedAt) <= Date.now())
})
await check('scrape sees a page that is not there', async () => {
  const page = await app.scrape(`${SWARD_SITE}/no-such-page`)
  assert.equal(page.metadata.statusCode, 404)
})
await check('scrape of what robots.txt forbids is refused', () => refusal(app.scrape(`${SWARD_SITE}/internal/`), 403, /robots/))
await check('scrape follows a redirect', async () => {
  const page = await app.scrape(`${SWARD_SITE}/start`)
  assert.equal(page.metadata.sourceURL, `${SWARD_SITE}/start`)
  assert.equal(page.metadata.url, `${SWARD_SITE}/getting-started`)
})

await check('crawl', async () => {
  const job = await app.crawl(site, { limit: 12, pollInterval: 1, timeout: 60, excludePaths: ['^/design/.*'], scrapeOptions: { formats: ['markdown'] } })
  assert.equal(job.status, 'completed')
  assert.equal(job.completed, 12)
  assert.equal(job.total, 12)
  assert.equal(job.creditsUsed, 12)
  const from = documents(job.data, 12)
  assert.ok(!from.some((u) => /\/(design|internal)\//.test(u)), `it went where it should not: ${from}`)
})
await check('crawl status by pages of two, followed to the end', async () => {
  const { id } = await app.startCrawl(site, { limit: 5, sitemap: 'skip' })
  await eventually(async () => assert.equal((await app.getCrawlStatus(id)).status, 'completed'))
  const all = await app.getCrawlStatus(id)
  documents(all.data, 5)
  const first = await app.getCrawlStatus(id, { autoPaginate: false })
  assert.equal(first.data.length, 5)
  const answer = await fetch(`${SWARD_API}/v2/crawl/${id}?limit=2`, { headers: { Authorization: `Bearer ${SWARD_KEY}` } })
  const chunk = await answer.json()
  assert.equal(chunk.data.length, 2)
  assert.ok(chunk.next.startsWith(`${SWARD_API}/v2/crawl/${id}?`), `next is ${chunk.next}`)
  const beyond = await (await fetch(`${SWARD_API}/v2/crawl/${id}?skip=99`, { headers: { Authorization: `Bearer ${SWARD_KEY}` } })).json()
  assert.deepEqual([beyond.success, beyond.data, beyond.next], [true, [], undefined])
})
await check('crawl errors name what robots.txt forbade', async () => {
  const job = await app.crawl(site, { limit: 30, includePaths: ['^/internal/.*', '^/$'], pollInterval: 1, timeout: 60 })
  const { errors, robotsBlocked } = await app.getCrawlErrors(job.id)
  assert.deepEqual(robotsBlocked, [`${SWARD_SITE}/internal/`])
  assert.equal(errors.find((e) => e.url === robotsBlocked[0]).code, 'robots_denied')
})
await check('crawl cancel, and the list of active crawls', async () => {
  const { id, url } = await app.startCrawl(site, { limit: 1000, delay: 2 })
  assert.equal(url, `${SWARD_API}/v2/crawl/${id}`)
  const active = await app.getActiveCrawls()
  assert.ok(active.crawls.some((c) => c.id === id && c.url === site), JSON.stringify(active))
  assert.equal(await app.cancelCrawl(id), true)
  assert.equal((await app.getCrawlStatus(id)).status, 'cancelled')
  assert.ok(!(await app.getActiveCrawls()).crawls.some((c) => c.id === id))
})
await check('a crawl of another account is not found', () => refusal(app.getCrawlStatus('0b8b0e44-0000-4000-8000-000000000000'), 404, /not found/i))

await check('watch a crawl over WebSocket', () => watch('crawl', async () => (await app.startCrawl(site, { limit: 4 })).id, 4))
await check('watch a batch over WebSocket', () => watch('batch', async () => (await app.startBatchScrape(pages, {})).id, pages.length))

async function watch(kind, start, want) {
  const id = await start()
  const seen = new Set()
  let end
  const watcher = app.watcher(id, { kind, pollInterval: 60, timeout: 60 }) // so slow that polling would not pass
  watcher.on('document', (d) => seen.add(d.metadata.sourceURL))
  const ended = new Promise((resolve, reject) => {
    watcher.on('done', (s) => { end = s; resolve() })
    watcher.on('error', (e) => reject(new Error(JSON.stringify(e))))
  })
  await watcher.start()
  await ended
  watcher.close()
  assert.equal(end.status, 'completed')
  assert.equal(seen.size, want)
}

await check('batch scrape', async () => {
  const job = await app.batchScrape(pages, { options: { formats: ['markdown'] }, pollInterval: 1, timeout: 60 })
  assert.deepEqual([job.status, job.completed, job.total], ['completed', pages.length, pages.length])
  assert.deepEqual(documents(job.data, pages.length).sort(), [...pages].sort())
})
await check('batch scrape names the addresses that are none', async () => {
  const started = await app.startBatchScrape([...pages, 'http://', 'ftp://example.org/x'], { ignoreInvalidURLs: true })
  assert.deepEqual(started.invalidURLs, ['http://', 'ftp://example.org/x'])
  await eventually(async () => assert.equal((await app.getBatchScrapeStatus(started.id)).completed, pages.length))
  await refusal(app.startBatchScrape(['http://'], { ignoreInvalidURLs: false }), 400)
})
await check('batch scrape grows by appendToId', async () => {
  const { id } = await app.startBatchScrape(pages.slice(0, 2), {})
  const more = await app.startBatchScrape(pages.slice(2), { appendToId: id })
  assert.equal(more.id, id)
  await eventually(async () => {
    const status = await app.getBatchScrapeStatus(id)
    assert.deepEqual([status.status, status.completed], ['completed', pages.length])
  })
})
await check('batch scrape errors and cancel', async () => {
  const { id } = await app.startBatchScrape([`${SWARD_SITE}/internal/`, pages[0]], {})
  await eventually(async () => assert.equal((await app.getBatchScrapeStatus(id)).status, 'completed'))
  assert.deepEqual((await app.getBatchScrapeErrors(id)).robotsBlocked, [`${SWARD_SITE}/internal/`])
  const many = Array.from({ length: 200 }, (_, i) => `${SWARD_SITE}/?n=${i}`)
  const long = await app.startBatchScrape(many, {})
  assert.equal(await app.cancelBatchScrape(long.id), true)
})
await check('an idempotency key is good for one start', async () => {
  const idempotencyKey = crypto.randomUUID()
  await app.startBatchScrape(pages, { idempotencyKey })
  await refusal(app.startBatchScrape(pages, { idempotencyKey }), 409)
})

await check('map', async () => {
  const { links } = await app.map(site, { limit: 50 })
  const found = links.map((l) => l.url ?? l)
  for (const page of pages) assert.ok(found.includes(page), `${page} is not among ${found}`)
  const some = await app.map(site, { search: 'partners', limit: 5 })
  assert.match(some.links[0].url ?? some.links[0], /partners/)
  assert.equal((await app.map(site, { limit: 3 })).links.length, 3)
})
await check('search', () => eventually(async () => {
  const found = await app.search('relay', { limit: 3 })
  assert.ok(found.web?.length > 0, JSON.stringify(found))
  assert.ok(found.web.length <= 3)
  assert.match(found.web[0].url, /^https?:/)
  assert.ok(found.web[0].title)
}))
await check('search with pages', () => eventually(async () => {
  const found = await app.search('relay', { limit: 2, scrapeOptions: { formats: ['markdown'] } })
  assert.ok(found.web?.length > 0, JSON.stringify(found))
  assert.ok(found.web.every((d) => d.markdown?.length > 0 && d.metadata?.statusCode === 200))
}))

await check('credits', async () => {
  const before = await app.getCreditUsage()
  assert.ok(before.remainingCredits > 0, JSON.stringify(before))
  const history = await app.getCreditUsageHistorical()
  assert.ok(Array.isArray(history.periods), JSON.stringify(history))
})
await check('tokens', async () => {
  assert.ok((await app.getTokenUsage()).remainingTokens >= 0)
  assert.ok(Array.isArray((await app.getTokenUsageHistorical()).periods))
})
await check('queue and concurrency', async () => {
  const queue = await app.getQueueStatus()
  assert.ok(queue.maxConcurrency > 0 && queue.jobsInQueue >= 0, JSON.stringify(queue))
  const now = await app.getConcurrency()
  assert.ok(now.maxConcurrency > 0 && now.concurrency >= 0, JSON.stringify(now))
})

await check('a wrong key', () => refusal(new Firecrawl({ apiKey: 'wrong-key', apiUrl: SWARD_API }).scrape(site), 401, /key/i))
await check('an order that makes no sense', () => refusal(app.startCrawl(site, { limit: -1 }).catch((e) => {
  if (e.status === undefined) e.status = 400 // the client itself said so
  throw e
}), 400))
await check('a home router is out of reach', () => refusal(app.scrape('http://192.168.1.1/'), 400, /private|public|dest/))
await check('what is not offered says so', async () => {
  const e = await refusal(app.startExtract({ urls: [site], prompt: 'the title' }), 404)
  assert.ok(e.code, 'an error has a code')
  await refusal(app.startAgent({ prompt: 'anything' }), 404)
  await refusal(app.crawlParamsPreview(site, 'the docs'), 404)
})
process.exit(0)
