// The page: asks for the key, then shows the list of jobs (#/) or one job (#/job/…), and keeps either fresh.
import * as api from '/console/api.js'
import { JobView } from '/console/job.js'
import { JobsView } from '/console/jobs.js'
import { count, make } from '/console/view.js'

const brisk = 1000   // ms between two looks at jobs that run
const calm = 5000    // at jobs that have ended
const seldom = 10    // looks between two at the credits

const main = document.getElementById('main')
let view, timer, running

function enter(trouble) {
  leaveView()
  document.getElementById('account').hidden = true
  const input = make('input', { type: 'password', name: 'key', autocomplete: 'off', required: true, maxlength: 256 })
  const form = make('form', {
    onsubmit: (e) => {
      e.preventDefault()
      api.key.set(input.value.trim())
      route()
    },
  }, make('label', {}, 'Your API key', input), make('button', { class: 'main' }, 'Open'),
  make('p', { class: 'soft' }, 'It stays in this tab and is sent to this host only.'))
  main.replaceChildren(make('section', { class: 'card login' }, make('h2', {}, 'Watch your jobs'), form))
  tell(trouble)
  input.focus()
}

// tell says what went wrong, or that nothing does any more.
function tell(trouble) {
  const place = document.getElementById('trouble')
  place.hidden = !trouble
  place.textContent = trouble ?? ''
}

function leaveView() {
  clearTimeout(timer)
  running?.abort()
  view = undefined
}

function route() {
  if (!api.key.get()) return enter()
  leaveView()
  document.getElementById('account').hidden = false
  const [, id] = location.hash.match(/^#\/job\/([\w-]{1,64})$/) ?? []
  view = id ? new JobView(id, tell) : new JobsView(tell)
  main.replaceChildren(view.root)
  keep(view, 0)
}

// keep reads again and again while its view is the one that is shown.
async function keep(mine, looks) {
  running = new AbortController()
  const { signal } = running
  try {
    if (looks % seldom === 0) document.getElementById('credits').textContent = count(Math.floor(await api.credits(signal)))
    await mine.refresh(signal)
    if (view === mine) tell()
  } catch (e) {
    if (view !== mine) return
    if (e.status === 401) {
      api.key.forget()
      return enter('This key is not known here.')
    }
    tell(e.status ? e.message : 'The API cannot be reached. This page tries again.')
  }
  if (view === mine) timer = setTimeout(() => keep(mine, looks + 1), mine.busy && !document.hidden ? brisk : calm)
}

document.getElementById('leave').addEventListener('click', () => {
  api.key.forget()
  location.hash = '#/'
  enter()
})
addEventListener('hashchange', route)
document.addEventListener('visibilitychange', () => {
  if (document.hidden || !view) return
  clearTimeout(timer)
  keep(view, 1)
})
route()
