// An invitation names a network and the keys to trust in it, in one line that an operator gives out:
//
//   sward:main?hub=12D3KooW…&relay=12D3KooW…&at=wss://relay.example.net/v1/node

import { parsePeerID } from './bytes.js';

/** parseInvitation reads one. It throws a sentence for people. */
export function parseInvitation(line) {
  let url, at;
  try {
    url = new URL(line.trim());
    at = new URL(url.searchParams.get('at'));
  } catch {
    throw new Error('This is not an invitation. It begins with “sward:”.');
  }
  const network = url.pathname;
  if (url.protocol !== 'sward:' || !/^[a-z0-9.-]{1,32}$/.test(network)) throw new Error('This is not an invitation. It begins with “sward:”.');
  const here = at.hostname === 'localhost' || at.hostname === '127.0.0.1';
  if (at.protocol !== 'wss:' && !(at.protocol === 'ws:' && here)) throw new Error('The relay must be reached by wss.');
  return {
    network, url: at.href,
    hub: parsePeerID(url.searchParams.get('hub') ?? ''),
    relay: parsePeerID(url.searchParams.get('relay') ?? ''),
  };
}
