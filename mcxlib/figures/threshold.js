/* A threshold to move over histograms of scores; the numbers come with the page. */
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const svg = (tag, given, ...inside) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  };
  const element = (tag, given, ...inside) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
    node.append(...inside);
    return node;
  };
  const WIDE = 330, HIGH = 230, LEFT = 54, BELOW = 40, TOP = 20;
  const across = (x) => LEFT + x * (WIDE - LEFT - 12);
  const up = (y) => TOP + (1 - y) * (HIGH - TOP - BELOW);
  const words = (text, x, y, more = {}) =>
    svg("text", { x, y, "font-size": 12, fill: "currentColor", "text-anchor": "middle", ...more }, text);
  const frame = (label, horizontal, vertical, top) => {
    const panel = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": label,
      style: "width:100%;overflow:visible" });
    const grid = { stroke: "currentColor", "stroke-width": 0.8, "stroke-opacity": 0.6 };
    panel.append(svg("line", { x1: across(0), x2: across(1), y1: up(0), y2: up(0), ...grid }),
      svg("line", { x1: across(0), x2: across(0), y1: up(0), y2: up(1), ...grid }));
    for (const tick of [0, 0.5, 1]) {
      panel.append(words(String(tick), across(tick), up(0) + 15));
      const text = String(Math.round(tick * top * 100) / 100);
      panel.append(words(text, across(0) - 5, up(tick) + 4, { "text-anchor": "end" }));
    }
    panel.append(words(horizontal, across(0.5), HIGH - 8));
    panel.append(words(vertical, 0, 0, { transform: `translate(11 ${up(0.5)}) rotate(-90)` }));
    return panel;
  };
  const percent = (part, whole) => `${(100 * part / whole).toFixed(1)} %`;

  const build = (box) => {
    const about = JSON.parse(box.querySelector('script[type="application/json"]').textContent);
    const { thresholds, unit, colors, groups } = about;
    const names = Object.keys(groups), live = box.querySelector("[data-live]");
    const most = Math.max(...names.flatMap((n) => [...groups[n].real_bins, ...groups[n].fake_bins]));
    const select = element("select", {}, ...names.map((n) => element("option", { value: n }, n)));
    const slider = element("input", { type: "range", min: 0, max: thresholds.length - 1, step: 1,
      value: thresholds.indexOf(0.5), style: "width:min(24rem,100%);vertical-align:middle" });
    const said = element("p", { "aria-live": "polite" });
    const panels = element("div", { style: "display:grid;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr));gap:1rem" });
    live.append(
      element("p", {}, element("label", {}, "Real against ", select)),
      element("p", {}, element("label", {}, "Threshold, from 0 to 1 ", slider)), said, panels);

    let line, dot;
    const draw = () => {
      const group = groups[select.value], bins = group.real_bins.length;
      const hist = frame(`Histograms of the scores of real and fake ${unit}`, "score of fake",
        `share of ${unit}`, most);
      for (const kind of ["real", "fake"]) {
        group[`${kind}_bins`].forEach((share, i) => hist.append(svg("rect", {
          x: across(i / bins), width: across(1 / bins) - across(0), y: up(share / most),
          height: up(0) - up(share / most), fill: colors[kind], "fill-opacity": 0.55 })));
        const middle = across(kind === "real" ? 0.25 : 0.75);
        hist.append(svg("rect", { x: middle - 46, y: 0, width: 11, height: 11, fill: colors[kind] }),
          words(`${kind} (${group[kind]})`, middle + 4, 10));
      }
      line = svg("line", { y1: up(0), y2: up(1), stroke: "currentColor", "stroke-width": 2,
        "stroke-dasharray": "5 3" });
      hist.append(line);
      const roc = frame("ROC curve with the point of the threshold", "1 - specificity",
        "sensitivity", 1);
      roc.append(svg("line", { x1: across(0), y1: up(0), x2: across(1), y2: up(1),
        stroke: "currentColor", "stroke-opacity": 0.4, "stroke-dasharray": "2 3" }));
      const points = group.roc.map(([x, y]) => `${across(x)},${up(y)}`).join(" ");
      roc.append(svg("polyline", { points, fill: "none", stroke: "currentColor",
        "stroke-width": 1.8 }));
      dot = svg("circle", { r: 6, fill: colors.fake, stroke: "white", "stroke-width": 1.5 });
      roc.append(dot);
      panels.replaceChildren(hist, roc);
      move();
    };
    const move = () => {
      const group = groups[select.value], at = Number(slider.value), t = thresholds[at];
      const found = group.fake_above[at], passed = group.real - group.real_above[at];
      const bosc = 50 * (found / group.fake + passed / group.real);
      for (const end of ["x1", "x2"]) line.setAttribute(end, across(t));
      dot.setAttribute("cx", across(1 - passed / group.real));
      dot.setAttribute("cy", up(found / group.fake));
      slider.setAttribute("aria-valuetext", `${t}, BOSC ${bosc.toFixed(1)} percent`);
      said.replaceChildren(
        element("strong", {}, `Threshold ${t}: BOSC ${bosc.toFixed(1)} %`),
        `, sensitivity ${percent(found, group.fake)} (${found} of ${group.fake} fake ${unit} called ` +
        `fake), specificity ${percent(passed, group.real)} (${passed} of ${group.real} real ${unit} ` +
        `called real). AUC ${group.auc.toFixed(3)}, at every threshold the same.`);
    };
    select.addEventListener("change", draw);
    slider.addEventListener("input", move);
    draw();
    box.querySelector("[data-still]").hidden = true;
    live.hidden = false;
  };
  for (const box of document.querySelectorAll("[data-mcx-threshold]:not([data-ready])")) {
    box.dataset.ready = "";
    build(box);
  }
})();
