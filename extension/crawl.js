// One batch of pages: fetched one after another, without the owner's cookies, within robots.txt and the owner's caps,
// and handed on as frames with a signed attestation each (PROTOCOL.md §6).

import { sha256, utf8 } from './bytes.js';
import * as robots from './robots.js';
import { checkURL } from './target.js';
import { WireError, codes, encode, frame, maxHead } from './wire.js';
import { pieces } from './zstd.js';

const maxBody = 4 << 20; // bytes of one page that this node fetches at most
const headRoom = 32 << 10; // bytes leased beside the body, for heads and frames
const robotsSize = 500 << 10; // bytes of a robots.txt that are read
const robotsLife = 3600_000; // ms
const maxSites = 64; // whose robots.txt are remembered
const maxDelay = 30_000; // ms between two requests: a site that wants more is left out of this batch by its deadline
const pageWait = 30_000; // ms for one answer
const flags = { decoded: 2, time: 4 };

/** Crawler fetches batches. Its world: fetch, caps (Caps), now in ms, wait(ms, signal). */
export class Crawler {
  #world;
  #sites = new Map(); // origin → { robots, code, until }

  constructor(world) {
    this.#world = { fetch: globalThis.fetch.bind(globalThis), now: Date.now, wait, ...world };
  }

  /** run serves one batch. send takes whole frames in order; attest signs a body; channel is the account's id. */
  async run(batch, { send, attest, channel, signal }) {
    const end = this.#world.now() + batch.deadline;
    const batchSignal = AbortSignal.any([signal, AbortSignal.timeout(Math.min(batch.deadline, 2 ** 31 - 1))]);
    let fetched = 0;
    let pause = 0;
    for (const [index, asked] of batch.urls.entries()) {
      if (pause > 0 && this.#world.now() + pause < end) await this.#world.wait(pause, signal);
      const started = this.#world.now();
      const got = await this.#page(asked, batch, batchSignal).catch((err) => failed(err, signal));
      const page = {
        index, code: codes[got.code], status: got.status ?? 0, flags: got.flags ?? 0, started: BigInt(started), took: this.#world.now() - started,
        url: asked, hops: [], rule: got.rule ?? '', retryAfter: got.retryAfter ?? 0, crawlDelay: Math.round((got.delay ?? 0) * 1000),
        address: new Uint8Array(16), request: new Uint8Array(0), response: got.head ?? new Uint8Array(0), attest: new Uint8Array(0), sig: new Uint8Array(64),
      };
      const body = got.body ?? new Uint8Array(0);
      if (page.status) {
        page.attest = encode('attest', {
          job: batch.job, urlHash: await sha256(utf8(asked)), status: page.status, bodyHash: await sha256(body), bodyLength: BigInt(body.length),
          headHash: await sha256(page.response), time: page.started, channel,
        });
        page.sig = await attest(page.attest);
      }
      await send(frame('page', page));
      for (const data of pieces(body)) await send(frame('body', { data }));
      await send(frame('body', { data: new Uint8Array(0) }));
      fetched++;
      pause = got.asked ? Math.min(Math.max(batch.delay, page.crawlDelay), maxDelay) : 0;
    }
    await send(frame('batch-end', { code: codes.ok, fetched }));
  }

  // page is one URL's outcome: { code, status, head, body, flags, rule, delay, retryAfter, asked }.
  async #page(asked, batch, signal) {
    const url = checkURL(asked);
    const site = await this.#site(url.origin, signal);
    if (site.code) return { code: site.code };
    const delay = robots.delay(site.robots, batch.agent);
    const { allowed, rule } = robots.test(site.robots, batch.agent, url.pathname + url.search);
    if (!allowed) return { code: 'robots_denied', rule, delay };
    return { ...(await this.#get(url, batch.maxBody || maxBody, signal)), rule, delay, asked: true };
  }

  // site is what a site's robots.txt says. One that redirects cannot be followed here, and counts as unreachable.
  async #site(origin, signal) {
    const known = this.#sites.get(origin);
    if (known && known.until > this.#world.now()) return known;
    const got = await this.#get(new URL('/robots.txt', origin), robotsSize, signal).catch((err) => failed(err, signal));
    const site = { until: this.#world.now() + robotsLife };
    if (got.status >= 200 && got.status < 300) site.robots = robots.parse(got.body);
    else if (got.status >= 400 && got.status < 500 && got.status !== 429) site.robots = robots.parse(new Uint8Array(0));
    else if (got.code === 'cap_day' || got.code === 'cap_month') return { code: got.code };
    else site.code = 'robots_unreachable';
    if (this.#sites.size >= maxSites) this.#sites.delete(this.#sites.keys().next().value);
    this.#sites.set(origin, site);
    return site;
  }

  // get fetches one URL as a stranger would. The owner's volume is leased before the request, once for the way in and
  // once for the way out to the relay, and what was not used is given back.
  async #get(url, limit, signal) {
    const caps = this.#world.caps;
    const taken = await caps.take(2 * (Math.min(limit, maxBody) + headRoom));
    let used = headRoom;
    try {
      limit = Math.min(limit, Math.floor(taken.got / 2) - headRoom);
      if (limit <= 0) throw new WireError('cap_day', 'what is left is less than a page');
      const answer = await this.#world.fetch(url.href, {
        credentials: 'omit', redirect: 'manual', cache: 'no-store', referrerPolicy: 'no-referrer', mode: 'cors',
        headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'accept-language': '*' }, // not the owner's languages
        signal: AbortSignal.any([signal, AbortSignal.timeout(pageWait)]),
      });
      if (answer.type === 'opaqueredirect' || (answer.status >= 300 && answer.status < 400 && answer.headers.has('location'))) {
        await answer.body?.cancel();
        return { code: 'app_denied', asked: true }; // where to is hidden: an agent can follow it
      }
      const { body, cut } = await read(answer, limit);
      used += body.length;
      return { code: 'ok', status: answer.status, head: head(answer), body, flags: cut ? flags.decoded : 0, retryAfter: retryAfter(answer) };
    } finally {
      await caps.give(taken, taken.got - 2 * used);
    }
  }
}

