// The node: the service worker of the extension. It connects only when the owner has agreed, has given the browser's
// permission to fetch, has an invitation, and has not paused; it keeps one session up while that is so, and tells the
// popup how it goes. Nothing that it needs is kept in memory only, but for the keys of channels, which must not last.

import { Caps, period } from './caps.js';
import { agree, agreed, textHash } from './consent.js';
import { Crawler } from './crawl.js';
import { hex, peerID } from './bytes.js';
import { loadIdentity } from './keys.js';
import { parseInvitation } from './invitation.js';
import { run } from './session.js';

const wakeEvery = 0.5; // minutes: the shortest that browsers allow, for when they have stopped the worker
const firstWait = 500; // ms before another try, doubled each time
const lastWait = 30_000;
const steady = 60_000; // ms after which a session counts as a good one
const agentRule = 1; // id of the rule about request headers

const store = chrome.storage.local;
const caps = new Caps(store);
const crawler = new Crawler({ caps });
const consentText = fetch(chrome.runtime.getURL('consent.txt')).then((r) => r.arrayBuffer()).then((b) => new Uint8Array(b));

let running = null; // AbortController of the worker's loop
let live = { connected: false, problem: '' };

/** able is what the node needs, or null with what is missing. */
async function able() {
  const s = await store.get({ consent: null, invitation: '', paused: false });
  if (!(await agreed(s.consent, await consentText, chrome.runtime.getManifest()))) return { missing: 'consent' };
  if (!s.invitation) return { missing: 'invitation' };
  if (!(await chrome.permissions.contains({ origins: chrome.runtime.getManifest().optional_host_permissions }))) return { missing: 'permission' };
  if (s.paused) return { missing: 'paused' };
  return { terms: parseInvitation(s.invitation) };
}

/** settle starts or stops the node, as the owner's word has it now. */
async function settle() {
  const { terms, missing } = await able();
  if (missing) {
    running?.abort();
    running = null;
    live = { connected: false, problem: '' };
  } else if (!running) {
    const mine = (running = new AbortController());
    keep(terms, mine.signal).finally(() => {
      if (running === mine) running = null;
    });
  }
}

// keep holds one session after another, with growing pauses between those that fail.
async function keep(terms, signal) {
  const identity = await loadIdentity();
  const consent = await textHash(await consentText);
  for (let pause = firstWait; !signal.aborted; pause = Math.min(2 * pause, lastWait)) {
    const began = Date.now();
    try {
      await run({ ...terms, identity, consent, caps, crawler, signal, tell, prepare });
    } catch (err) {
      if (!signal.aborted) live.problem = err.detail || err.message;
    }
    if (Date.now() - began > steady) pause = firstWait;
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause * (0.5 + Math.random() / 2)));
  }
}

// tell hears how a session goes. What was signed is kept per channel, because each starts at zero.
async function tell(event) {
  if ('connected' in event) live = { connected: event.connected, problem: event.connected ? '' : live.problem };
  if (!event.channel) return;
  const { month } = period(new Date());
  const { signed } = await store.get({ signed: {} });
  const now = signed.month === month ? signed : { month, total: 0 };
  const name = hex(event.channel);
  const before = now.channel === name ? now.bytes : 0;
  await store.set({ signed: { month, total: now.total + event.signed - before, channel: name, bytes: event.signed } });
}

// prepare makes requests carry the crawler's name, not the browser's: robots.txt was asked under that name. fetch
// itself may not set it. Cookies and the browser's other hints go.
async function prepare(batch) {
  await chrome.declarativeNetRequest.updateSessionRules({
    removeRuleIds: [agentRule],
    addRules: [{
      id: agentRule,
      action: {
        type: 'modifyHeaders',
        requestHeaders: [
          { header: 'user-agent', operation: 'set', value: batch.agent || 'sward-crawler' },
          ...['cookie', 'origin', 'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform'].map((header) => ({ header, operation: 'remove' })),
        ],
      },
      condition: { initiatorDomains: [chrome.runtime.id], tabIds: [-1], resourceTypes: ['xmlhttprequest'] },
    }],
  });
}

// What the popup may ask. Anything else is ignored.
const requests = {
  async state() {
    const { missing } = await able();
    const { caps: limits, volume } = await caps.read();
    const { signed } = await store.get({ signed: {} });
    const identity = await loadIdentity();
    return {
      missing: missing ?? '', ...live, caps: limits, today: volume.dayUsed, thisMonth: volume.monthUsed,
      signed: signed.month === period(new Date()).month ? signed.total : 0, id: peerID(identity.id),
    };
  },
  async agree({ typed, invitation }) {
    parseInvitation(invitation);
    await store.set({ consent: await agree(typed, await consentText, chrome.runtime.getManifest()), invitation, paused: false });
  },
  async caps({ day, month }) {
    if (![day, month].every((n) => Number.isSafeInteger(n) && n >= 0)) throw new Error('A cap is a number of bytes; 0 is none.');
    await store.set({ caps: { day, month } });
  },
  async pause() {
    await store.set({ paused: true });
  },
  async resume() {
    await store.set({ paused: false });
  },
  async withdraw() {
    await store.remove(['consent', 'invitation']);
    await chrome.permissions.remove({ origins: chrome.runtime.getManifest().optional_host_permissions });
  },
};

chrome.runtime.onMessage.addListener((message, sender, answer) => {
  const mine = sender.id === chrome.runtime.id && sender.url?.startsWith(chrome.runtime.getURL('popup.html'));
  if (!mine || !Object.hasOwn(requests, message?.ask)) return false; // pages and other extensions get no answer
  requests[message.ask](message)
    .then(async (result) => {
      if (message.ask !== 'state') await settle();
      answer({ result });
    })
    .catch((err) => answer({ error: err.message }));
  return true; // the answer comes later
});
chrome.permissions.onRemoved.addListener(settle);
chrome.permissions.onAdded.addListener(settle);
chrome.alarms.onAlarm.addListener(settle);
chrome.runtime.onStartup.addListener(settle);
chrome.alarms.create('wake', { periodInMinutes: wakeEvery });
settle();
