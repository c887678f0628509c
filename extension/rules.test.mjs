import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { utf8 } from './bytes.js';
import { Caps, giveBack, lease, period, room, unlimited } from './caps.js';
import { agree, agreed } from './consent.js';
import { parseInvitation } from './invitation.js';
import * as robots from './robots.js';
import { checkURL } from './target.js';
import { memory, vectors } from './testdata/world.mjs';

test('robots.txt is read as the network reads it', () => {
  for (const v of vectors.robots) {
    const parsed = robots.parse(utf8(v.file));
    const got = { ...robots.test(parsed, v.agent, v.path), delay: robots.delay(parsed, v.agent) };
    assert.deepEqual(got, { allowed: v.allowed, rule: v.rule, delay: v.delay }, JSON.stringify(v));
  }
});

test('caps are counted as the network counts them', () => {
  for (const v of vectors.caps) {
    const when = { day: v.day, month: v.month };
    let got;
    try {
      got = { ...lease(v.caps, v.volume, when, v.want), code: '' };
    } catch (err) {
      got = { code: err.code };
    }
    assert.equal(got.code, v.refusal, JSON.stringify(v));
    assert.equal(room(v.caps, v.volume, when), v.room, JSON.stringify(v));
    if (got.code) continue;
    assert.deepEqual({ volume: got.volume, got: got.got }, { volume: v.next, got: v.got }, JSON.stringify(v));
    assert.deepEqual(giveBack(got.volume, got.volume, Math.floor(v.got / 2)), v.back, JSON.stringify(v));
  }
});

test('a lease is on disk before any byte flows, and leases taken at once never pass the cap', async () => {
  const store = memory({ caps: { day: 100, month: 0 } });
  const caps = new Caps(store, () => new Date(2026, 10, 20));
  const taken = await Promise.allSettled([60, 60, 60].map((n) => caps.take(n)));
  assert.deepEqual(taken.map((t) => t.value?.got ?? t.reason.code), [60, 40, 'cap_day']);
  assert.equal(store.data.volume.dayUsed, 100);
  await caps.give(taken[0].value, 50);
  assert.equal(await caps.room(), 50);
});

test('a day and a month are those of the owner', () => {
  assert.deepEqual(period(new Date(2026, 0, 9, 23, 59)), { day: '2026-01-09', month: '2026-01' });
  assert.equal(room({ day: 0, month: 0 }, {}, period(new Date())), unlimited);
});

// M05, M06.
test('nothing but public names over https is fetched', () => {
  const refused = {
    plain_http_denied: ['http://example.org/'],
    bad_host: [
      'file:///etc/passwd', 'chrome://settings', 'ftp://example.org/', 'javascript:alert(1)', 'data:text/html,x', 'nonsense', 'https://a:b@example.org/',
      'https://a_b.example.org/', 'https://example.org./',
    ],
    app_denied: [
      'https://192.168.0.1/', 'https://8.8.8.8/', 'https://[::1]/', 'https://0x7f.1/', 'https://0177.0.0.1/', 'https://2130706433/', 'https://１２７.0.0.1/',
    ],
    port_not_allowed: ['https://example.org:8443/', 'https://example.org:22/'],
    dest_loopback: ['https://localhost/', 'https://x.localhost/'],
    dest_name: ['https://router/', 'https://nas.local/', 'https://fritz.home/', 'https://x.internal/', 'https://4.3.2.1.in-addr.arpa/', 'https://printer.lan/'],
  };
  for (const [code, urls] of Object.entries(refused)) {
    for (const url of urls) assert.throws(() => checkURL(url), { code }, url);
  }
  for (const url of ['https://example.org/', 'https://EXAMPLE.org:443/a?b', 'https://xn--bcher-kva.example/', 'https://bücher.example/', 'https://1.example.org/']) {
    assert.ok(checkURL(url).protocol === 'https:', url);
  }
});

const manifest = JSON.parse(readFileSync(new URL('manifest.json', import.meta.url)));
const consent = readFileSync(new URL('consent.txt', import.meta.url));

test('consent is typed, and holds for one text and one set of permissions (M10)', async () => {
  await assert.rejects(agree('yes', consent, manifest), /I agree/);
  const record = await agree('I agree', consent, manifest);
  assert.equal(await agreed(record, consent, manifest), true);
  assert.equal(await agreed(undefined, consent, manifest), false);
  assert.equal(await agreed(record, utf8('another text'), manifest), false);
  assert.equal(await agreed(record, consent, { ...manifest, permissions: [...manifest.permissions, 'tabs'] }), false);
});

test('an invitation names a network, its keys and a relay', () => {
  const { hub, relay } = vectors.keys;
  const line = `sward:main?hub=${hub.peer}&relay=${relay.peer}&at=wss://relay.example.net/v1/node`;
  const got = parseInvitation(line);
  assert.deepEqual([got.network, got.url], ['main', 'wss://relay.example.net/v1/node']);
  for (const bad of ['', 'https://example.org', line.replace('wss:', 'ws:'), line.replace(hub.peer, 'x'), line.replace('main', 'Main')]) assert.throws(() => parseInvitation(bad), Error, bad);
});
