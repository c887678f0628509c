// robots.txt (RFC 9309), as crawler/fetch reads it: the longest matching rule decides, Allow wins a tie, groups of one
// agent count as one. Lines that mean nothing are skipped: there is no malformed file.

import { utf8 } from './bytes.js';

const maxRobots = 500 << 10; // bytes that are read (RFC 9309 §2.5)
const maxDelay = 24 * 3600; // seconds of a Crawl-delay that are believed
const maxRule = 200; // bytes of the rule on the record

const keys = new Map(Object.entries({
  'user-agent': 'agent', useragent: 'agent', 'user agent': 'agent', allow: 'allow', disallow: 'disallow', dissallow: 'disallow',
  dissalow: 'disallow', disalow: 'disallow', diasllow: 'disallow', disallaw: 'disallow', 'crawl-delay': 'delay', crawldelay: 'delay',
}));

/** parse reads a file's bytes. */
export function parse(bytes) {
  let b = bytes.subarray(0, maxRobots);
  if (bytes.length > maxRobots) b = b.subarray(0, Math.max(b.lastIndexOf(10), b.lastIndexOf(13)) + 1); // half a line is another rule
  const groups = []; // with rules
  const notes = []; // with delays, which do not end a run of agents
  let ruled = true;
  let noted = true;
  for (const raw of new TextDecoder().decode(b).split(/[\r\n]+/)) {
    const line = raw.split('#')[0].trim();
    const [key, value] = record(line);
    switch (keys.get(key.toLowerCase())) {
      case 'agent': {
        if (ruled) groups.push({ agents: [], rules: [] });
        if (noted) notes.push({ agents: [], delay: 0 });
        ruled = noted = false;
        const token = value === '*' || /^\*[ \t]/.test(value) ? '*' : productToken(value);
        groups.at(-1).agents.push(token);
        notes.at(-1).agents.push(token);
        break;
      }
      case 'allow':
      case 'disallow':
        if (groups.length === 0) break;
        ruled = noted = true;
        if (value) groups.at(-1).rules.push({ allow: keys.get(key.toLowerCase()) === 'allow', ...pattern(value), line: clip(line) });
        break;
      case 'delay': {
        if (notes.length === 0) break;
        const seconds = Number(value);
        if (value && seconds > 0) notes.at(-1).delay = Math.max(notes.at(-1).delay, Math.min(seconds, maxDelay));
        noted = true;
      }
    }
  }
  return { groups, notes };
}

/** test says whether agent may fetch path, a path with its query, and which line decided. */
export function test(robots, agent, path) {
  if (path === '/robots.txt') return { allowed: true, rule: '' };
  const p = canonical(path || '/', false);
  let best = -1;
  let decided = { allowed: true, rule: '' };
  for (const group of groupsFor(robots, agent, robots.groups)) {
    for (const rule of group.rules) {
      const n = rule.text.length + (rule.anchored ? 1 : 0);
      if (n < best || (n === best && !rule.allow) || !matches(rule, p)) continue;
      best = n;
      decided = { allowed: rule.allow, rule: rule.line };
    }
  }
  return decided;
}

/** delay is the Crawl-delay for agent in seconds, 0 without one. */
export function delay(robots, agent) {
  return Math.max(0, ...groupsFor(robots, agent, robots.notes).map((g) => g.delay));
}

function groupsFor(robots, agent, groups) {
  let token = productToken(agent);
  if (!token || !robots.groups.some((g) => g.agents.includes(token))) token = '*';
  return groups.filter((g) => g.agents.includes(token));
}

const productToken = (agent) => /^[A-Za-z_-]*/.exec(agent)[0].toLowerCase();

function record(line) {
  const colon = line.indexOf(':');
  if (colon >= 0) return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  const words = line.split(/\s+/);
  return words.length === 2 ? words : ['', ''];
}

// clip bounds a rule in bytes of UTF-8 without leaving half a character.
const clip = (line) => new TextDecoder().decode(utf8(line).subarray(0, maxRule)).replace(/\uFFFD$/, '');

function pattern(value) {
  const anchored = value.endsWith('$');
  return { text: canonical(anchored ? value.slice(0, -1) : value, true), anchored };
}

// Taking each piece where it first occurs is enough, since "*" is the only wildcard: nothing backtracks.
function matches({ text, anchored }, path) {
  const parts = text.split('*');
  if (!path.startsWith(parts[0])) return false;
  let rest = path.slice(parts[0].length);
  if (parts.length === 1) return !anchored || rest === '';
  for (const piece of parts.slice(1, -1)) {
    const found = rest.indexOf(piece);
    if (found < 0) return false;
    rest = rest.slice(found + piece.length);
  }
  return anchored ? rest.endsWith(parts.at(-1)) : rest.includes(parts.at(-1));
}

// canonical gives one spelling to paths that mean the same (RFC 9309 §2.2.2). "*" stays in a pattern and is escaped in
// a path; what RFC 3986 §3.4 lets stand in a query is not escaped there.
function canonical(s, isPattern) {
  const b = utf8(s);
  let out = '';
  let inQuery = false;
  for (let i = 0; i < b.length; i++) {
    const c = String.fromCharCode(b[i]);
    const escape = c === '%' && /^[0-9A-Fa-f]{2}$/.test(String.fromCharCode(...b.subarray(i + 1, i + 3)));
    if (escape) {
      const octet = parseInt(String.fromCharCode(b[i + 1], b[i + 2]), 16);
      const plain = String.fromCharCode(octet);
      out += /[A-Za-z0-9\-._~]/.test(plain) || (inQuery && ':/?@'.includes(plain)) ? plain : percent(octet);
      i += 2;
    } else if ((c === '*' && isPattern) || /[A-Za-z0-9\-._~:/?#[\]@!&'()+,;=]/.test(c)) {
      inQuery ||= c === '?';
      out += c;
    } else {
      out += percent(b[i]);
    }
  }
  return out;
}

const percent = (octet) => '%' + octet.toString(16).toUpperCase().padStart(2, '0');
