"use strict";
// What every page has: nodes that depend on one another, drawn where the view says, to be chosen and stepped
// through. The script after this one has the model's own part:
// nSteps and step; current(), the nodes that the last step worked on, and refresh(); and data and grad, by node.

const model = JSON.parse(document.getElementById("model").textContent);
const nodes = model.nodes;
const view = model.view;
const root = model.root;
const byId = (id) => document.getElementById(id);

// for each node, the nodes that are computed from it, and as which operand
const users = nodes.map(() => []);
nodes.forEach((node, i) => (node.operands ?? []).forEach((operand, slot) => users[operand].push({ user: i, slot })));
let chosen = root;

// ------------------------------------------------------------------------------------------- numbers

const decode = (x) => (typeof x === "string" ? { inf: Infinity, "-inf": -Infinity }[x] ?? NaN : x);

function written(x) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "-∞";
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return x.toExponential(3).replace(/\.?0+e/, "e");
  return String(Number(x.toPrecision(size < 1e4 ? 4 : 7)));
}

// an operand in a formula
const factor = (x) => (x < 0 || Object.is(x, -0) ? `(${written(x)})` : written(x));

// ------------------------------------------------------------------------------------------- drawing

const svg = byId("graph");

function draw(name, attributes, parent, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}

const tips = draw("defs", {}, svg);
for (const id of ["tip", "tip-lit"]) {
  const marker = draw(
    "marker",
    { id, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 8, markerHeight: 8, orient: "auto", markerUnits: "userSpaceOnUse" },
    tips,
  );
  draw("path", { d: "M0 1L10 5L0 9z" }, marker);
}
view.clusters.forEach(({ title, at: [x, y, width, height] }) => {
  const inner = title.startsWith("neuron");
  const cluster = draw("g", { class: inner ? "cluster inner" : "cluster" }, svg);
  draw("rect", { x, y, width, height }, cluster);
  draw("text", { x: x + 8, y: y + 15 }, cluster, title);
});
// an edge stands for an operand of a node, for a weight, or for all that a node does to another
const edges = view.edges.map(({ head, slot, weight, tail, path }) => {
  const kind = slot === undefined ? "edge plain" : "edge";
  const line = draw("path", { d: path, class: kind }, svg);
  if (weight !== undefined && weight !== null) line.addEventListener("pointerdown", (event) => onGrab(event, weight));
  return { head, tail: tail ?? (head === undefined ? weight : nodes[head].operands[slot]), slot, weight, line, kind };
});
view.marks.forEach(({ circle, texts }) => {
  const mark = draw("g", { class: "mark" }, svg);
  if (circle) draw("circle", { cx: circle[0], cy: circle[1], r: circle[2] }, mark);
  texts.forEach(([kind, x, y, content]) => draw("text", { class: kind, x, y }, mark, content));
});
const edgeLabels = draw("g", { "aria-hidden": "true" }, svg);
const items = view.items.map((item) => {
  const { node: i, shape, at: [x, y, width, height] } = item;
  const kind = `node ${nodes[i].operands ? "computed" : nodes[i].free ? "free" : "constant"} ${shape}`;
  const g = draw("g", { class: kind, role: "button", tabindex: -1, id: `node${i}` }, svg);
  const outline =
    shape === "circle"
      ? draw("circle", { class: "shape", cx: x, cy: y, r: width / 2 }, g)
      : draw("rect", { class: "shape", x: x - width / 2, y: y - height / 2, width, height }, g);
  // the button's name is its text, and needs spaces between the words
  const text = ([name, left, top], content) => {
    g.append(" ");
    return draw("text", { class: name, x: left, y: top }, g, content);
  };
  for (const fixed of item.texts) text(fixed, fixed[3]);
  const numbers = item.numbers.map((place) => ({ text: text(place, ""), of: place[3], which: place[4], prefix: place[5] }));
  g.addEventListener("focus", () => select(i));
  g.addEventListener("keydown", (event) => onKey(event, i));
  g.addEventListener("pointerdown", (event) => onGrab(event, i));
  return { i, tint: item.tint, g, outline, kind, x, y, width, height, numbers };
});
const itemOf = new Map(items.map((item) => [item.i, item]));
const size = (x) => (Number.isFinite(x) ? Math.abs(x) : 0);

// ------------------------------------------------------------------------------------------- HTML

