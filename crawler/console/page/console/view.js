// Small hands for making and changing elements. Text only ever becomes text: nothing here takes HTML.

// make builds an element: make('a', { href, class }, 'text', child, …).
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== undefined && value !== false && value !== null) element.setAttribute(name, value)
  }
  element.append(...children.filter((c) => c !== undefined && c !== null && c !== false))
  return element
}

// show replaces what is in an element, unless it is the same: a list that is read again every second stays still.
export function show(element, ...children) {
  const made = make('div', {}, ...children)
  if (element.childNodes.length === made.childNodes.length && [...made.childNodes].every((c, i) => c.isEqualNode(element.childNodes[i]))) return
  element.replaceChildren(...made.childNodes)
}

export const count = (n) => (n ?? 0).toLocaleString('en')

export function ago(then, now = Date.now()) {
  const s = Math.max(0, Math.round((now - new Date(then)) / 1000))
  if (s < 60) return `${s} s ago`
  if (s < 3600) return `${Math.floor(s / 60)} min ago`
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`
  return `${Math.floor(s / 86_400)} d ago`
}

export function lasted(from, to) {
  const s = Math.max(0, Math.round((new Date(to) - new Date(from)) / 1000))
  if (s < 60) return `${s} s`
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

// bar is a progress element. Without an end in sight it is one that only moves.
export const bar = (value, max, label) => make('progress', { value: max > 0 ? value : undefined, max: max > 0 ? max : undefined, 'aria-label': label })
