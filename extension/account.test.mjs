import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, hex, unhex } from './bytes.js';
import { Account, acceptChannel } from './channel.js';
import { Grants } from './grants.js';
import { messageID, sign, verify } from './keys.js';
import { exporter } from './session.js';
import { decode, encode } from './wire.js';
import { keyOf, vectors } from './testdata/world.mjs';

const { network, moment } = vectors;
const now = () => moment + 1000;
const offer = { body: unhex(vectors.channel.body), sig: unhex(vectors.channel.relaySig) };
const grantID = unhex(vectors.grant.id);

/** want is what the node of the vectors asked for. */
const want = () => decode('channel', offer.body);

async function account() {
  const { channel, id } = await acceptChannel(offer, want(), network, await keyOf('node'), now());
  return new Account({ network, channel, id, key: await keyOf('nodeKey'), now });
}

/** receiptOffer signs a receipt as the relay would. */
async function receiptOffer(change = {}) {
  const body = encode('receipt', { ...decode('receipt', unhex(vectors.receipt.body)), ...change });
  return { body, sig: await sign(await keyOf('relayKey'), network, 'receipt', body) };
}

test('the proof for a relay is the one it checks', async () => {
  const body = concat(unhex(vectors.keys.relay.id), unhex(vectors.proof.nonce));
  assert.equal(hex(await sign(await keyOf('node'), network, 'node', body)), vectors.proof.sig);
});

test('a signature holds for one network, one type and one body', async () => {
  const id = unhex(vectors.keys.relay.id);
  assert.equal(await verify(id, network, 'channel', offer.body, offer.sig), true);
  assert.equal(await verify(id, 'main', 'channel', offer.body, offer.sig), false);
  assert.equal(await verify(id, network, 'grant', offer.body, offer.sig), false);
  assert.equal(await verify(new Uint8Array(32), network, 'channel', offer.body, offer.sig), false);
});

test('a channel is signed as the network does, and named alike', async () => {
  const { id, sig } = await acceptChannel(offer, want(), network, await keyOf('node'), now());
  assert.equal(hex(id), vectors.channel.id);
  assert.equal(hex(id), hex(await messageID(network, 'channel', offer.body)));
  assert.equal(hex(sig), vectors.channel.nodeSig);
});

test('the binding of a channel is that of the challenge', async () => {
  const { relay, node } = vectors.keys;
  const got = await exporter(unhex(vectors.proof.nonce), unhex(relay.id), unhex(node.id), want().edgeNonce);
  assert.equal(hex(got), vectors.channel.exporter);
});

test('a channel that is not the one asked for is not signed', async () => {
  const identity = await keyOf('node');
  for (const field of ['issuer', 'relay', 'edge', 'edgeKey', 'edgeNonce', 'exporter', 'policy', 'consent']) {
    const other = want();
    other[field] = other[field].map((b) => b ^ 1);
    await assert.rejects(acceptChannel(offer, other, network, identity, now()), /binding/, field);
  }
  await assert.rejects(acceptChannel({ ...offer, sig: unhex(vectors.channel.nodeSig) }, want(), network, identity, now()), /not signed/);
  await assert.rejects(acceptChannel(offer, want(), network, identity, moment + 4_000_000), /not good now/);
  await assert.rejects(acceptChannel({ body: encode('channel', { ...want(), class: 0 }), sig: offer.sig }, want(), network, identity, now()), /class/);
  await assert.rejects(acceptChannel({ body: encode('channel', { ...want(), window: 9 << 20 }), sig: offer.sig }, want(), network, identity, now()), /bounds/);
});

test('a receipt is signed as the network does, once its counts are ours', async () => {
  const a = await account();
  const flow = a.open(1, grantID);
  a.moved(flow, 'up', 100);
  a.moved(flow, 'down', 2000);
  const count = a.count();
  assert.deepEqual(count.tallies, [{ grant: grantID, up: 100n, down: 2000n, streams: 1 }]);
  const answer = await a.cosign(await receiptOffer());
  assert.equal(hex(answer.sig), vectors.receipt.nodeSig);
  assert.equal(a.signed, 2100);
  assert.deepEqual(await a.cosign(await receiptOffer()), answer, 'the same offer gets the same answer');
  assert.equal(a.count(), null, 'nothing is left to sign for');
});

