// The node's line: one WebSocket to a relay, binary messages, each a stream's number and one frame (PROTOCOL.md §12).
// Stream 0 is the control stream; the relay opens the others, numbered from 1. A message without a frame ends a
// direction, Bye on a stream cuts it.

import { concat } from './bytes.js';
import { sign } from './keys.js';
import { WireError, codes, decode, frame, types, unframe } from './wire.js';

const connectWait = 15_000; // ms for the relay to answer and to challenge
const maxStreams = 8; // open at once
const maxQueued = 256; // frames of one stream that wait to be read: a relay sends a handful

const fault = (what) => new WireError('protocol_error', what);

/** Line speaks to one relay until it ends. */
export class Line {
  #ws;
  #streams = new Map();
  #last = 0;
  #greeting = new Queue();
  control = new Queue();
  accepted = new Queue(); // streams that the relay has opened
  ended; // settles with the reason when the line is over

  constructor(ws) {
    this.#ws = ws;
    ws.binaryType = 'arraybuffer';
    this.ended = new Promise((resolve) => {
      ws.onclose = ws.onerror = () => resolve(this.#over(new WireError('draining', 'the line to the relay has ended')));
    });
    ws.onmessage = ({ data }) => {
      try {
        this.#receive(data);
      } catch (err) {
        this.close(err);
      }
    };
  }

  /** open connects to a relay and proves this node's identity to it: relay is its key, identity ours. The relay proves
   *  itself later, with the channel that it signs. nonce is what the channel's binding is made of. */
  static async open({ url, relay, network, identity, WebSocket = globalThis.WebSocket }) {
    const line = new Line(new WebSocket(url));
    const timer = setTimeout(() => line.close(new WireError('draining', 'the relay does not answer')), connectWait);
    try {
      const nonce = await line.#greeting.next();
      if (nonce.length !== 32) throw fault('the challenge has another length');
      const sig = await sign(identity, network, 'node', concat(relay, nonce));
      line.#greeting = null;
      line.#ws.send(concat(identity.id, sig));
      return { line, nonce };
    } catch (err) {
      line.close(err);
      throw err;
    } finally {
      clearTimeout(timer);
    }
  }

  #receive(data) {
    if (!(data instanceof ArrayBuffer)) throw fault('a message that is not binary');
    const message = new Uint8Array(data);
    if (this.#greeting) return this.#greeting.push(message);
    if (message.length < 4) throw fault('a message without a stream');
    const id = new DataView(data).getUint32(0);
    const bytes = message.subarray(4);
    if (id === 0) return this.#hear(bytes);
    if (id > this.#last) this.#accept(id);
    this.#streams.get(id)?.receive(bytes); // one that has ended here: this was under way
  }

  #hear(bytes) {
    if (bytes.length === 0) return this.close(new WireError('draining', 'the relay has closed the session'));
    const { name, body } = unframe(bytes);
    if (name) this.control.push({ name, message: decode(name, body) });
  }

  #accept(id) {
    if (id !== this.#last + 1) throw fault('streams are not numbered in order');
    if (this.#streams.size >= maxStreams) throw fault('too many streams');
    this.#last = id;
    const stream = new Stream(id, (bytes) => this.#write(id, bytes), () => this.#streams.delete(id));
    this.#streams.set(id, stream);
    this.accepted.push(stream);
  }

  /** send sends a frame on the control stream. */
  send(name, message) {
    this.#write(0, frame(name, message));
  }

  #write(id, bytes) {
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, id);
    if (this.#ws.readyState !== 1) throw new WireError('draining', 'the line to the relay has ended');
    this.#ws.send(concat(head, bytes));
  }

  /** close ends the line and everything on it, for this reason. */
  close(err) {
    this.#over(err);
    try {
      this.send('bye', { code: codes[err?.code] ?? codes.internal, detail: String(err?.detail ?? '').slice(0, 100) });
    } catch {
      // the relay has gone: nobody is left to tell
    }
    this.#ws.close();
  }

  #over(err) {
    this.#greeting?.end(err);
    this.control.end(err);
    this.accepted.end(err);
    for (const stream of this.#streams.values()) stream.end(err);
    this.#streams.clear();
    return err;
  }
}

/** Stream is one connection that the relay has opened. */
export class Stream {
  #frames = new Queue();
  #write;
  #leave;
  #abort = new AbortController();

  constructor(id, write, leave) {
    this.id = id;
    this.#write = write;
    this.#leave = leave;
  }

  /** signal fires when the relay has cut the stream. */
  get signal() {
    return this.#abort.signal;
  }

  receive(bytes) {
    if (bytes.length === 0) return this.#frames.end(fault('the relay has said all'));
    if (bytes[0] !== types.bye) return this.#frames.push(bytes);
    unframe(bytes);
    this.end(new WireError('draining', 'the relay has cut the stream'));
  }

  end(err) {
    this.#frames.end(err);
    this.#abort.abort(err);
    this.#leave();
  }

  /** next is the next frame called name, with how many bytes it had; frames of unknown types are skipped. */
  async next(name) {
    for (;;) {
      const bytes = await this.#frames.next();
      const got = unframe(bytes);
      if (got.name === name) return { message: decode(name, got.body), size: bytes.length };
      if (got.name) throw fault(`${got.name} where ${name} should be`);
    }
  }

  /** send sends bytes that are one frame. */
  send(bytes) {
    this.signal.throwIfAborted();
    this.#write(bytes);
  }

  /** finish ends the direction to the relay, after all was sent. */
  finish() {
    if (!this.signal.aborted) this.#write(new Uint8Array(0));
    this.#leave();
  }

  /** cut ends the stream with the reason. */
  cut(err) {
    if (!this.signal.aborted) this.#write(frame('bye', { code: codes[err?.code] ?? codes.internal, detail: '' }));
    this.end(err);
  }
}

/** Queue hands over what was pushed, in order; after end it rejects with the reason once it is empty. */
class Queue {
  #items = [];
  #takers = [];
  #ended = null;

  push(item) {
    if (this.#ended) return;
    const taker = this.#takers.shift();
    if (taker) return taker.resolve(item);
    if (this.#items.length >= maxQueued) throw fault('too much waits to be read');
    this.#items.push(item);
  }

  end(err) {
    if (this.#ended) return;
    this.#ended = { err };
    for (const taker of this.#takers) taker.reject(err);
    this.#takers = [];
  }

  next() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    if (this.#ended) return Promise.reject(this.#ended.err);
    return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
  }
}
