import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, sha256, text, utf8 } from './bytes.js';
import { Caps } from './caps.js';
import { Crawler } from './crawl.js';
import { codes, decode, unframe } from './wire.js';
import { memory } from './testdata/world.mjs';

const job = { job: new Uint8Array(16), delay: 0, deadline: 60_000, maxWire: 0, maxBody: 0, agent: 'swardbot/1' };
const page = (body, init) => new Response(body, { headers: { 'content-type': 'text/html' }, ...init });

/** crawl runs a batch over a site that answers by path, and returns what the crawler would read. */
async function crawl(urls, site, { batch = {}, limits = { day: 0, month: 0 }, signal = new AbortController().signal } = {}) {
  const asked = [];
  const waits = [];
  const store = memory({ caps: limits });
  const crawler = new Crawler({
    caps: new Caps(store),
    wait: async (ms) => waits.push(ms),
    fetch: async (url, options) => {
      asked.push({ url, options });
      const answer = site[new URL(url).pathname];
      if (!answer) return page('', { status: 404 });
      return answer();
    },
  });
  const pages = [];
  let end;
  await crawler.run({ ...job, ...batch, urls }, {
    channel: new Uint8Array(32).fill(7), signal,
    attest: async (body) => (await sha256(body)).length === 32 && new Uint8Array(64).fill(1),
    send: async (bytes) => {
      const { name, body } = unframe(bytes);
      const m = decode(name, body);
      if (name === 'page') pages.push({ ...m, body: [] });
      if (name === 'body') pages.at(-1).body.push(...m.data);
      if (name === 'batch-end') end = m;
    },
  });
  return { pages, end, asked, waits, store };
}

test('a page is fetched as a stranger, and attested', async () => {
  const { pages, end, asked, store } = await crawl(['https://example.org/a?b'], { '/a': () => page('<p>hello</p>') });
  assert.equal(end.fetched, 1);
  const [p] = pages;
  assert.deepEqual([p.code, p.status, p.url], [0, 200, 'https://example.org/a?b']);
  assert.match(text(p.response), /^HTTP\/1\.1 200 \r\ncontent-type: text\/html\r\n\r\n$/);
  assert.equal(text(new Uint8Array(p.body.slice(12))), '<p>hello</p>', 'one raw block');
  const signed = decode('attest', p.attest);
  assert.equal(hex(signed.urlHash), hex(await sha256(utf8('https://example.org/a?b'))));
  assert.equal(hex(signed.bodyHash), hex(await sha256(utf8('<p>hello</p>'))));
  assert.equal(hex(signed.headHash), hex(await sha256(p.response)));
  assert.deepEqual(asked.map((a) => a.url), ['https://example.org/robots.txt', 'https://example.org/a?b']);
  for (const { options } of asked) {
    assert.equal(options.credentials, 'omit'); // M04
    assert.equal(options.redirect, 'manual');
    assert.equal(options.referrerPolicy, 'no-referrer');
  }
  assert.ok(store.data.volume.dayUsed < 200_000, 'the rest of the leases came back');
});

test('robots.txt is obeyed, and a site without an answer is left alone', async () => {
  const disallow = { '/robots.txt': () => page('User-agent: swardbot\nDisallow: /private\nCrawl-delay: 3'), '/a': () => page('a'), '/b': () => page('b') };
  const { pages, asked, waits } = await crawl(['https://example.org/private', 'https://example.org/a', 'https://example.org/b'], disallow);
  assert.deepEqual(pages.map((p) => [p.code, p.rule, p.status]), [[codes.robots_denied, 'Disallow: /private', 0], [0, '', 200], [0, '', 200]]);
  assert.equal(asked.length, 3);
  assert.deepEqual(waits, [3000]);
  for (const answer of [() => page('', { status: 503 }), () => page('', { status: 301, headers: { location: '/other' } }), () => Promise.reject(new TypeError('failed to fetch'))]) {
    const { pages, asked } = await crawl(['https://example.org/a'], { '/robots.txt': answer, '/a': () => page('a') });
    assert.equal(pages[0].code, codes.robots_unreachable);
    assert.equal(asked.length, 1);
  }
});

test('what must not be fetched is not asked for', async () => {
  const { pages, asked } = await crawl(['http://example.org/', 'https://192.168.0.1/', 'https://router.lan/'], {});
  assert.deepEqual(pages.map((p) => p.code), [codes.plain_http_denied, codes.app_denied, codes.dest_name]);
  assert.deepEqual(asked, []);
});

test('a redirect is not followed', async () => {
  const { pages } = await crawl(['https://example.org/a'], { '/a': () => page('', { status: 302, headers: { location: 'http://192.168.0.1/' } }) });
  assert.deepEqual([pages[0].code, pages[0].status, pages[0].attest.length], [codes.app_denied, 0, 0]);
});

test('an endless page is cut at the limit and says so', async () => {
  let sent = 0;
  const endless = () => new Response(new ReadableStream({ pull: (c) => (sent++, c.enqueue(new Uint8Array(10_000))) }));
  const { pages } = await crawl(['https://example.org/a'], { '/a': endless }, { batch: { maxBody: 25_000 } });
  assert.equal(decode('attest', pages[0].attest).bodyLength, 25_000n);
  assert.equal(pages[0].flags, 2);
  assert.ok(sent < 10, `${sent} pieces were read`);
});

test('nothing is fetched beyond the owner\'s cap', async () => {
  const site = { '/robots.txt': () => page(''), '/a': () => page('x'.repeat(100_000)) };
  const urls = Array.from({ length: 9 }, () => 'https://example.org/a');
  const { pages, store } = await crawl(urls, site, { limits: { day: 1 << 20, month: 0 } });
  assert.ok(store.data.volume.dayUsed <= 1 << 20, `${store.data.volume.dayUsed} bytes`);
  assert.equal(pages[0].code, 0);
  assert.equal(pages.at(-1).code, codes.cap_day);
});

test('a stream that is cut ends the batch', async () => {
  const stop = new AbortController();
  const site = { '/a': () => (stop.abort(new Error('cut')), Promise.reject(new Error('aborted'))) };
  await assert.rejects(crawl(['https://example.org/a', 'https://example.org/b'], site, { signal: stop.signal }), /cut/);
});
