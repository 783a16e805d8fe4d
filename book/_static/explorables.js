// Small figures to play with. No dependency, no network; each works with a mouse and with the keyboard.
// A page asks for one with <figure class="explorable" data-explorable="triangle"></figure>.

// ---- three players: the core, the Shapley value and the nucleolus ----
// A game is {total, pairs: [v(12), v(13), v(23)]}; a single player saves nothing.
const PAIRS = [[0, 1], [0, 2], [1, 2]]
const COALITIONS = [[0], [1], [2], ...PAIRS]
const worth = (game, S) => (S.length === 1 ? 0 : game.pairs[PAIRS.findIndex(pair => pair.join() === S.join())])

function shapley({ total, pairs: [v12, v13, v23] }) {
  const mine = (a, b, other) => (a + b) / 6 + (total - other) / 3 // second after either partner; last after both
  return [mine(v12, v13, v23), mine(v12, v23, v13), mine(v13, v23, v12)]
}

// The core is empty exactly if one pair, or half of every pair, asks for more than there is.
function coreIsEmpty({ total, pairs }) {
  return Math.max(...pairs) > total + 1e-9 || pairs.reduce((a, b) => a + b) / 2 > total + 1e-9
}

// Corners (x1, x2, t) of a polytope given by rows [a1, a2, a3, b] for a . (x1, x2, t) >= b.
function corners(rows) {
  const det = (a, b, c) => a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
  const found = []
  for (let i = 0; i < rows.length; i++) for (let j = 0; j < i; j++) for (let k = 0; k < j; k++) {
    const three = [rows[i], rows[j], rows[k]]
    const whole = det(...three)
    if (Math.abs(whole) < 1e-9) continue
    const point = [0, 1, 2].map(column => det(...three.map(row => row.slice(0, 3).map((a, c) => (c === column ? row[3] : a)))) / whole)
    if (rows.every(row => row[0] * point[0] + row[1] * point[1] + row[2] * point[2] >= row[3] - 1e-9)) found.push(point)
  }
  return found
}

// Make the largest excess small, fix every coalition that stays at it wherever that is done, and go on with the rest.
function nucleolus(game) {
  const paid = S => [0, 1].map(i => S.includes(i) - S.includes(2)) // x(S) is this times (x1, x2), and the total if 3 is in S
  const apart = S => (S.includes(2) ? game.total : 0)
  const settled = new Map()
  for (;;) {
    const rows = [[0], [1], [2]].map(S => [...paid(S), 0, -apart(S)])
    for (const S of COALITIONS) {
      const [a, b] = paid(S)
      const need = worth(game, S) - apart(S)
      if (!settled.has(S)) rows.push([a, b, 1, need])
      else rows.push([a, b, 0, need - settled.get(S)], [-a, -b, 0, settled.get(S) - need])
    }
    const all = corners(rows)
    const least = Math.min(...all.map(point => point[2]))
    const best = all.filter(point => point[2] < least + 1e-9)
    const [x1, x2] = best[0]
    if (best.every(point => Math.hypot(point[0] - x1, point[1] - x2) < 1e-9)) return [x1, x2, game.total - x1 - x2]
    for (const S of COALITIONS) {
      const excess = point => worth(game, S) - apart(S) - paid(S)[0] * point[0] - paid(S)[1] * point[1]
      if (!settled.has(S) && best.every(point => excess(point) > least - 1e-9)) settled.set(S, least)
    }
  }
}

const SVG = "http://www.w3.org/2000/svg"
const make = (name, attributes = {}, text = "") => {
  const plain = ["div", "label", "input", "output", "p", "figcaption"].includes(name)
  const node = plain ? document.createElement(name) : document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value)
  node.textContent = text
  return node
}
const shown = x => String(Math.round(x * 100) / 100)
const split = x => `${shown(x[0])}, ${shown(x[1])} and ${shown(x[2])}`

