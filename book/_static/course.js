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
