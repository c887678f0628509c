// How fast a job goes: from how many pages it had at which moment, as far back as this page has watched.

const window = 10_000 // ms over which the present speed is taken
const longest = 300   // points of a curve; one a second

export class Rate {
  points = [] // { at, pages }

  note(pages, at = performance.now()) {
    this.points.push({ at, pages })
    if (this.points.length > longest) this.points.shift()
  }

  // now is pages a second over the last window.
  now() {
    const end = this.points.at(-1)
    if (!end) return 0
    const start = this.points.find((p) => end.at - p.at <= window)
    return start === end ? 0 : Math.max(0, (end.pages - start.pages) * 1000 / (end.at - start.at))
  }

  // curve is pages a second at each point.
  curve() {
    return this.points.slice(1).map((p, i) => Math.max(0, (p.pages - this.points[i].pages) * 1000 / Math.max(1, p.at - this.points[i].at)))
  }
}

// spark draws a curve.
export function spark(curve) {
  const space = 'http://www.w3.org/2000/svg'
  const svg = document.createElementNS(space, 'svg')
  const [width, height] = [300, 50]
  for (const [name, value] of Object.entries({ class: 'spark', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': 'pages a second' })) {
    svg.setAttribute(name, value)
  }
  const most = Math.max(1, ...curve)
  const step = width / Math.max(1, curve.length - 1)
  const points = curve.map((v, i) => `${(i * step).toFixed(1)},${(height - 2 - (v / most) * (height - 4)).toFixed(1)}`)
  if (points.length < 2) return svg
  for (const [kind, d] of [['area', `M0,${height} L${points.join(' L')} L${width},${height} Z`], ['curve', `M${points.join(' L')}`]]) {
    const path = document.createElementNS(space, 'path')
    path.setAttribute('class', kind)
    path.setAttribute('d', d)
    svg.append(path)
  }
  return svg
}
