/* A map of frames that shows the face of the one it is asked about; all of it comes with the page. */
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const node = (tag, given, ...inside) => {
    const made = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const element = (tag, given, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const SIZE = 420, EDGE = 14, R = 4.5;
  const OUTLINES = {
    s: "M-1,-1H1V1H-1Z", "^": "M0,-1.2L1.1,0.9H-1.1Z", v: "M0,1.2L1.1,-0.9H-1.1Z",
    D: "M0,-1.3L1.3,0L0,1.3L-1.3,0Z", o: "M-1,0A1,1 0 1 0 1,0A1,1 0 1 0 -1,0Z",
  };
  const shape = (marker, x, y, color, r) => node("path", {
    d: OUTLINES[marker] ?? OUTLINES.o, fill: color, "fill-opacity": 0.8,
    transform: `translate(${x} ${y}) scale(${r})` });

  const build = (box) => {
    const { classes, columns, points, sheet } =
      JSON.parse(box.querySelector('script[type="application/json"]').textContent);
    const faces = box.querySelector("template").innerHTML, live = box.querySelector("[data-live]");
    const names = Object.keys(classes);
    const order = points.map((_, i) => i)
      .sort((a, b) => names.indexOf(points[a][2]) - names.indexOf(points[b][2]) || a - b);
    const across = (x) => EDGE + x * (SIZE - 2 * EDGE), up = (y) => SIZE - across(y);
    const map = node("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img",
      "aria-label": `t-SNE map of ${points.length} frames of the classes ${names.join(", ")}`,
      style: "flex:1 1 18rem;min-width:0;max-width:30rem;border:1px solid currentColor" });
    for (const [x, y, name] of points) map.append(shape(classes[name][1], across(x), up(y), classes[name][0], R));
    const ring = node("circle", { r: 10, fill: "none", stroke: "currentColor", "stroke-width": 2.5 });
    map.append(ring);
    const face = element("div", { role: "img", style: "width:168px;height:168px;" +
      `background-image:url(${faces});background-size:${168 * sheet[0]}px ${168 * sheet[1]}px` });
    const said = element("p", { "aria-live": "polite", style: "margin:0.3rem 0" });
    const slider = element("input", { type: "range", min: 0, max: points.length - 1, step: 1,
      value: 0, style: "width:168px" });
    const legend = element("p", { style: "margin:0.3rem 0" }, ...names.flatMap((name) => [
      (() => { const [color, marker] = classes[name];
        const sign = node("svg", { viewBox: "0 0 14 14", width: 14, height: 14, "aria-hidden": "true" });
        sign.append(shape(marker, 7, 7, color, 4.8)); return sign; })(), ` ${name}  `]));
    live.append(element("div", { style: "display:flex;flex-wrap:wrap;gap:1rem" }, map,
      element("div", { style: "width:180px" }, face, said,
        element("label", {}, "Frame, class by class ", slider), legend)));
    const show = (place) => {
      const index = order[place], [x, y, name, about] = points[index];
      ring.setAttribute("cx", across(x));
      ring.setAttribute("cy", up(y));
      const left = index % columns, top = Math.floor(index / columns);
      face.style.backgroundPosition = `-${168 * left}px -${168 * top}px`;
      face.setAttribute("aria-label", `Face: ${name}, ${about}`);
      slider.setAttribute("aria-valuetext", `${name}, ${about}`);
      said.textContent = `${name}: ${about}`;
    };
    slider.addEventListener("input", () => show(Number(slider.value)));
    map.addEventListener("pointermove", (event) => {
      const frame = map.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width * SIZE;
      const y = (event.clientY - frame.top) / frame.height * SIZE;
      const far = (i) => Math.hypot(across(points[i][0]) - x, up(points[i][1]) - y);
      const place = order.reduce((best, i, at) => far(i) < far(order[best]) ? at : best, 0);
      if (far(order[place]) < 16 && String(place) !== slider.value) {
        slider.value = place;
        show(place);
      }
    });
    show(0);
    box.querySelector("[data-still]").hidden = true;
    live.hidden = false;
  };
  for (const box of document.querySelectorAll("[data-mcx-map]:not([data-ready])")) {
    box.dataset.ready = "";
    build(box);
  }
})();
