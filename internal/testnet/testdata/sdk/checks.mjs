// What the scripts beside this one share: a check is a name and a function that throws. Each prints one JSON line.
import assert from 'node:assert/strict'

export { assert }
export const { SWARD_API, SWARD_KEY, SWARD_SITE } = process.env
export const pages = ['/', '/getting-started', '/partners'].map((path) => SWARD_SITE + path)

const longest = 60_000 // ms for one check: the slowest crawls 12 pages

export async function check(name, run) {
  const started = performance.now()
  let error, timer
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done after ${longest} ms`)), longest) })
    await Promise.race([run(), late])
  } catch (e) {
    error = `${e?.message ?? e}`.slice(0, 600)
  }
  clearTimeout(timer)
  console.log(JSON.stringify({ name, error, ms: Math.round(performance.now() - started) }))
}

// eventually repeats what an index or a queue has to catch up with.
export async function eventually(run) {
  for (let tries = 40; ; tries--) {
    try {
      return await run()
    } catch (e) {
      if (tries === 0 || [404, 501].includes(e.status ?? e.statusCode)) throw e
      await new Promise((resolve) => setTimeout(resolve, 250))
    }
  }
}

// documents holds a list of them to what every client relies on.
export function documents(list, least, format = 'markdown') {
  assert.ok(list.length >= least, `${list.length} documents, want at least ${least}`)
  const from = list.map((d) => d.metadata?.sourceURL)
  assert.deepEqual([...new Set(from)].sort(), [...from].sort(), 'a page was delivered twice')
  for (const d of list) {
    assert.ok(d[format]?.length > 0, `${d.metadata?.sourceURL} has no ${format}`)
    assert.equal(d.metadata.statusCode, 200)
    assert.ok(d.metadata.provenance?.sha256, `${d.metadata.sourceURL} has no provenance`)
  }
  return from
}

// refusal holds an error to the shape that clients turn into their own.
export async function refusal(promise, status, says = /./) {
  const e = await promise.then(() => assert.fail(`was not refused, want ${status}`), (e) => e)
  assert.equal(e.status ?? e.statusCode, status, e.message)
  assert.match(e.message, says)
  return e
}
