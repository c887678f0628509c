// One session with a relay, from Hello to the end: a channel is opened, batches are served, bytes are counted and
// signed for.

import { concat, random, sha256, utf8 } from './bytes.js';
import { Account, acceptChannel, classExtension, exporterLabel } from './channel.js';
import { Grants } from './grants.js';
import { newKey, sign } from './keys.js';
import { Line } from './line.js';
import { WireError, codes, frame } from './wire.js';

const agent = 'sward-extension/0.1';
const apps = 2; // crawl
const appCrawl = 2;
const statusEvery = 20_000; // ms: a browser stops a worker whose WebSocket is silent for 30 s
const countEvery = 2_000; // ms
const answerWait = 15_000; // ms for a frame that the relay owes
const sessionLife = 45 * 60_000; // ms: a channel lasts an hour, and its keys with it
const lastReceipt = 1_000; // ms that a session which ends leaves for the last receipt

/** policy is the digest of what every node of this version allows; the owner's caps travel as room. */
export const policy = () => sha256(utf8('sward-extension/1: crawl; https by name; robots.txt; no cookies'));

/** run serves one session until it ends, and throws why. terms: url, relay, hub, network, identity, consent, caps,
 *  crawler, signal, and tell(event) for whoever watches. */
export async function run(terms) {
  const { line, nonce } = await Line.open(terms);
  const stop = () => line.close(new WireError('draining', 'the owner has stopped this node'));
  terms.signal.addEventListener('abort', stop, { once: true });
  const timers = [];
  try {
    terms.signal.throwIfAborted();
    const rules = await policy();
    line.send('hello', {
      version: 1, role: 1, apps, streams: 1, clock: BigInt(Date.now()), network: terms.network, agent, consent: terms.consent, policy: rules,
    });
    await expect(line, 'welcome');
    const account = await openChannel(line, nonce, terms, rules);
    const session = { line, account, terms, grants: new Grants(terms), rules, busy: false, leaving: null };
    const count = guarded(line, () => {
      const m = account.count();
      if (m) line.send('count', m);
    });
    let due = false;
    account.due = () => {
      if (due) return; // one is on its way
      due = true;
      queueMicrotask(() => {
        due = false;
        count();
      });
    };
    timers.push(setInterval(count, countEvery), setInterval(guarded(line, () => status(session)), statusEvery));
    timers.push(setTimeout(guarded(line, () => {
      line.send('bye', { code: codes.draining, detail: 'a new session follows' });
      leave(session, new WireError('draining', 'a new session follows'));
    }), sessionLife));
    await status(session);
    terms.tell({ connected: true });
    serveStreams(session).catch((err) => line.close(err));
    await hear(session);
  } catch (err) {
    line.close(err);
    throw err;
  } finally {
    terms.signal.removeEventListener('abort', stop);
    for (const t of timers) clearInterval(t);
    terms.tell({ connected: false });
  }
}

// guarded is work for a timer: what fails in it ends the line.
const guarded = (line, work) => async () => {
  try {
    await work();
  } catch (err) {
    line.close(err);
  }
};

// expect is the frame called name, which the relay owes now.
async function expect(line, name) {
  const timer = setTimeout(() => line.close(new WireError('protocol_error', `no ${name} came`)), answerWait);
  try {
    for (;;) {
      const got = await line.control.next();
      if (got.name === 'bye') throw refusal(got.message);
      if (got.name === name) return got.message;
    }
  } finally {
    clearTimeout(timer);
  }
}

const refusal = ({ code, detail }) => new WireError(Object.keys(codes).find((name) => codes[name] === code) ?? 'draining', detail);

async function openChannel(line, nonce, terms, rules) {
  const key = await newKey();
  const want = {
    issuer: terms.hub, relay: terms.relay, edge: terms.identity.id, edgeKey: key.id, edgeNonce: random(16), policy: rules, consent: terms.consent,
  };
  want.exporter = await exporter(nonce, terms.relay, terms.identity.id, want.edgeNonce);
  line.send('channel-ask', { channelKey: key.id, nonce: want.edgeNonce, policy: rules, consent: terms.consent, class: classExtension });
  const { channel, id, sig } = await acceptChannel(await expect(line, 'channel-offer'), want, terms.network, terms.identity, Date.now());
  line.send('channel-accept', { channel: id, sig });
  return new Account({ network: terms.network, channel, id, key });
}

/** exporter is the value that binds a channel to a session (PROTOCOL.md §12). */
export async function exporter(nonce, relay, node, context) {
  return sha256(concat(await sha256(concat(nonce, relay, node)), utf8(exporterLabel), context));
}

async function status({ line, terms, rules }) {
  const room = await terms.caps.room();
  line.send('status', { flags: 0, room: BigInt(room), policy: rules, apps });
}

// leave ends a session after Bye: at once, or when the running stream has ended.
function leave(session, err) {
  session.leaving ??= err;
  if (!session.busy) session.line.close(session.leaving);
}

// hear acts on the relay's control frames, one after another.
async function hear(session) {
  const { line, account, grants, terms } = session;
  for (;;) {
    const { name, message } = await line.control.next();
    if (name === 'receipt-offer') {
      line.send('receipt-sign', await account.cosign(message));
      terms.tell({ channel: account.id, signed: account.signed });
    } else if (name === 'regrant') {
      await grants.accept(message.grant).catch(() => {}); // a bad one harms only the stream that waits for it
    } else if (name === 'done') {
      account.peerDone(message);
      account.due();
    } else if (name === 'bye') {
      leave(session, refusal(message));
    }
  }
}

// serveStreams serves one stream after another: a browser fetches for one batch at a time.
async function serveStreams(session) {
  for (;;) {
    const stream = await session.line.accepted.next();
    session.busy = true;
    try {
      await serve(session, stream);
      stream.finish();
    } catch (err) {
      stream.cut(err);
    }
    if (session.leaving) await new Promise((resolve) => setTimeout(resolve, lastReceipt));
    session.busy = false;
    if (session.leaving) throw session.leaving;
  }
}

async function serve(session, stream) {
  const { line, account, grants, terms } = session;
  const { message: open } = await stream.next('open');
  const edge = terms.identity.id;
  let flow, grant;
  try {
    if (session.leaving) throw new WireError('draining', 'this session is ending');
    if (open.hops > 10) throw new WireError('loop');
    if (open.app !== appCrawl) throw new WireError('app_denied', 'a browser only fetches pages');
    grant = await grants.accept(open.grant);
    flow = account.open(stream.id, grant.id);
  } catch (err) {
    stream.send(frame('opened', { code: codes[err.code] ?? codes.internal, edge, detail: err.detail ?? '' }));
    return;
  }
  try {
    stream.send(frame('opened', { code: codes.ok, edge, detail: '' }));
    const batch = await stream.next('batch');
    await grant.reserve(batch.size);
    account.moved(flow, 'up', batch.size);
    await terms.prepare?.(batch.message);
    await terms.crawler.run(batch.message, {
      channel: account.id,
      signal: stream.signal,
      attest: (body) => sign(terms.identity, terms.network, 'fetch', body),
      send: async (bytes) => {
        await account.allow(bytes.length);
        await grant.reserve(bytes.length);
        stream.send(bytes);
        account.moved(flow, 'down', bytes.length);
      },
    });
  } finally {
    line.send('done', account.close(flow));
    account.due();
    await status(session);
  }
}

