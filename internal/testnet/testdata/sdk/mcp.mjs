// The stock firecrawl-mcp server, driven over stdio by the protocol's own client, as an assistant would.
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { assert, check, eventually, pages, SWARD_API, SWARD_KEY, SWARD_SITE } from './checks.mjs'

const client = new Client({ name: 'sward-test', version: '1' })
await client.connect(new StdioClientTransport({
  command: process.execPath, args: ['node_modules/firecrawl-mcp/dist/index.js'], stderr: 'ignore',
  env: { PATH: process.env.PATH, FIRECRAWL_API_URL: SWARD_API, FIRECRAWL_API_KEY: SWARD_KEY },
}))
const call = async (name, args) => {
  const result = await client.callTool({ name, arguments: args }, undefined, { timeout: 60_000 })
  const text = result.content.map((c) => c.text ?? '').join('\n')
  assert.ok(!result.isError, text.slice(0, 600))
  return text
}
const site = `${SWARD_SITE}/`

await check('firecrawl_scrape', async () => assert.match(await call('firecrawl_scrape', { url: site, formats: ['markdown'] }), /Sward/))
await check('firecrawl_map', async () => {
  const text = await call('firecrawl_map', { url: site })
  for (const page of pages) assert.ok(text.includes(page), `${page} is not in ${text.slice(0, 300)}`)
})
await check('firecrawl_crawl and firecrawl_check_crawl_status', async () => {
  const text = await call('firecrawl_crawl', { url: site, limit: 3, scrapeOptions: { formats: ['markdown'] } })
  const { id, status, completed } = JSON.parse(text)
  assert.deepEqual([status, completed], ['completed', 3])
  assert.match(await call('firecrawl_check_crawl_status', { id }), /completed/)
})
await check('firecrawl_search', () => eventually(async () => assert.match(await call('firecrawl_search', { query: 'relay', limit: 3 }), new RegExp(SWARD_SITE))))
await check('firecrawl_credit_usage', async () => assert.match(await call('firecrawl_credit_usage', {}), /remainingCredits/))
await check('what is not offered says so', async () => {
  const result = await client.callTool({ name: 'firecrawl_extract', arguments: { urls: [site], prompt: 'title' } })
  assert.ok(result.isError)
  assert.doesNotMatch(result.content[0].text, /undefined|timeout/i)
})
await client.close()
process.exit(0)
