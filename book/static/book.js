// What a page does with wide things: say that they scroll, and let the keyboard reach them.
"use strict";

const WIDE =
  ".pst-scrollable-table-container, .results-scroll, div.cell_output > .output, figure.wide, " +
  "div.cell_output figure, pre";

function hintBefore(box) {
  let hint = box.previousElementSibling;
  if (!hint?.classList.contains("scroll-hint")) {
    hint = document.createElement("p");
    hint.className = "scroll-hint";
    hint.textContent = "Wider than this window: scroll sideways \u2192";
    box.before(hint);
  }
  return hint;
}

function mark(box) {
  const wide = box.scrollWidth > box.clientWidth + 1;
  if (wide) box.tabIndex = 0;
  // One hint for each table or wide picture, at the innermost box that holds it.
  const table = box.querySelector("table, :scope > img, :scope > a > img");
  if (table && table.closest(WIDE) === box) hintBefore(box).hidden = !wide;
  // And before what was printed, and commands to copy; code that is read shows where it goes on.
  if (box.matches(".cell_output pre, .highlight-bash pre")) {
    hintBefore(box.closest("div[class*='highlight-']") ?? box).hidden = !wide;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const boxes = new ResizeObserver((seen) => seen.forEach((one) => mark(one.target)));
  document.querySelectorAll(WIDE).forEach((box) => {
    boxes.observe(box);
    mark(box);
  });
});
// Late fonts and formulas change widths inside boxes that keep their own.
window.addEventListener("load", () => document.querySelectorAll(WIDE).forEach(mark));
