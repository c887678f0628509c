// The owner's caps: how many bytes a day and a month. Volume is leased before any byte flows and the lease is on disk
// first, so that neither a crash nor a stopped worker can pass a cap; what a lease did not use is given back.
// The arithmetic is that of policy/volume.go, and its vectors are shared.

import { WireError } from './wire.js';

/** unlimited stands for the room when nothing is capped. */
export const unlimited = Number.MAX_SAFE_INTEGER;

/** period names a moment's day and month where the owner lives. */
export function period(now) {
  const two = (n) => String(n).padStart(2, '0');
  const month = `${now.getFullYear()}-${two(now.getMonth() + 1)}`;
  return { day: `${month}-${two(now.getDate())}`, month };
}

/** at moves a volume to a period. Periods only go forward: a clock that steps back finds the later one still open. */
export function at(volume, { day, month }) {
  const v = { day: '', month: '', dayUsed: 0, monthUsed: 0, ...volume };
  if (day > v.day) Object.assign(v, { day, dayUsed: 0 });
  if (month > v.month) Object.assign(v, { month, monthUsed: 0 });
  return v;
}

const left = (limit, used) => (limit === 0 ? unlimited : Math.max(limit - used, 0));

/** room is how many bytes may still be leased. */
export function room(caps, volume, when) {
  const v = at(volume, when);
  return Math.min(left(caps.day, v.dayUsed), left(caps.month, v.monthUsed));
}

/** lease takes up to want bytes: the volume to store first, and how many it got. It throws cap_day or cap_month. */
export function lease(caps, volume, when, want) {
  const v = at(volume, when);
  if (want <= 0) return { volume: v, got: 0 };
  if (left(caps.month, v.monthUsed) === 0) throw new WireError('cap_month', 'this month is used up');
  if (left(caps.day, v.dayUsed) === 0) throw new WireError('cap_day', 'this day is used up');
  const got = Math.min(want, room(caps, v, when));
  v.dayUsed += got;
  v.monthUsed += got;
  return { volume: v, got };
}

/** giveBack returns what a lease did not use, to the periods that it was taken in. */
export function giveBack(volume, leased, unused) {
  const v = { ...volume };
  if (v.day === leased.day) v.dayUsed = Math.max(v.dayUsed - Math.max(unused, 0), 0);
  if (v.month === leased.month) v.monthUsed = Math.max(v.monthUsed - Math.max(unused, 0), 0);
  return v;
}

/** Caps keeps the volume in store (chrome.storage.local, or anything with its get and set). */
export class Caps {
  #store;
  #now;
  #turn = Promise.resolve(); // one change after another

  constructor(store, now = () => new Date()) {
    this.#store = store;
    this.#now = now;
  }

  async read() {
    const { caps, volume } = await this.#store.get({ caps: { day: 256 << 20, month: 4 * 2 ** 30 }, volume: {} });
    return { caps, volume: at(volume, period(this.#now())) };
  }

  async room() {
    const { caps, volume } = await this.read();
    return room(caps, volume, period(this.#now()));
  }

  /** take leases up to want bytes. What it returns is for give. */
  take(want) {
    return this.#next(async () => {
      const { caps, volume } = await this.read();
      const taken = lease(caps, volume, period(this.#now()), want);
      await this.#store.set({ volume: taken.volume });
      return taken;
    });
  }

  /** give returns what was not used of a lease. */
  give(taken, unused) {
    return this.#next(async () => {
      const { volume } = await this.read();
      await this.#store.set({ volume: giveBack(volume, taken.volume, unused) });
    });
  }

  #next(change) {
    const result = this.#turn.then(change);
    this.#turn = result.catch(() => {}); // the caller has the error
    return result;
  }
}