function triangle(figure) {
  const game = { total: 12, pairs: [9, 6, 3] }
  let mine = [4, 4, 4]
  const corner = [[40, 300], [380, 300], [210, 6]]
  const place = x => [0, 1].map(axis => x.reduce((sum, share, i) => sum + (share / game.total) * corner[i][axis], 0))
  const svg = make("svg", { viewBox: "0 0 420 330", role: "group", "aria-label": "All splits of 12 euros, as a triangle" })
  const outline = make("polygon", { class: "outline", points: corner.map(String).join(" ") })
  const core = make("polygon", { class: "core" })
  const points = { Shapley: make("circle", { class: "shapley", r: 7 }), nucleolus: make("rect", { class: "nucleolus", width: 12, height: 12 }) }
  const handle = make("circle", { class: "mine", r: 9, tabindex: 0, role: "slider", "aria-label": "your split", "aria-valuemin": 0, "aria-valuemax": 12 })
  const names = ["all to 1", "all to 2", "all to 3"].map((name, i) => make("text", { x: [8, 412, 300][i], y: [322, 322, 16][i], "text-anchor": ["start", "end", "middle"][i] }, name))
  svg.append(outline, core, ...names, ...Object.values(points), handle)
  const controls = make("div", { class: "controls" })
  PAIRS.forEach(([i, j], k) => {
    const label = make("label", {}, `taxis ${i + 1} and ${j + 1} save `)
    const input = make("input", { type: "range", min: 0, max: 15, step: 0.5, value: game.pairs[k] })
    const value = make("output", {}, shown(game.pairs[k]))
    input.addEventListener("input", () => {
      game.pairs[k] = Number(input.value)
      value.textContent = shown(game.pairs[k])
      draw()
    })
    label.append(value, input)
    controls.append(label)
  })
  const words = make("p", { class: "words", "aria-live": "polite" })
  figure.append(svg, controls, words, make("figcaption", {}, "The three together save 12. Move a pair's slider, or your split: the open circle, with the mouse or the arrow keys."))

  function draw() {
    const most = [game.total - game.pairs[2], game.total - game.pairs[1], game.total - game.pairs[0]] // what the others' pair allows
    const rows = [[1, 0, 0, 0], [0, 1, 0, 0], [-1, -1, 0, -game.total], [-1, 0, 0, -most[0]], [0, -1, 0, -most[1]], [1, 1, 0, game.total - most[2]]]
    const inside = corners([...rows, [0, 0, 1, 0], [0, 0, -1, 0]]).map(([a, b]) => place([a, b, game.total - a - b]))
    const middle = [0, 1].map(axis => inside.reduce((sum, point) => sum + point[axis], 0) / (inside.length || 1))
    inside.sort((p, q) => Math.atan2(p[1] - middle[1], p[0] - middle[0]) - Math.atan2(q[1] - middle[1], q[0] - middle[0]))
    core.setAttribute("points", inside.map(String).join(" "))
    const fair = shapley(game)
    const calm = nucleolus(game)
    const [sx, sy] = place(fair)
    const [nx, ny] = place(calm)
    const [mx, my] = place(mine)
    for (const [node, values] of [[points.Shapley, { cx: sx, cy: sy }], [points.nucleolus, { x: nx - 6, y: ny - 6, transform: `rotate(45 ${nx} ${ny})` }], [handle, { cx: mx, cy: my }]])
      for (const [key, value] of Object.entries(values)) node.setAttribute(key, value)
    handle.setAttribute("aria-valuenow", mine[0])
    handle.setAttribute("aria-valuetext", split(mine))
    const against = PAIRS.filter((pair, k) => mine[pair[0]] + mine[pair[1]] < game.pairs[k] - 1e-9)
    const objections = against.map(([i, j]) => `{${i + 1}, ${j + 1}}`).join(" and ")
    words.textContent =
      `The core is ${coreIsEmpty(game) ? "empty" : "not empty"}. Shapley value (disc): ${split(fair)}. Nucleolus (diamond): ${split(calm)}. ` +
      `Your split: ${split(mine)}; ${objections ? `${objections} would rather leave` : "no pair would rather leave"}.`
  }

  function move(x) {
    mine = x.map(share => Math.round(share * 4) / 4)
    mine[2] = game.total - mine[0] - mine[1]
    if (Math.min(...mine) >= 0) return draw()
    const most = mine.indexOf(Math.max(...mine)) // a step over an edge is taken back from whoever has most
    const short = mine.reduce((sum, share) => sum + Math.min(share, 0), 0)
    mine = mine.map((share, i) => (i === most ? share + short : Math.max(share, 0)))
    draw()
  }
  const STEPS = { ArrowLeft: [0.5, -0.5, 0], ArrowRight: [-0.5, 0.5, 0], ArrowUp: [-0.25, -0.25, 0.5], ArrowDown: [0.25, 0.25, -0.5] }
  handle.addEventListener("keydown", event => {
    const step = STEPS[event.key]
    if (!step) return
    event.preventDefault()
    const next = mine.map((share, i) => share + step[i])
    if (Math.min(...next) >= 0) move(next)
  })
  handle.addEventListener("pointerdown", event => handle.setPointerCapture(event.pointerId))
  handle.addEventListener("pointermove", event => {
    if (!handle.hasPointerCapture(event.pointerId)) return
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse())
    const third = (corner[0][1] - at.y) / (corner[0][1] - corner[2][1])
    const second = (at.x - corner[0][0]) / (corner[1][0] - corner[0][0]) - third / 2
    move([1 - second - third, second, third].map(share => share * game.total))
  })
  draw()
}

