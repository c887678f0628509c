// The account of one session: the channel that both sides sign, and the receipts on it (PROTOCOL.md §7). This is the
// edge's half of accounting.Meter: it counts, it signs the relay's offers after checking them against its own counts,
// and it stops the streams when the relay does not sign.

import { compare, equal, hex, sha256 } from './bytes.js';
import { messageID, sign, verify } from './keys.js';
import { WireError, decode } from './wire.js';

/** classExtension is the kind of edge that a browser is. */
export const classExtension = 2;

/** A hash stands where a TLS session has its exporter value, which a browser does not show. */
export const exporterLabel = 'EXPORTER-sward-channel';

const minStep = 64 << 10;
const maxStep = 4 << 20;
const maxWindow = 8 << 20;
const maxLife = 24 * 3600 * 1000; // ms
const maxSkew = 5 * 60 * 1000; // ms
const grace = 15 * 60 * 1000; // ms after a channel's end in which receipts may be signed
const minTolerance = 64 << 10; // bytes: two honest counts may differ by what is between a write and its counting
const toleranceShare = 200;
const signWait = 10_000; // ms that a stream waits at the window without a receipt
const minAllow = 4 << 10;
const writeOffWindows = 16;
const writeOffShare = 8;

const binding = (what) => new WireError('binding', what);
const fault = (what) => new WireError('protocol_error', what);

/** acceptChannel checks a relay's offer against what was asked for, and signs it. want has issuer, relay, edge,
 *  edgeKey, exporter, edgeNonce, policy and consent; network and the identity that signs come beside it. */
export async function acceptChannel(offer, want, network, identity, now) {
  const c = decode('channel', offer.body);
  for (const field of ['issuer', 'relay', 'edge', 'edgeKey', 'edgeNonce', 'exporter', 'policy', 'consent']) {
    if (!equal(c[field], want[field])) throw binding(`the channel has another ${field}`);
  }
  if (c.class !== classExtension) throw binding('the channel is of another class');
  if (equal(c.relayKey, c.edgeKey) || equal(c.relay, c.edge) || c.relayKey.every((b) => b === 0)) throw binding('two different keys are needed');
  if (c.step < minStep || c.step > maxStep || c.window < c.step || c.window > maxWindow) throw binding('step and window are out of bounds');
  const opened = Number(c.opened);
  const expires = Number(c.expires);
  if (expires <= opened || expires - opened > maxLife || now < opened - maxSkew || now >= expires) throw binding('the channel is not good now');
  if (!(await verify(c.relay, network, 'channel', offer.body, offer.sig))) throw binding('the relay has not signed the channel');
  return { channel: c, id: await messageID(network, 'channel', offer.body), sig: await sign(identity, network, 'channel', offer.body) };
}

/** Account counts and signs on one channel. */
export class Account {
  #network;
  #channel;
  #key; // made for this session: it is gone with the worker
  #now;
  #tallies = new Map(); // by grant in hexadecimal
  #flows = new Map(); // by stream, until both sides have ended it
  #early = new Map(); // Dones for streams that are not known yet
  #unsigned = 0;
  #fresh = 0; // of those, since the last Count
  #written = 0; // bytes written off
  #last = { serial: 0, up: 0, down: 0, tallies: [] };
  #answer = null;
  #waiting = new Set();
  #failed = null; // why nothing is signed any more

  constructor({ network, channel, id, key, now = Date.now, due = () => {} }) {
    this.#network = network;
    this.#channel = channel;
    this.id = id;
    this.#key = key;
    this.#now = now;
    this.due = due; // called when a step of bytes has passed
  }

  /** signed is how many bytes both sides have signed for. */
  get signed() {
    return this.#last.up + this.#last.down;
  }

