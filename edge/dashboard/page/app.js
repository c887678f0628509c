// The pages work without this. It signs in with the code of the address, keeps the live parts up to date, and closes what
// was opened when one clicks elsewhere.

// A code in the fragment: no request carries it, and it leaves the address before anything else happens.
const code = new URLSearchParams(location.hash.slice(1)).get('code');
if (code) {
  history.replaceState(null, '', location.pathname);
  const form = document.getElementById('login');
  if (form) {
    form.elements.code.value = code;
    form.requestSubmit();
  }
}

// The words of the agreement wake the button; the agent compares them itself.
for (const field of document.querySelectorAll('[data-phrase]')) {
  const button = field.form.querySelector('button');
  const compare = () => { button.disabled = field.value.trim().toLowerCase() !== field.dataset.phrase.toLowerCase(); };
  field.addEventListener('input', compare);
  compare();
}

for (const select of document.querySelectorAll('[data-submit]')) select.addEventListener('change', () => select.form.submit());

const lives = new Map([...document.querySelectorAll('[data-live]')].map((e) => [e.dataset.live, e]));
const waiting = new Map(); // part → HTML that came while the owner was using the part
const lost = document.getElementById('lost');
let source = null;

// busy parts are not replaced under the owner's hand.
const busy = (part) => part.contains(document.activeElement) || part.querySelector('details[open]') !== null;

function put(name, html) {
  const part = lives.get(name);
  if (!part) return;
  if (busy(part)) {
    waiting.set(name, html);
    return;
  }
  waiting.delete(name);
  part.innerHTML = html; // made and escaped by this machine's agent, as the page itself was
}

function listen() {
  if (source || document.hidden || !document.body.dataset.page) return;
  source = new EventSource('/events?page=' + encodeURIComponent(document.body.dataset.page) + location.search.replace('?', '&'));
  source.onopen = () => { lost.hidden = true; };
  source.onmessage = (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) put(name, html);
  };
  source.onerror = () => {
    lost.hidden = false;
    if (source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(listen, 5000);
    }
  };
}

// A page that nobody sees costs nothing.
document.addEventListener('visibilitychange', () => {
  if (document.hidden && source) {
    source.close();
    source = null;
  } else {
    listen();
  }
});
addEventListener('pagehide', () => source?.close());

const catchUp = () => setTimeout(() => { for (const [name, html] of waiting) put(name, html); }, 100);
document.addEventListener('focusout', catchUp);
document.addEventListener('toggle', catchUp, true);
document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of document.querySelectorAll('details.menu[open]')) {
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});

listen();
