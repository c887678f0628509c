// The owner's word. It is given by typing a phrase under the text, and holds for that text and for the permissions
// that the extension had: when either changes, the node is off until it is given again (attack M10).

import { hex, sha256 } from './bytes.js';

/** phrase is what an owner types. It cannot be pressed by accident. */
export const phrase = 'I agree';

/** textHash is the SHA-256 of the text's bytes: what travels in Hello and in every channel. */
export const textHash = (bytes) => sha256(bytes);

const permissionsOf = (manifest) => JSON.stringify([manifest.permissions, manifest.optional_host_permissions, manifest.host_permissions ?? []]);

/** agree is the record of an agreement. It throws unless the phrase was typed. */
export async function agree(typed, textBytes, manifest, now = new Date()) {
  if (typed.trim() !== phrase) throw new Error(`To agree, type: ${phrase}`);
  return { hash: hex(await textHash(textBytes)), permissions: permissionsOf(manifest), when: now.toISOString() };
}

/** agreed says whether a record holds for the current text and permissions. */
export async function agreed(record, textBytes, manifest) {
  return Boolean(record) && record.hash === hex(await textHash(textBytes)) && record.permissions === permissionsOf(manifest);
}