test('a receipt that is not ours is not signed, and ends the channel', async () => {
  const tally = { grant: grantID, up: 100n, down: 2000n, streams: 1 };
  const lies = {
    'another channel': { channel: new Uint8Array(32) },
    'a later serial': { serial: 2n },
    'a history': { prev: new Uint8Array(32).fill(1) },
    'more bytes down': { down: 2001n, tallies: [{ ...tally, down: 2001n }] },
    'more bytes up': { up: 101n, tallies: [{ ...tally, up: 101n }] },
    'another grant': { tallies: [{ ...tally, grant: new Uint8Array(16).fill(9) }] },
    'totals that are no sums': { down: 1999n },
    'an unknown flag': { flags: 2 },
  };
  for (const [name, lie] of Object.entries(lies)) {
    const a = await account();
    const flow = a.open(1, grantID);
    a.moved(flow, 'up', 100);
    a.moved(flow, 'down', 2000);
    await assert.rejects(a.cosign(await receiptOffer(lie)), /protocol_error/, name);
    await assert.rejects(a.cosign(await receiptOffer()), /protocol_error/, `${name}: and nothing after it`);
  }
  const a = await account();
  a.moved(a.open(1, grantID), 'down', 3000);
  await assert.rejects(a.cosign({ ...(await receiptOffer({ up: 0n, tallies: [{ ...tally, up: 0n }] })), sig: new Uint8Array(64) }), /not signed/);
});

test('two receipts with one serial are a fork', async () => {
  const a = await account();
  const flow = a.open(1, grantID);
  a.moved(flow, 'up', 100);
  a.moved(flow, 'down', 2000);
  await a.cosign(await receiptOffer());
  await assert.rejects(a.cosign(await receiptOffer({ time: 5n })), /one serial/);
});

test('what the relay could not deliver is written off, and no more', async () => {
  const a = await account();
  const flow = a.open(1, grantID);
  a.moved(flow, 'down', 2000);
  assert.deepEqual(a.close(flow), { stream: 1n, bytes: 0n });
  a.peerDone({ stream: 1n, bytes: 500n });
  assert.equal(a.count().tallies[0].down, 500n);
  const second = a.open(2, grantID);
  a.moved(second, 'down', 10);
  a.close(second);
  assert.throws(() => a.peerDone({ stream: 2n, bytes: 1n << 20n }), /more was delivered/);
});

test('a stream stops at the window and goes on after a receipt', async () => {
  const a = await account();
  const flow = a.open(1, grantID);
  a.moved(flow, 'up', 100);
  a.moved(flow, 'down', 512 << 10);
  let free = false;
  const waiting = a.allow(1000).then(() => (free = true));
  await new Promise(setImmediate);
  assert.equal(free, false);
  const down = BigInt(512 << 10);
  await a.cosign(await receiptOffer({ down, tallies: [{ grant: grantID, up: 100n, down, streams: 1 }] }));
  await waiting;
  assert.equal(free, true);
});

test('a grant is good for its relay, its hub, its time and its limit', async () => {
  const terms = { network, hub: unhex(vectors.keys.hub.id), relay: unhex(vectors.keys.relay.id), now };
  const signed = unhex(vectors.grant.signed);
  const grant = await new Grants(terms).accept(signed);
  assert.equal(hex(grant.id), vectors.grant.id);
  await grant.reserve(vectors.grant.limit);
  const bad = {
    'another hub': () => new Grants({ ...terms, hub: terms.relay }).accept(signed),
    'another relay': () => new Grants({ ...terms, relay: terms.hub }).accept(signed),
    'another network': () => new Grants({ ...terms, network: 'main' }).accept(signed),
    'too late': () => new Grants({ ...terms, now: () => moment + 3_600_000 }).accept(signed),
    'a changed limit': () => new Grants(terms).accept(signed.map((b, i) => (i === 145 ? b ^ 1 : b))),
    'cut off': () => new Grants(terms).accept(signed.subarray(1)),
  };
  for (const [name, attempt] of Object.entries(bad)) await assert.rejects(attempt(), /grant_invalid/, name);
});
