// The frames and signed bodies that a node speaks (PROTOCOL.md §3 and §8). One table is writer and reader, so that
// the two cannot differ. Numbers of 64 bits are BigInt. Reading is strict: no missing byte, no trailing byte, every
// length within its limit.

import { compare, concat, text, utf8 } from './bytes.js';

export const maxFrame = 65535;
export const maxChunk = 32 << 10; // of a page's body
export const maxHead = 20 << 10; // of a page's response head

/** Frame types. A type that is not here is skipped. */
export const types = {
  hello: 0x01, welcome: 0x02, status: 0x03, bye: 0x04,
  'channel-ask': 0x10, 'channel-offer': 0x11, 'channel-accept': 0x12, count: 0x13, 'receipt-offer': 0x14,
  'receipt-sign': 0x15, done: 0x16, regrant: 0x17,
  open: 0x20, opened: 0x21,
  batch: 0x30, page: 0x31, body: 0x32, 'batch-end': 0x33,
};

const names = new Map(Object.entries(types).map(([name, type]) => [type, name]));

/** codes are those that a node sends or has to tell apart (PROTOCOL.md §9). */
export const codes = {
  ok: 0, bad_host: 0x0102, over_limit: 0x010a, dest_loopback: 0x0201, dest_name: 0x0205, loop: 0x020e,
  port_not_allowed: 0x0302, app_denied: 0x0306, plain_http_denied: 0x0307, no_consent: 0x0401, paused: 0x0402,
  cap_day: 0x0404, cap_month: 0x0405, stream_limit: 0x0406, draining: 0x0503, internal: 0x0505, protocol_error: 0x0601,
  grant_invalid: 0x0604, window_closed: 0x0605, binding: 0x0606, target_closed: 0x0706, fetch_timeout: 0x0708,
  robots_denied: 0x0802, robots_unreachable: 0x0803,
};

/** WireError is a code of the network with a sentence for people. */
export class WireError extends Error {
  constructor(code, detail = '') {
    super(code + (detail && ': ' + detail));
    this.code = code; // a key of codes
    this.detail = detail;
  }
}

const fault = (what) => new WireError('protocol_error', what);

// A field is [name, kind, limit]; a kind that is a number is so many bytes.
const layouts = {
  hello: [['version', 'u16'], ['role', 'u8'], ['apps', 'u8'], ['streams', 'u16'], ['clock', 'i64'], ['network', 'str8', 32], ['agent', 'str8', 128], ['consent', 32], ['policy', 32]],
  welcome: [['version', 'u16'], ['clock', 'i64'], ['streams', 'u16'], ['step', 'u32'], ['window', 'u32'], ['region', 'str8', 64]],
  status: [['flags', 'u8'], ['room', 'u64'], ['policy', 32], ['apps', 'u8']],
  bye: [['code', 'u16'], ['detail', 'str8', 200]],
  'channel-ask': [['channelKey', 32], ['nonce', 16], ['policy', 32], ['consent', 32], ['class', 'u16']],
  'channel-offer': [['body', 'bytes16', 1024], ['sig', 64]],
  'channel-accept': [['channel', 32], ['sig', 64]],
  count: [['channel', 32], ['tallies', 'tallies', 1024]],
  'receipt-offer': [['body', 'bytes16', 40 << 10], ['sig', 64]],
  'receipt-sign': [['channel', 32], ['serial', 'u64'], ['sig', 64]],
  done: [['stream', 'u64'], ['bytes', 'u64']],
  regrant: [['grant', 'bytes16', 1024]],
  open: [['grant', 'bytes16', 1024], ['app', 'u8'], ['hops', 'u8'], ['host', 'str8', 253], ['port', 'u16']],
  opened: [['code', 'u16'], ['edge', 32], ['detail', 'str8', 200]],
  batch: [['job', 16], ['delay', 'u32'], ['deadline', 'u32'], ['maxWire', 'u32'], ['maxBody', 'u32'], ['agent', 'str8', 128], ['urls', 'urls16', 256]],
  page: [['index', 'u16'], ['code', 'u16'], ['status', 'u16'], ['flags', 'u8'], ['started', 'i64'], ['took', 'u32'], ['url', 'str16', 2048], ['hops', 'urls8', 10],
    ['rule', 'str8', 200], ['retryAfter', 'u32'], ['crawlDelay', 'u32'], ['address', 16], ['request', 'bytes16', maxHead], ['response', 'bytes16', maxHead],
    ['attest', 'bytes16', 166], ['sig', 64]],
  body: [['data', 'rest', maxChunk]],
  'batch-end': [['code', 'u16'], ['fetched', 'u16']],
  // Signed bodies. The first two fields are the same in all of them.
  grant: [['version', 'u16'], ['kind', 'u16'], ['id', 16], ['issuer', 32], ['account', 16], ['relay', 32], ['signingPartner', 32], ['purpose', 'u16'], ['price', 'u32'],
    ['limit', 'u64'], ['issued', 'i64'], ['notAfter', 'i64'], ['maxChannels', 'u32'], ['policy', 32]],
  channel: [['version', 'u16'], ['kind', 'u16'], ['issuer', 32], ['relay', 32], ['edge', 32], ['relayKey', 32], ['edgeKey', 32], ['exporter', 32], ['edgeNonce', 16],
    ['relayNonce', 16], ['policy', 32], ['consent', 32], ['class', 'u16'], ['step', 'u32'], ['window', 'u32'], ['opened', 'i64'], ['expires', 'i64']],
  receipt: [['version', 'u16'], ['kind', 'u16'], ['channel', 32], ['serial', 'u64'], ['up', 'u64'], ['down', 'u64'], ['streams', 'u64'], ['time', 'i64'], ['flags', 'u32'],
    ['prev', 32], ['tallies', 'tallies', 1024]],
  attest: [['version', 'u16'], ['kind', 'u16'], ['job', 16], ['urlHash', 32], ['status', 'u16'], ['bodyHash', 32], ['bodyLength', 'u64'], ['headHash', 32], ['time', 'i64'], ['channel', 32]],
};
const kinds = { grant: 1, channel: 2, receipt: 3, attest: 4 };
const widths = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8 };

