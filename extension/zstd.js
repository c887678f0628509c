// A zstd stream (RFC 8878) without compression: browsers have no encoder for it, and the frames of a page are zstd.

import { concat } from './bytes.js';
import { maxChunk } from './wire.js';

const blockHead = 3;
const frameHead = 9; // magic, descriptor and content size
const blockSize = maxChunk - blockHead - frameHead; // so that each piece fits a Body frame; the format allows 128 KiB

/** pieces yields the stream in pieces of at most maxChunk bytes. Nothing is the stream of an empty body. */
export function* pieces(body) {
  if (body.length === 0) return;
  const head = new Uint8Array(frameHead);
  const view = new DataView(head.buffer);
  view.setUint32(0, 0xfd2fb528, true);
  head[4] = (2 << 6) | (1 << 5); // content size in four bytes, single segment: the window is the content
  view.setUint32(5, body.length, true);
  for (let at = 0; at < body.length; at += blockSize) {
    const data = body.subarray(at, at + blockSize);
    const last = at + blockSize >= body.length ? 1 : 0;
    const n = (data.length << 3) | last; // type 0: raw
    const block = concat([n & 255, (n >> 8) & 255, n >> 16], data);
    yield at === 0 ? concat(head, block) : block;
  }
}
