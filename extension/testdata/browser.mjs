// A browser's surroundings for node.js under Node: enough of chrome, indexedDB and fetch for the extension's own
// worker to run unchanged. The environment says where the network is; what the
// popup would show goes to standard output.
//
//   INVITATION  as an owner would paste it        HOSTS  {"name": "host:port on this machine"}, reached by TLS
//   CA          file with the root to trust

import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { memory } from './world.mjs';

const root = new URL('../', import.meta.url);
const { INVITATION, CA, HOSTS } = process.env;
const hosts = JSON.parse(HOSTS);
const manifest = JSON.parse(readFileSync(new URL('manifest.json', root)));
const heard = [];
const event = { addListener: () => {} };

globalThis.chrome = {
  runtime: {
    id: 'test', getURL: (path) => new URL(path, root).href, getManifest: () => manifest,
    onMessage: { addListener: (f) => heard.push(f) }, onStartup: event,
  },
  storage: { local: memory() },
  permissions: { contains: async () => true, remove: async () => true, onAdded: event, onRemoved: event },
  alarms: { create: () => {}, onAlarm: event },
  declarativeNetRequest: { updateSessionRules: async ({ addRules }) => (agent = addRules[0].action.requestHeaders[0].value) },
};
let agent = '';

globalThis.fetch = async (address, options = {}) => {
  const url = new URL(address);
  if (url.protocol === 'file:') return new Response(readFileSync(url));
  const at = hosts[url.hostname];
  if (!at || url.protocol !== 'https:') throw new TypeError(`fetch failed: ${url.hostname}`);
  const [host, port] = at.split(':');
  return new Promise((resolve, reject) => {
    const headers = { ...options.headers, host: url.hostname, 'user-agent': agent };
    const ask = request({ host, port, path: url.pathname + url.search, headers, servername: url.hostname, ca: readFileSync(CA), signal: options.signal, agent: false }, (answer) => {
      const none = [204, 304].includes(answer.statusCode);
      resolve(new Response(none ? null : Readable.toWeb(answer), { status: answer.statusCode, statusText: answer.statusMessage, headers: answer.headers }));
    });
    ask.on('error', (err) => reject(options.signal?.aborted ? options.signal.reason : new TypeError('fetch failed', { cause: err })));
    ask.end();
  });
};

// One store is all that keys.js uses, and one request is like another.
const keys = new Map();
const done = (result) => {
  const r = { result };
  queueMicrotask(() => {
    r.onupgradeneeded?.();
    r.onsuccess();
  });
  return r;
};
const objectStore = { get: (k) => done(keys.get(k)), add: (v, k) => done(keys.set(k, v)) };
globalThis.indexedDB = { open: () => done({ createObjectStore: () => {}, transaction: () => ({ objectStore: () => objectStore }), close: () => {} }) };

const popup = { id: 'test', url: new URL('popup.html', root).href };
const ask = (message, sender = popup) => new Promise((resolve) => heard[0](message, sender, resolve) || resolve({ ignored: true }));

await import('../node.js');
for (const stranger of [{ id: 'test', url: 'https://example.org/popup.html' }, { id: 'other', url: popup.url }]) {
  if (!(await ask({ ask: 'agree', typed: 'I agree', invitation: INVITATION }, stranger)).ignored) throw new Error('a stranger was heard');
}
for (const message of [{ ask: 'constructor' }, {}, null]) if (!(await ask(message)).ignored) throw new Error('an unknown request was heard');
const before = await ask({ ask: 'state' });
if (before.result?.missing !== 'consent') throw new Error('without consent: ' + JSON.stringify(before));
const agreed = await ask({ ask: 'agree', typed: 'I agree', invitation: INVITATION });
if (agreed.error) throw new Error(agreed.error);

// What comes in is what the owner clicks: one request a line.
createInterface({ input: process.stdin }).on('line', (line) => ask({ ask: line }));

for (let told = ''; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
  const { result } = await ask({ ask: 'state' });
  const line = JSON.stringify({ id: result.id, connected: result.connected, problem: result.problem, today: result.today, signed: result.signed });
  if (line !== told) console.log((told = line));
}
