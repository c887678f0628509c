// The popup shows what the node does and takes the owner's word. It asks the worker for everything.

const $ = (id) => document.getElementById(id);
const origins = chrome.runtime.getManifest().optional_host_permissions;
const refreshEvery = 2000; // ms

const words = {
  consent: 'not lent', invitation: 'not lent', permission: 'needs permission', paused: 'paused', '': 'connecting…',
};

async function ask(what, more = {}) {
  const { result, error } = await chrome.runtime.sendMessage({ ask: what, ...more });
  if (error) throw new Error(error);
  return result;
}

const size = (n) => (n < 2 ** 20 ? `${(n / 1024).toFixed(0)} KiB` : n < 2 ** 30 ? `${(n / 2 ** 20).toFixed(1)} MiB` : `${(n / 2 ** 30).toFixed(2)} GiB`);
const of = (used, cap) => (cap ? `${size(used)} of ${size(cap)}` : size(used));

async function show() {
  const s = await ask('state');
  const asks = s.missing === 'consent' || s.missing === 'invitation';
  $('consent').hidden = !asks;
  $('node').hidden = asks;
  $('status').textContent = s.connected ? 'connected' : words[s.missing];
  $('status').className = s.connected ? 'on' : '';
  if (asks) return;
  $('today').textContent = of(s.today, s.caps.day);
  $('month').textContent = of(s.thisMonth, s.caps.month);
  $('signed').textContent = `${size(s.signed)} this month`;
  $('used').value = s.caps.day ? Math.min(s.today / s.caps.day, 1) : 0;
  $('pause').textContent = s.missing === 'permission' ? 'Give permission' : s.missing === 'paused' ? 'Resume' : 'Pause';
  $('pause').dataset.ask = s.missing === 'permission' ? 'permission' : s.missing === 'paused' ? 'resume' : 'pause';
  $('id').textContent = `This node is ${s.id}`;
  for (const name of ['day', 'month']) {
    const field = $('caps').elements[name];
    if (document.activeElement !== field && !field.dataset.changed) field.value = Math.round(s.caps[name] / 2 ** 20);
  }
  $('error').textContent = s.connected || s.missing ? '' : s.problem;
}

// act runs what the owner asked for, and shows what became of it.
function act(work) {
  return async (event) => {
    event.preventDefault();
    $('error').textContent = '';
    try {
      await work(event);
      await show();
    } catch (err) {
      $('error').textContent = err.message;
    }
  };
}

$('consent').addEventListener('submit', act(async ({ target }) => {
  const { typed, invitation } = target.elements;
  // The browser asks the owner as well. It allows the question only in a click, and may close this popup for it: the
  // owner's word is on its way by then, and the worker goes on when the permission is there.
  const permitted = chrome.permissions.request({ origins });
  await ask('agree', { typed: typed.value, invitation: invitation.value });
  if (!(await permitted)) throw new Error('Without the permission to fetch pages there is nothing to lend.');
}));
$('caps').addEventListener('input', ({ target }) => (target.dataset.changed = '1'));
$('caps').addEventListener('submit', act(async ({ target }) => {
  const { day, month } = target.elements;
  await ask('caps', { day: Math.round(day.value * 2 ** 20), month: Math.round(month.value * 2 ** 20) });
  delete day.dataset.changed;
  delete month.dataset.changed;
}));
$('pause').addEventListener('click', act(async ({ target }) => {
  if (target.dataset.ask === 'permission') await chrome.permissions.request({ origins });
  else await ask(target.dataset.ask);
}));
$('withdraw').addEventListener('click', act(() => ask('withdraw')));

$('text').textContent = await (await fetch('consent.txt')).text();
await show().catch((err) => ($('error').textContent = err.message));
setInterval(() => show().catch(() => {}), refreshEvery); // a worker that is just starting answers the next time
