// Where a node may go: https, by name, port 443, and no name that means something only at home. The relay has looked
// at the addresses before; a browser shows none, so this is all that can be checked here (attacks M05, M06).

import { WireError } from './wire.js';

// The last labels of names that exist only inside a home or a company, as in policy/host.go.
const local = new Set(['local', 'localdomain', 'lan', 'home', 'corp', 'mail', 'internal', 'intranet', 'private', 'arpa', 'onion', 'alt', 'invalid']);

/** checkURL is the URL to fetch. It throws a WireError with the rule that forbids it. */
export function checkURL(raw) {
  let url;
  try {
    url = new URL(raw);
  } catch {
    throw new WireError('bad_host', 'not a URL');
  }
  if (url.protocol === 'http:') throw new WireError('plain_http_denied', 'browsers fetch by https only');
  if (url.protocol !== 'https:' || url.username || url.password) throw new WireError('bad_host', 'not a URL to fetch');
  if (url.port) throw new WireError('port_not_allowed', 'browsers fetch from port 443 only');
  checkName(url.hostname);
  return url;
}

// The URL parser has turned every spelling of an IPv4 address into dotted decimals, and full-width forms into ASCII.
function checkName(name) {
  if (name.startsWith('[') || /^[0-9.]+$/.test(name)) throw new WireError('app_denied', 'browsers fetch from names only');
  if (name === 'localhost' || name.endsWith('.localhost')) throw new WireError('dest_loopback', 'this computer');
  const labels = name.split('.');
  if (labels.some((l) => !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(l)) || name.length > 253) throw new WireError('bad_host', 'not a host name');
  if (labels.length < 2 || local.has(labels.at(-1))) throw new WireError('dest_name', 'a local name');
}
