// The hub's promises to pay (PROTOCOL.md §8.1). A node works only on a grant that its hub has signed for its relay, and
// stops at the grant's limit by itself: beyond it nobody pays.

import { equal, hex } from './bytes.js';
import { verify } from './keys.js';
import { WireError, decode } from './wire.js';

const grantSize = 198; // bytes of the body; the signature follows
const maxSkew = 5 * 60 * 1000; // ms
const maxLife = 24 * 3600 * 1000; // ms
const maxGrants = 1024; // a channel has no more
const regrantWait = 12_000; // ms that a stream at the limit waits for a later version

const invalid = (what) => new WireError('grant_invalid', what);

/** Grants are those that one relay has brought in one session. */
export class Grants {
  #terms;
  #byID = new Map();

  /** terms: network, hub and relay (keys), and now in ms. */
  constructor(terms) {
    this.#terms = { now: Date.now, ...terms };
  }

  /** accept checks a signed grant and enters it, or its later version. It throws grant_invalid. */
  async accept(document) {
    const { network, hub, relay, now } = this.#terms;
    if (document.length !== grantSize + 64) throw invalid('the grant has another length');
    const body = document.subarray(0, grantSize);
    const g = decode('grant', body);
    if (!equal(g.issuer, hub)) throw invalid('the grant is of another hub');
    if (!equal(g.relay, relay)) throw invalid('the grant is for another relay');
    if (now() < Number(g.issued) - maxSkew || now() >= Number(g.notAfter) || g.notAfter - g.issued > BigInt(maxLife)) throw invalid('the grant is not good now');
    if (!(await verify(hub, network, 'grant', body, document.subarray(grantSize)))) throw invalid('the hub has not signed the grant');
    const name = hex(g.id);
    let grant = this.#byID.get(name);
    if (!grant) {
      if (this.#byID.size >= maxGrants) throw new WireError('stream_limit', 'too many grants');
      grant = new Grant(g.id);
      this.#byID.set(name, grant);
    }
    grant.raise(Number(g.limit), Number(g.notAfter));
    return grant;
  }
}

class Grant {
  #limit = 0;
  #notAfter = 0;
  #used = 0;
  #waiting = new Set();

  constructor(id) {
    this.id = id;
  }

  raise(limit, notAfter) {
    if (limit < this.#limit || notAfter < this.#notAfter) return; // an earlier version, late
    this.#limit = limit;
    this.#notAfter = notAfter;
    for (const wake of this.#waiting) wake();
  }

  /** reserve takes n bytes, and waits for a later version of the grant when they are beyond its limit. */
  async reserve(n) {
    const deadline = Date.now() + regrantWait;
    while (this.#used + n > this.#limit) {
      const left = deadline - Date.now();
      if (left <= 0) throw new WireError('over_limit', 'the grant is used up');
      await new Promise((resolve) => {
        const timer = setTimeout(done, left);
        const waiting = this.#waiting;
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
    this.#used += n;
  }
}