// failed puts an error into a code. A stream that was cut ends the batch instead.
function failed(err, signal) {
  signal.throwIfAborted();
  if (err instanceof WireError) return { code: err.code };
  if (err?.name === 'TimeoutError' || err?.name === 'AbortError') return { code: 'fetch_timeout', asked: true };
  return { code: 'target_closed', asked: true }; // a browser does not say why: names, TLS and connections fail alike
}

async function read(answer, limit) {
  const chunks = [];
  let n = 0;
  const reader = answer.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value.subarray(0, limit - n));
    n += chunks.at(-1).length;
    if (value.length > chunks.at(-1).length) {
      await reader.cancel();
      return { body: join(chunks, n), cut: true };
    }
  }
  return { body: join(chunks, n), cut: false };
}

function join(chunks, n) {
  const out = new Uint8Array(n);
  let at = 0;
  for (const c of chunks) {
    out.set(c, at);
    at += c.length;
  }
  return out;
}

// head is the response's head as far as a browser shows it: without Set-Cookie, and in HTTP/1.1's form whatever was
// spoken.
function head(answer) {
  const lines = [`HTTP/1.1 ${answer.status} ${answer.statusText}`];
  let n = lines[0].length + 4;
  for (const [name, value] of answer.headers) {
    const line = `${name}: ${value}`;
    if (name === 'set-cookie' || (n += utf8(line).length + 2) > maxHead) continue;
    lines.push(line);
  }
  return utf8(lines.join('\r\n') + '\r\n\r\n');
}

function retryAfter(answer) {
  const value = answer.headers.get('retry-after') ?? '';
  return /^\d{1,9}$/.test(value) ? Number(value) : 0;
}

/** wait sleeps for ms, unless signal fires. */
function wait(ms, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}