// ---- agents that know they are alone: when do they help each other? ----
function phase(figure) {
  const { levels, helped, habits } = window.PHASE
  const n = levels.length
  const size = 340 / n
  let row = Math.floor(n / 2)
  let column = Math.floor(n / 2)
  const svg = make("svg", { viewBox: "0 0 420 400", role: "img", "aria-label": "Map of how often known loners help, by the share of sure signals and the share of pairs alone" })
  const percent = x => `${Math.round(100 * x)} %`
  const shade = share => `color-mix(in srgb, #0072b2 ${Math.round(100 * share)}%, #f0e442)`
  levels.forEach((_, i) => levels.forEach((_, j) => {
    const cell = make("rect", { x: 60 + j * size, y: 10 + (n - 1 - i) * size, width: size, height: size })
    cell.style.fill = shade(helped[i][j])
    cell.addEventListener("click", () => { sliders[0].value = row = i; sliders[1].value = column = j; draw() })
    svg.append(cell)
  }))
  const frame = make("rect", { class: "frame", width: size, height: size })
  svg.append(frame, make("text", { x: 230, y: 385, "text-anchor": "middle" }, "share of pairs that are alone"),
    make("text", { x: -180, y: 40, transform: "rotate(-90)", "text-anchor": "middle" }, "share of signals that are sure"))
  for (const k of [0, n - 1]) svg.append(make("text", { x: 60 + (k + 0.5) * size, y: 367, "text-anchor": "middle" }, percent(levels[k])),
    make("text", { x: -10 - (n - k - 0.5) * size, y: 54, transform: "rotate(-90)", "text-anchor": "middle" }, percent(levels[k])))
  const controls = make("div", { class: "controls" })
  const sliders = ["sure signals", "pairs alone"].map(name => {
    const label = make("label", {}, `${name} `)
    const value = make("output")
    const input = make("input", { type: "range", min: 0, max: n - 1, step: 1, value: row })
    input.addEventListener("input", () => { row = Number(sliders[0].value); column = Number(sliders[1].value); draw() })
    label.append(value, input)
    controls.append(label)
    return input
  })
  const words = make("p", { class: "words", "aria-live": "polite" })
  figure.append(svg, controls, words, make("figcaption", {}, "Blue: agents that know they are alone help each other in every round; yellow: never. Each square is a run of the table model, averaged over its last 500 updates."))
  function draw() {
    frame.setAttribute("x", 60 + column * size)
    frame.setAttribute("y", 10 + (n - 1 - row) * size)
    ;[row, column].forEach((k, i) => {
      controls.querySelectorAll("output")[i].textContent = percent(levels[k])
      sliders[i].setAttribute("aria-valuetext", percent(levels[k]))
    })
    const [start, ...after] = habits[row][column].map(percent)
    words.textContent = `They help each other in ${percent(helped[row][column])} of the rounds. Help at the start ${start}; ` +
      `after both helped ${after[0]}, after only oneself ${after[1]}, after only the other ${after[2]}, after nobody ${after[3]}.`
  }
  draw()
}

const EXPLORABLES = { triangle, phase }
window.explorables = { shapley, nucleolus, coreIsEmpty } // for the checks
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.explorable")) EXPLORABLES[figure.dataset.explorable](figure)
})