/** encode is the body of a frame or a signed body. It throws when a field breaks its limit. */
export function encode(name, message) {
  const m = name in kinds ? { version: 1, kind: kinds[name], ...message } : message;
  const parts = [];
  for (const [field, kind, limit] of layouts[name]) write(parts, `${name} ${field}`, kind, limit, m[field]);
  return concat(...parts);
}

/** frame is a whole frame: type, length and body. */
export function frame(name, message) {
  const body = encode(name, message);
  if (body.length > maxFrame) throw fault(`${name} is too long`);
  return concat([types[name], body.length >> 16, (body.length >> 8) & 255, body.length & 255], body);
}

/** unframe splits a whole frame into its name, undefined for one we do not know, and its body. */
export function unframe(bytes) {
  if (bytes.length < 4 || ((bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) !== bytes.length - 4) throw fault('not one whole frame');
  return { name: names.get(bytes[0]), body: bytes.subarray(4) };
}

/** decode reads what encode wrote. It throws when bytes are missing, left over or beyond a limit. */
export function decode(name, bytes) {
  const r = { bytes, at: 0, name };
  const m = {};
  for (const [field, kind, limit] of layouts[name]) m[field] = read(r, kind, limit);
  if (r.at !== bytes.length) throw fault(`${name} has trailing bytes`);
  if (name in kinds && (m.version !== 1 || m.kind !== kinds[name])) throw fault(`${name} is of another version or type`);
  return m;
}

function uint(width, value) {
  const out = new Uint8Array(width);
  let n = BigInt.asUintN(64, BigInt(value));
  if (width < 8 && n >> BigInt(8 * width)) throw fault('a number does not fit its field');
  for (let i = width; i-- > 0; n >>= 8n) out[i] = Number(n & 255n);
  return out;
}

function write(parts, what, kind, limit, v) {
  const counted = (width, n) => {
    if (n > limit) throw fault(`${what} is beyond its limit`);
    parts.push(uint(width, n));
  };
  if (typeof kind === 'number') {
    if (v.length !== kind) throw fault(`${what} has ${v.length} bytes`);
    parts.push(v);
  } else if (kind in widths) {
    parts.push(uint(widths[kind], v));
  } else if (kind === 'rest') {
    if (v.length > limit) throw fault(`${what} is beyond its limit`);
    parts.push(v);
  } else if (kind === 'tallies') {
    counted(2, v.length);
    v.forEach((t, i) => {
      if (i > 0 && compare(v[i - 1].grant, t.grant) >= 0) throw fault(`${what} out of order`);
      parts.push(t.grant, uint(8, t.up), uint(8, t.down), uint(4, t.streams));
    });
  } else if (kind.startsWith('urls')) {
    counted(kind === 'urls8' ? 1 : 2, v.length);
    for (const url of v) write(parts, what, 'str16', 2048, url);
  } else {
    const b = kind.startsWith('str') ? utf8(v) : v;
    counted(kind === 'str8' ? 1 : 2, b.length);
    parts.push(b);
  }
}

function take(r, n) {
  if (r.at + n > r.bytes.length) throw fault(`${r.name} ends early`);
  return r.bytes.slice(r.at, (r.at += n));
}

function number(r, kind) {
  const bytes = take(r, widths[kind]);
  const n = bytes.reduce((n, b) => (n << 8n) | BigInt(b), 0n);
  if (kind === 'i64') return BigInt.asIntN(64, n);
  return kind === 'u64' ? n : Number(n);
}

function read(r, kind, limit) {
  const counted = (width, each) => {
    const n = number(r, width === 1 ? 'u8' : 'u16');
    if (n > limit) throw fault(`${r.name} is beyond a limit`);
    if (r.at + n * each > r.bytes.length) throw fault(`${r.name} ends early`);
    return n;
  };
  if (typeof kind === 'number') return take(r, kind);
  if (kind in widths) return number(r, kind);
  if (kind === 'rest') {
    if (r.bytes.length - r.at > limit) throw fault(`${r.name} is beyond a limit`);
    return take(r, r.bytes.length - r.at);
  }
  if (kind === 'tallies') {
    const tallies = Array.from({ length: counted(2, 36) }, () => ({ grant: take(r, 16), up: number(r, 'u64'), down: number(r, 'u64'), streams: number(r, 'u32') }));
    if (tallies.some((t, i) => i > 0 && compare(tallies[i - 1].grant, t.grant) >= 0)) throw fault(`${r.name} has tallies out of order`);
    return tallies;
  }
  if (kind.startsWith('urls')) return Array.from({ length: counted(kind === 'urls8' ? 1 : 2, 2) }, () => read(r, 'str16', 2048));
  const bytes = take(r, counted(kind === 'str8' ? 1 : 2, 1));
  return kind.startsWith('str') ? text(bytes) : bytes;
}