function make(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const link = (i) => make("button", { type: "button", onclick: () => go(i) }, nodes[i].name);

function table(caption, heads, rows, total) {
  const line = (cells, cell) =>
    make("tr", {}, ...cells.map((content, k) => make(cell, { className: k ? "number" : "" }, content)));
  const body = rows.map((cells) => line(cells, "td"));
  if (total) body.push(Object.assign(line(total, "td"), { className: "total" }));
  const head = line(heads, "th");
  for (const cell of head.children) cell.scope = "col";
  return make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
}

// a slider and a field for one number, around what it was at first
function numberControl(name, key, original, parent, read, write) {
  const reach = Math.max(2, 2 * Math.abs(original) || 0);
  const id = `${parent.id}${key}`;
  const slider = make("input", { type: "range", min: -reach, max: reach, step: "any", id });
  const number = make("input", { type: "number", step: "any" });
  number.setAttribute("aria-label", `${name}, number`);
  slider.addEventListener("input", () => write(Number(slider.value)));
  number.addEventListener("input", () => number.value !== "" && write(Number(number.value)));
  parent.append(make("div", { className: "leaf" }, make("label", { htmlFor: id }, name), slider, number));
  return {
    show() {
      slider.value = read();
      if (document.activeElement !== number) number.value = Number(read().toPrecision(4));
    },
  };
}

// where a number is that was dragged so many pixels to the right
const dragged = (from, dx) => Number((from + (dx / 150) * Math.max(1, Math.abs(from) || 0)).toPrecision(4));

function select(i) {
  if (i === chosen) return;
  chosen = i;
  refresh();
}

// choose a node, show it, and let the keyboard go on from it
function go(i) {
  select(i);
  const item = itemOf.get(i);
  if (!item) return byId("details").focus();
  item.g.focus({ preventScroll: true });
  bringIntoView(item);
}

// ------------------------------------------------------------------------------------------- moving about

let seen = { x: 0, y: 0, width: view.width, height: view.height };

function show(x, y, width, height) {
  seen = { x, y, width, height };
  svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
  if (MANY) onMove();
}

// Of many items only those in sight, and large enough to be read, have their numbers: text is what takes time.
const MANY = items.length > 150;
const LETTERS = 11; // units of the graph, as the style has them
const SMALLEST = 3; // pixels
const LEGIBLE = 6;
const READABLE = 7;
let onMove = () => {};

function sight() {
  const { unit, x, y, frame } = scale();
  svg.classList.toggle("far", MANY && LETTERS / unit < SMALLEST);
  const isOut = (item) =>
    LETTERS / unit < SMALLEST ||
    Math.abs(item.x - x - (unit * frame.width) / 2) > (unit * frame.width + item.width) / 2 ||
    Math.abs(item.y - y - (unit * frame.height) / 2) > (unit * frame.height + item.height) / 2;
  return MANY ? (item) => !isOut(item) : () => true;
}

const MARGIN = 12; // units around the graph

// how much of the window the buttons stand over, in pixels
const covered = (frame) => Math.max(0, byId("zoom").getBoundingClientRect().bottom - frame.top);

function fit() {
  const frame = svg.getBoundingClientRect();
  const unit = Math.max(view.width / frame.width, view.height / Math.max(frame.height - covered(frame), 1)) || 1;
  const top = MARGIN + covered(frame) * unit;
  show(-MARGIN, -top, view.width + 2 * MARGIN, view.height + top + MARGIN);
}

// The first view: the whole graph where its letters can just be read, else as much as can be read around the result.
let first = null;

function showResult() {
  fit();
  const { unit, frame } = scale();
  const result = itemOf.get(root);
  if (result && frame.width && LETTERS / unit < LEGIBLE) {
    const near = LETTERS / READABLE;
    const top = MARGIN + covered(frame) * near;
    const [width, height] = [frame.width * near, frame.height * near];
    const x = startAround(result.x, width, -MARGIN, view.width + MARGIN);
    show(x, startAround(result.y, height, -top, view.height + MARGIN), width, height);
  }
  first = seen;
}

// where a window on one side of the graph starts that has a place in its middle, but nothing beyond the graph
function startAround(place, length, low, high) {
  if (high - low < length) return (low + high - length) / 2;
  return Math.min(Math.max(place - length / 2, low), high - length);
}

addEventListener("resize", () => seen === first && showResult());

// how many units of the graph a pixel is, and where the graph starts in the window
function scale() {
  const frame = svg.getBoundingClientRect();
  const unit = Math.max(seen.width / frame.width, seen.height / frame.height);
  return { unit, x: seen.x + seen.width / 2 - (unit * frame.width) / 2, y: seen.y + seen.height / 2 - (unit * frame.height) / 2, frame };
}

function zoom(by, clientX, clientY) {
  const { unit, x, y, frame } = scale();
  const at = { x: x + unit * (clientX - frame.left), y: y + unit * (clientY - frame.top) };
  const width = Math.min(Math.max(seen.width / by, 100), 20 * view.width);
  const shrunk = width / seen.width;
  show(at.x + (seen.x - at.x) * shrunk, at.y + (seen.y - at.y) * shrunk, width, seen.height * shrunk);
}

function zoomMiddle(by) {
  const { frame } = scale();
  zoom(by, frame.left + frame.width / 2, frame.top + frame.height / 2);
}

function bringIntoView({ x, y, width, height }) {
  const outside = x - width < seen.x || x + width > seen.x + seen.width || y - height < seen.y || y + height > seen.y + seen.height;
  if (outside) show(x - seen.width / 2, y - seen.height / 2, seen.width, seen.height);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function onKey(event, i) {
  if (event.key === "+" || event.key === "-") {
    zoomMiddle(event.key === "+" ? 1.25 : 0.8);
  } else if (event.key === "Home") {
    go(root);
  } else if (event.key in ARROWS) {
    const next = neighbour(i, ARROWS[event.key]);
    if (next >= 0) go(next);
  } else {
    return;
  }
  event.preventDefault();
}

// the nearest node that way, first among those that an edge leads to
function neighbour(i, [dx, dy]) {
  const nearest = (candidates, narrow) => {
    let best = -1;
    let least = Infinity;
    for (const { i: k, ...item } of candidates) {
      const x = item.x - itemOf.get(i).x;
      const y = item.y - itemOf.get(i).y;
      const distance = Math.hypot(x, y);
      if (distance > 0 && x * dx + y * dy > narrow * distance && distance < least) [best, least] = [k, distance];
    }
    return best;
  };
  const around = [...(nodes[i].operands ?? []), ...users[i].map(({ user }) => user)];
  const linked = nearest(around.filter((k) => itemOf.has(k)).map((k) => itemOf.get(k)), 0.4);
  return linked >= 0 ? linked : nearest(items, 0.6);
}

let grabbed = null;
const fingers = new Map(); // where each pointer is that is down

function onGrab(event, i) {
  grabbed = { i, x: event.clientX, from: data[i] };
  select(i);
}

svg.addEventListener("pointerdown", (event) => {
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (fingers.size > 1) grabbed = { i: -1, pinch: true };
  grabbed ??= { i: -1, x: event.clientX, y: event.clientY, seen: { ...seen }, unit: scale().unit };
  svg.setPointerCapture(event.pointerId);
});
svg.addEventListener("pointermove", (event) => {
  if (!grabbed) return;
  if (grabbed.pinch) return pinch(event);
  const dx = event.clientX - grabbed.x;
  if (grabbed.i < 0) {
    svg.classList.add("moved"); // and not :active, whose cursor every node would inherit anew at every click
    const { x, y, width, height } = grabbed.seen;
    show(x - dx * grabbed.unit, y - (event.clientY - grabbed.y) * grabbed.unit, width, height);
  } else if (nodes[grabbed.i].free && Math.abs(dx) > 2) {
    set(grabbed.i, dragged(grabbed.from, dx));
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  svg.addEventListener(end, (event) => {
    fingers.delete(event.pointerId);
    svg.classList.remove("moved");
    if (grabbed && grabbed.i >= 0) itemOf.get(grabbed.i)?.g.focus({ preventScroll: true });
    if (!grabbed?.pinch || !fingers.size) grabbed = null;
  });
}

// two fingers: what was between them stays between them
function pinch(event) {
  const before = [...fingers.values()];
  if (!fingers.has(event.pointerId)) return;
  fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  const [[a, b], [c, d]] = [before, [...fingers.values()]];
  if (!b) return;
  const apart = (p, q) => Math.max(1, Math.hypot(p.x - q.x, p.y - q.y));
  const { unit } = scale();
  show(seen.x - (unit * (c.x + d.x - a.x - b.x)) / 2, seen.y - (unit * (c.y + d.y - a.y - b.y)) / 2, seen.width, seen.height);
  zoom(apart(c, d) / apart(a, b), (c.x + d.x) / 2, (c.y + d.y) / 2);
}

svg.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
  },
  { passive: false },
);

function goTo(k) {
  step = Math.min(Math.max(k, 0), nSteps);
  refresh();
  const now = current().nodes.filter((i) => itemOf.has(i));
  if (now.length) bringIntoView(itemOf.get(now.at(-1)));
}

byId("step").addEventListener("input", () => goTo(Number(byId("step").value)));
byId("first").addEventListener("click", () => goTo(0));
byId("back").addEventListener("click", () => goTo(step - 1));
byId("next").addEventListener("click", () => goTo(step + 1));
byId("last").addEventListener("click", () => goTo(nSteps));
byId("closer").addEventListener("click", () => zoomMiddle(1.25));
byId("farther").addEventListener("click", () => zoomMiddle(0.8));
byId("whole").addEventListener("click", fit);