  /** open begins the account of a stream on a grant. */
  open(stream, grant) {
    if (this.#failed) throw this.#failed;
    if (this.#now() >= Number(this.#channel.expires)) throw new WireError('window_closed', 'the channel has ended');
    const name = hex(grant);
    if (!this.#tallies.has(name)) {
      if (this.#tallies.size >= 1024) throw new WireError('stream_limit', 'too many grants on one channel');
      this.#tallies.set(name, { grant, up: 0, down: 0, streams: 0, unsigned: 0, signed: { up: 0, down: 0, streams: 0 } });
    }
    const tally = this.#tallies.get(name);
    tally.streams++;
    const flow = { stream, tally, up: 0, down: 0, closed: false, told: this.#early.get(stream) };
    this.#flows.set(stream, flow);
    return flow;
  }

  /** allow waits until n more bytes of a stream fit the window. n is at most a frame. */
  async allow(n) {
    while (this.#unsigned > 0 && this.#unsigned + n > this.#channel.window) {
      if (this.#failed) throw this.#failed;
      this.due();
      await this.#progress();
    }
  }

  #progress() {
    return new Promise((resolve, reject) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(wake);
        reject(new WireError('window_closed', 'the relay has stopped signing'));
      }, signWait);
      this.#waiting.add(wake);
    });
  }

  #wake() {
    for (const wake of [...this.#waiting]) wake();
  }

  /** moved counts n bytes of a flow in direction 'up' or 'down', after they were moved. */
  moved(flow, direction, n) {
    if (flow.closed) return;
    flow[direction] += n;
    flow.tally[direction] += n;
    flow.tally.unsigned += n;
    this.#unsigned += n;
    this.#fresh += n;
    if (this.#fresh >= this.#channel.step) this.due();
  }

  /** close ends a stream here: the word to send, with the final count of what went up. */
  close(flow) {
    if (!flow.closed) {
      flow.closed = true;
      if (flow.told !== undefined) this.#end(flow);
      else if (flow.down === 0) this.#flows.delete(flow.stream);
    }
    return { stream: BigInt(flow.stream), bytes: BigInt(flow.up) };
  }

  /** peerDone takes the relay's final count of what went down. What it could not deliver is written off. */
  peerDone({ stream, bytes }) {
    const flow = this.#flows.get(Number(stream));
    if (!flow) {
      if (this.#early.size < 256) this.#early.set(Number(stream), Number(bytes));
      return;
    }
    if (flow.told !== undefined) return;
    flow.told = Number(bytes);
    if (flow.closed) this.#end(flow);
  }

  #end(flow) {
    this.#flows.delete(flow.stream);
    if (flow.told > flow.down + tolerance(flow.down)) throw this.#fail('more was delivered than was sent');
    const lost = Math.max(flow.down - flow.told, 0);
    if (lost === 0) return;
    if (flow.tally.down - lost < flow.tally.signed.down) throw this.#fail('bytes are said to be undelivered that were signed for');
    if (this.#written + lost > writeOffWindows * this.#channel.window + this.signed / writeOffShare) throw this.#fail('too much is said to be undelivered');
    this.#written += lost;
    flow.tally.down -= lost;
    flow.tally.unsigned -= lost;
    this.#unsigned -= lost;
    this.#wake();
  }

  #fail(what) {
    this.#failed ??= fault(what);
    this.#wake();
    return this.#failed;
  }

  /** count is the next Count, or null when there is nothing to sign for. */
  count() {
    this.#fresh = 0;
    if (this.#failed || this.#unsigned <= 0 || this.#over()) return null;
    const tallies = [...this.#tallies.values()].sort((a, b) => compare(a.grant, b.grant));
    return { channel: this.id, tallies: tallies.map((t) => ({ grant: t.grant, up: BigInt(t.up), down: BigInt(t.down), streams: t.streams })) };
  }

  #over() {
    return this.#now() >= Number(this.#channel.expires) + grace;
  }

  /** cosign checks an offered receipt and signs it. Everything that is wrong with one ends the channel. */
  async cosign(offer) {
    if (this.#failed) throw this.#failed;
    const r = decode('receipt', offer.body);
    if (Number(r.serial) === this.#last.serial && this.#answer && equal(offer.body, this.#last.body)) return this.#answer; // it comes again
    const wrong = this.#wrong(r);
    if (wrong) throw this.#fail(wrong);
    if (!(await verify(this.#channel.relayKey, this.#network, 'receipt', offer.body, offer.sig))) throw this.#fail('the receipt is not signed');
    const sig = await sign(this.#key, this.#network, 'receipt', offer.body);
    this.#take(r, offer.body, await sha256(offer.body));
    this.#answer = { channel: this.id, serial: r.serial, sig };
    if (this.#unsigned >= this.#channel.step) this.due();
    return this.#answer;
  }

  #take(r, body, hash) {
    for (const t of r.tallies) {
      const own = this.#tallies.get(hex(t.grant));
      const next = { up: Number(t.up), down: Number(t.down), streams: t.streams };
      const n = next.up + next.down - own.signed.up - own.signed.down;
      own.unsigned -= n;
      this.#unsigned -= n;
      own.signed = next;
    }
    this.#last = { serial: Number(r.serial), up: Number(r.up), down: Number(r.down), tallies: r.tallies, flags: r.flags, body, hash };
    this.#wake();
  }

  // wrong holds an offered receipt against the last one and against own counts. It is null when nothing is.
  #wrong(r) {
    const last = this.#last;
    const sum = (field) => r.tallies.reduce((n, t) => n + BigInt(t[field]), 0n);
    if (!equal(r.channel, this.id)) return 'the receipt is of another channel';
    if (Number(r.serial) === last.serial) return 'two receipts have one serial';
    if (Number(r.serial) !== last.serial + 1 || last.flags & 1 || r.flags & ~1) return 'the receipt is not the next';
    if (!equal(r.prev, last.hash ?? new Uint8Array(32))) return 'the receipt does not follow the last';
    if (r.up !== sum('up') || r.down !== sum('down') || r.streams !== sum('streams')) return 'the totals are not the sums';
    if (this.#over()) return 'the channel has ended';
    let kept = 0;
    for (const t of r.tallies) {
      const own = this.#tallies.get(hex(t.grant));
      if (!own || t.up > own.up || t.down > own.down || t.streams > own.streams) return 'the receipt has more than was carried';
      if (t.up < own.signed.up || t.down < own.signed.down || t.streams < own.signed.streams) return 'a count shrank';
      if (own.signed.up || own.signed.down || own.signed.streams) kept++;
    }
    if (kept !== last.tallies.length) return 'a grant is missing';
    const down = [...this.#tallies.values()].reduce((n, t) => n + t.down, 0);
    const underWay = 2 * this.#channel.window + 2 * minAllow * this.#flows.size;
    return down - Number(r.down) > underWay + tolerance(down) ? 'too many bytes are said to be undelivered' : null;
  }
}

const tolerance = (n) => Math.max(minTolerance, n / toleranceShare);
