// Keys and signatures. The node's identity is an Ed25519 key that the browser keeps and shows to nobody, this code
// included; the keys of channels are made anew for each session and never stored, so that nobody can sign on an old
// channel after a restart.

import { concat, sha256, utf8 } from './bytes.js';

const algorithm = { name: 'Ed25519' };

/** newKey makes a key that can sign and cannot be read. */
export async function newKey() {
  return wrap(await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']));
}

/** loadIdentity is this browser's key, made at the first call. */
export async function loadIdentity() {
  const db = await request(indexedDB.open('sward', 1), (open) => {
    open.onupgradeneeded = () => open.result.createObjectStore('keys');
  });
  try {
    const stored = await request(db.transaction('keys').objectStore('keys').get('identity'));
    if (stored) return await wrap(stored);
    const pair = await crypto.subtle.generateKey(algorithm, false, ['sign', 'verify']);
    await request(db.transaction('keys', 'readwrite').objectStore('keys').add(pair, 'identity'));
    return await wrap(pair);
  } finally {
    db.close();
  }
}

function request(r, prepare = () => {}) {
  prepare(r);
  return new Promise((resolve, reject) => {
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error);
  });
}

/** wrap gives a key pair its public key as bytes. */
export async function wrap({ privateKey, publicKey }) {
  return { privateKey, id: new Uint8Array(await crypto.subtle.exportKey('raw', publicKey)) };
}

/** input is what a signature is over (PROTOCOL.md §8). */
export function input(network, type, body) {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, body.length);
  return concat(utf8(`sward/v1/${network}/${type}\0`), length, body);
}

/** messageID names a signed body. */
export const messageID = (network, type, body) => sha256(input(network, type, body));

/** sign is key's signature over body, 64 bytes. */
export async function sign(key, network, type, body) {
  return new Uint8Array(await crypto.subtle.sign(algorithm, key.privateKey, input(network, type, body)));
}

/** verify says whether sig is the signature of the key id. A key that is none verifies nothing. */
export async function verify(id, network, type, body, sig) {
  try {
    const key = await crypto.subtle.importKey('raw', id, algorithm, false, ['verify']);
    return await crypto.subtle.verify(algorithm, key, sig, input(network, type, body));
  } catch {
    return false;
  }
}
