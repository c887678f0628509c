import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat, hex, unhex } from './bytes.js';
import { Line } from './line.js';
import { verify } from './keys.js';
import { codes, decode, frame, unframe } from './wire.js';
import { keyOf, vectors } from './testdata/world.mjs';

/** Wire is a WebSocket whose other end is the test. */
class Wire {
  static last;
  readyState = 1;
  sent = [];
  constructor() {
    Wire.last = this;
  }
  send(bytes) {
    this.sent.push(bytes);
  }
  close() {
    this.readyState = 3;
    this.onclose?.();
  }
  /** say gives the node a message. */
  say(bytes) {
    this.onmessage({ data: bytes instanceof Uint8Array ? bytes.slice().buffer : bytes });
  }
  stream(id, bytes = new Uint8Array(0)) {
    this.say(concat([0, 0, 0, id], bytes));
  }
}

const relay = unhex(vectors.keys.relay.id);

async function open() {
  const opening = Line.open({ url: 'wss://relay.example.net', relay, network: vectors.network, identity: await keyOf('node'), WebSocket: Wire });
  Wire.last.say(unhex(vectors.proof.nonce));
  const { line } = await opening;
  return { line, wire: Wire.last };
}

/** byeOf is the code of the last frame that the node has sent. */
const byeOf = (wire) => decode('bye', unframe(wire.sent.at(-1).subarray(4)).body).code;

test('the node proves its key for the relay that it knows', async () => {
  const { wire } = await open();
  const [proof] = wire.sent;
  assert.equal(hex(proof.subarray(0, 32)), vectors.keys.node.id);
  assert.equal(hex(proof.subarray(32)), vectors.proof.sig);
  assert.ok(await verify(proof.subarray(0, 32), vectors.network, 'node', concat(relay, unhex(vectors.proof.nonce)), proof.subarray(32)));
});

test('streams carry frames, and unknown ones are skipped', async () => {
  const { line, wire } = await open();
  wire.stream(1, new Uint8Array([0x7f, 0, 0, 1, 9]));
  wire.stream(1, frame('batch-end', { code: 0, fetched: 3 }));
  const stream = await line.accepted.next();
  const got = await stream.next('batch-end');
  assert.deepEqual([got.message.fetched, got.size], [3, 8]);
  stream.finish();
  assert.deepEqual([...wire.sent.at(-1)], [0, 0, 0, 1]);
  wire.stream(1, frame('body', { data: new Uint8Array(1) }));
  assert.equal(wire.readyState, 1, 'what comes after the end is ignored');
});

test('a stream that the relay cuts stops the work on it', async () => {
  const { line, wire } = await open();
  wire.stream(1, frame('bye', { code: 0, detail: '' }));
  const stream = await line.accepted.next();
  assert.equal(stream.signal.aborted, true);
  assert.throws(() => stream.send(new Uint8Array(4)), /cut/);
});

test('a relay that breaks the protocol loses the line', async () => {
  const breaks = {
    'text': (wire) => wire.say('hello'),
    'no stream': (wire) => wire.say(new Uint8Array(3)),
    'half a frame': (wire) => wire.stream(0, new Uint8Array([3, 0, 0, 9, 1])),
    'a malformed frame': (wire) => wire.stream(0, new Uint8Array([0x16, 0, 0, 1, 1])),
    'a skipped number': (wire) => wire.stream(2),
    'too many streams': (wire) => [1, 2, 3, 4, 5, 6, 7, 8, 9].forEach((id) => wire.stream(id)),
    'frames without end': (wire) => Array.from({ length: 300 }, () => wire.stream(1, new Uint8Array([0x7f, 0, 0, 0]))),
  };
  for (const [name, act] of Object.entries(breaks)) {
    const { line, wire } = await open();
    act(wire);
    assert.equal(wire.readyState, 3, name);
    assert.equal(byeOf(wire), codes.protocol_error, name);
    await assert.rejects(line.control.next(), /protocol_error/, name);
  }
});

test('the end of the line reaches whoever waits on it', async () => {
  const { line, wire } = await open();
  wire.stream(1);
  const stream = await line.accepted.next();
  const waiting = assert.rejects(line.control.next(), /ended/);
  wire.close();
  await waiting;
  assert.equal(stream.signal.aborted, true);
  await assert.rejects(line.accepted.next(), /ended/);
});
