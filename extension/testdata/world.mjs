// What the extension's tests share: the network's vectors, and the keys in them.

import { readFileSync } from 'node:fs';
import { concat, unhex } from '../bytes.js';
import { wrap } from '../keys.js';

export const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url)));

const pkcs8 = unhex('302e020100300506032b657004220420'); // the head of an Ed25519 private key (RFC 8410)

/** keyOf is a key of the vectors, as the browser would hold it. */
export async function keyOf(name) {
  const { seed, id } = vectors.keys[name];
  const privateKey = await crypto.subtle.importKey('pkcs8', concat(pkcs8, unhex(seed)), { name: 'Ed25519' }, false, ['sign']);
  const publicKey = await crypto.subtle.importKey('raw', unhex(id), { name: 'Ed25519' }, true, ['verify']);
  return wrap({ privateKey, publicKey });
}

/** memory is chrome.storage.local without a disk. */
export function memory(initial = {}) {
  const data = structuredClone(initial);
  return {
    data,
    async get(defaults) {
      return Object.fromEntries(Object.entries(defaults).map(([k, v]) => [k, structuredClone(data[k] ?? v)]));
    },
    async set(values) {
      Object.assign(data, structuredClone(values));
    },
    async remove(keys) {
      for (const k of [keys].flat()) delete data[k];
    },
  };
}
