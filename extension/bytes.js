// Bytes and their spellings: hexadecimal, and the peer IDs by which people know a key.

export const utf8 = (text) => new TextEncoder().encode(text);
export const text = (bytes) => new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
export const unhex = (s) => Uint8Array.from(s.match(/../g) ?? [], (b) => parseInt(b, 16));
export const random = (n) => crypto.getRandomValues(new Uint8Array(n));
export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}

/** compare orders two byte strings of one length; 0 when they are equal. */
export function compare(a, b) {
  if (a.length !== b.length) return a.length - b.length;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}

export const equal = (a, b) => compare(a, b) === 0;

const alphabet = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'; // base58btc
const peerPrefix = unhex('002408011220'); // identity multihash of a protobuf with an Ed25519 key (libp2p peer-ids)

/** peerID writes an Ed25519 public key as a libp2p peer ID, 12D3KooW…. */
export function peerID(key) {
  let n = BigInt('0x' + hex(concat(peerPrefix, key)));
  let out = '';
  for (; n > 0n; n /= 58n) out = alphabet[Number(n % 58n)] + out;
  return '1' + out; // the prefix begins with one zero byte
}

/** parsePeerID is the key of a peer ID. It throws on anything else. */
export function parsePeerID(s) {
  let n = 0n;
  for (const c of s.slice(0, 64)) {
    const digit = alphabet.indexOf(c);
    if (digit < 0) throw new Error('not a peer ID: ' + s.slice(0, 64));
    n = n * 58n + BigInt(digit);
  }
  const key = unhex(n.toString(16).padStart(76, '0')).slice(peerPrefix.length);
  if (key.length !== 32 || peerID(key) !== s) throw new Error('not a peer ID: ' + s.slice(0, 64));
  return key;
}
