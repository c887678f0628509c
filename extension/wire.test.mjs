import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hex, parsePeerID, peerID, unhex } from './bytes.js';
import { decode, encode, frame, unframe, types } from './wire.js';
import { vectors } from './testdata/world.mjs';

for (const [name, body] of Object.entries(vectors.frames)) {
  test(`${name} is read and written as the network does`, () => {
    const message = decode(name, unhex(body));
    assert.equal(hex(encode(name, message)), body);
  });

  if (name === 'body') continue; // every length is one
  test(`no cut of ${name} and nothing behind it is accepted`, () => {
    const bytes = unhex(body);
    assert.throws(() => decode(name, new Uint8Array([...bytes, 0])), /trailing/);
    for (let n = 0; n < bytes.length; n++) assert.throws(() => decode(name, bytes.subarray(0, n)), /protocol_error/);
  });
}

test('the node has a codec for every frame it may see', () => {
  for (const name of Object.keys(types)) assert.ok(vectors.frames[name], name);
});

test('a frame is split from its head, and an unknown one has no name', () => {
  const f = frame('done', { stream: 1n, bytes: 2n });
  assert.deepEqual([...f.subarray(0, 4)], [0x16, 0, 0, 16]);
  assert.equal(unframe(f).name, 'done');
  assert.equal(unframe(new Uint8Array([0x7f, 0, 0, 1, 9])).name, undefined);
  assert.throws(() => unframe(f.subarray(0, 19)), /protocol_error/);
});

test('what breaks a limit is not sent', () => {
  assert.throws(() => encode('bye', { code: 0, detail: 'x'.repeat(201) }), /limit/);
  assert.throws(() => encode('body', { data: new Uint8Array(32769) }), /limit/);
  assert.throws(() => encode('bye', { code: 65536, detail: '' }), /fit/);
});

test('peer IDs are those of libp2p', () => {
  for (const { id, peer } of Object.values(vectors.keys)) {
    assert.equal(peerID(unhex(id)), peer);
    assert.equal(hex(parsePeerID(peer)), id);
  }
  for (const bad of ['', '12D3', vectors.keys.hub.peer + '1', vectors.keys.hub.peer.replace('K', '0')]) assert.throws(() => parsePeerID(bad), /peer ID/);
});
