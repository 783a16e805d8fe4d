// Keep a comma or a full stop with the formula before it; browsers may break the line between the two.
document.addEventListener("DOMContentLoaded", () => {
  for (const formula of document.querySelectorAll("span.math")) {
    const next = formula.nextSibling
    const marks = next?.nodeType === Node.TEXT_NODE && next.data.match(/^[.,;:!?)\]’”]+/)
    if (!marks) continue
    const pair = document.createElement("span")
    pair.className = "formula-and-mark"
    formula.before(pair)
    next.data = next.data.slice(marks[0].length)
    pair.append(formula, marks[0])
  }
})

// Names that assistive technology reads aloud; the theme leaves some out, or gives others than those it shows.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll(".bd-sidenav summary")) {
    const chapter = summary.closest("li").querySelector("a").textContent.trim()
    summary.setAttribute("aria-label", `Below ${chapter}`)
  }
  for (const named of document.querySelectorAll(".search-button__button, .cell summary")) named.removeAttribute("aria-label")
  for (const button of document.querySelectorAll(".theme-switch-button")) {
    button.setAttribute("aria-label", "Colours: Light, Dark or System Settings")
  }
  for (const list of document.querySelectorAll(".citation-list")) list.removeAttribute("role")
})
