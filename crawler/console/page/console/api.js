// The API as this page calls it: with the key of this tab, which sessionStorage forgets when the tab is closed.

const place = 'sward-key'

export const key = {
  get: () => sessionStorage.getItem(place),
  set: (value) => sessionStorage.setItem(place, value),
  forget: () => sessionStorage.removeItem(place),
}

// Refused is an answer that is not a success, in the API's own words.
export class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

export async function request(method, path, body, signal) {
  const answer = await fetch(path, {
    method, signal, cache: 'no-store', credentials: 'omit', redirect: 'error',
    headers: { Authorization: `Bearer ${key.get()}`, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
  })
  if (answer.ok) return answer
  const told = await answer.json().catch(() => ({}))
  throw new Refused(answer.status, told.error?.message ?? told.error ?? `The API answered ${answer.status}.`)
}

const json = async (...args) => (await request(...args)).json()

export const jobs = async (signal) => (await json('GET', '/v2/jobs?limit=50', undefined, signal)).data
export const job = (id, skip, limit, signal) => json('GET', `/v2/crawl/${encodeURIComponent(id)}?skip=${skip}&limit=${limit}`, undefined, signal)
export const errors = async (id, signal) => (await json('GET', `/v2/crawl/${encodeURIComponent(id)}/errors`, undefined, signal)).errors
export const cancel = (id) => json('DELETE', `/v2/crawl/${encodeURIComponent(id)}`)
export const crawl = (order) => json('POST', '/v2/crawl', order)
export const credits = async (signal) => (await json('GET', '/v2/team/credit-usage', undefined, signal)).data.remainingCredits

// save stores a job as a file. Where the browser lets a page write to a file, the bytes go there as they come; elsewhere they
// are collected first.
export async function save(id, format) {
  const name = `sward-${id}.${{ jsonl: 'jsonl', warc: 'warc.gz', parquet: 'parquet' }[format]}`
  const path = `/v2/crawl/${encodeURIComponent(id)}/export?format=${format}`
  if (window.showSaveFilePicker && !navigator.webdriver) {
    let file
    try {
      file = await window.showSaveFilePicker({ suggestedName: name })
    } catch {
      return // the dialog was closed
    }
    const answer = await request('GET', path)
    await answer.body.pipeTo(await file.createWritable())
    return
  }
  const address = URL.createObjectURL(await (await request('GET', path)).blob())
  const link = document.createElement('a')
  link.href = address
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000) // ms: the browser has begun by then
}
