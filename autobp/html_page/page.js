"use strict";
// model: the graph in topological order and where it is drawn; RULES: value and partials of each operation used.

const model = JSON.parse(document.getElementById("model").textContent);
const nodes = model.nodes;
const view = model.view;
const root = model.root;
const byId = (id) => document.getElementById(id);

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

// ------------------------------------------------------------------------------------------- the passes

const original = nodes.map((node) => decode(node.data));
const data = [...original];
const partials = nodes.map(() => []);
const grad = nodes.map(() => 0);
const users = nodes.map(() => []);
const computed = [];
nodes.forEach((node, i) => {
  if (!node.operands) return;
  computed.push(i);
  node.operands.forEach((operand, slot) => users[operand].push({ user: i, slot }));
});
const rank = new Map(computed.map((i, k) => [i, k]));
const nForward = computed.length;
const nSteps = 2 * nForward + 1; // every operation forward, the seed, every operation backward
let step = nSteps;
let chosen = root;

const isKnown = (i) => !rank.has(i) || rank.get(i) < step;
// whether node i has passed its gradient on to its operands
const hasPassed = (i) => rank.has(i) && step - nForward - 1 >= nForward - rank.get(i);

function compute() {
  for (const i of computed) {
    const operands = nodes[i].operands.map((operand) => data[operand]);
    const rule = RULES[nodes[i].rule];
    data[i] = rule.value(...operands);
    partials[i] = rule.partials(data[i], ...operands);
  }
  grad.fill(0);
  if (step > nForward) grad[root] = 1;
  for (let k = nForward - 1; k >= 0 && hasPassed(computed[k]); k--) {
    const i = computed[k];
    nodes[i].operands.forEach((operand, slot) => {
      grad[operand] += partials[i][slot] * grad[i];
    });
  }
}

const dataText = (i) => (isKnown(i) ? written(data[i]) : "…");
const gradText = (i) => (step > nForward ? written(grad[i]) : "…");
const formula = (i, operand) =>
  nodes[i].written.map((part) => (typeof part === "number" ? operand(nodes[i].operands[part]) : part)).join("");

function told() {
  if (step === nSteps) return `Both passes are done: ${nodes.length} nodes.`;
  if (step === 0) return "Inputs and weights are given; Step computes what depends on them.";
  if (step <= nForward) {
    const i = computed[step - 1];
    const numbers = formula(i, (operand) => factor(data[operand]));
    return `Forward ${step} of ${nForward}: ${nodes[i].name} = ${formula(i, nameOf)} = ${numbers} = ${written(data[i])}`;
  }
  if (step === nForward + 1) return `Backward begins: ∂${nodes[root].name}/∂${nodes[root].name} = 1`;
  const i = current();
  const terms = nodes[i].operands.map(
    (operand, slot) => `${factor(grad[i])} · ${factor(partials[i][slot])} to ${nodes[operand].name}`,
  );
  return `Backward ${step - nForward - 1} of ${nForward}: ${nodes[i].name} passes ${terms.join(", ")}`;
}

const nameOf = (i) => nodes[i].name;

// the node that the last step worked on
function current() {
  if (step === 0 || step === nSteps) return -1;
  if (step <= nForward) return computed[step - 1];
  return step === nForward + 1 ? root : computed[2 * nForward + 1 - step];
}

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
// an edge stands for an operand of a node, or for a weight
const edges = view.edges.map(({ head, slot, weight, path }) => {
  const line = draw("path", { d: path, class: head === undefined ? "edge plain" : "edge" }, svg);
  if (weight !== undefined && weight !== null) line.addEventListener("pointerdown", (event) => onGrab(event, weight));
  return { head, tail: head === undefined ? weight : nodes[head].operands[slot], slot, weight, line };
});
view.marks.forEach(({ circle, texts }) => {
  const mark = draw("g", { class: "mark" }, svg);
  if (circle) draw("circle", { cx: circle[0], cy: circle[1], r: circle[2] }, mark);
  texts.forEach(([kind, x, y, content]) => draw("text", { class: kind, x, y }, mark, content));
});
const edgeLabels = draw("g", { "aria-hidden": "true" }, svg);
const items = view.items.map((item) => {
  const { node: i, shape, at: [x, y, width, height] } = item;
  const kind = nodes[i].operands ? "computed" : nodes[i].free ? "free" : "constant";
  const g = draw("g", { class: `node ${kind} ${shape}`, role: "button", tabindex: -1, id: `node${i}` }, svg);
  if (shape === "circle") draw("circle", { class: "shape", cx: x, cy: y, r: width / 2 }, g);
  else draw("rect", { class: "shape", x: x - width / 2, y: y - height / 2, width, height }, g);
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
  return { i, tint: item.tint, g, x, y, width, height, numbers };
});
const itemOf = new Map(items.map((item) => [item.i, item]));
const size = (x) => (Number.isFinite(x) ? Math.abs(x) : 0);

function refresh() {
  compute();
  const largest = Math.max(...items.map(({ tint }) => size(grad[tint])));
  const now = current();
  const stop = itemOf.has(chosen) ? chosen : items[items.length - 1].i; // where Tab enters the graph
  for (const { i, tint, g, numbers } of items) {
    for (const { text, of, which, prefix } of numbers) {
      text.textContent = prefix + (which === "data" ? dataText(of) : gradText(of));
    }
    const share = largest > 0 && size(grad[tint]) > 0 ? 8 + 42 * Math.sqrt(size(grad[tint]) / largest) : 0;
    g.style.setProperty("--share", `${share}%`);
    g.classList.toggle("above", grad[tint] > 0);
    g.classList.toggle("below", grad[tint] < 0);
    g.classList.toggle("chosen", i === chosen);
    g.classList.toggle("now", i === now);
    g.classList.toggle("pending", !isKnown(i));
    g.setAttribute("tabindex", i === stop ? 0 : -1);
    g.setAttribute("aria-pressed", i === chosen);
  }
  edgeLabels.replaceChildren();
  const heaviest = Math.max(...edges.map(({ weight }) => size(data[weight])));
  for (const { head, tail, slot, weight, line } of edges) {
    const lit = tail === chosen || head === chosen;
    line.classList.toggle("lit", lit);
    if (weight !== undefined && weight !== null) {
      const share = heaviest > 0 ? Math.sqrt(size(data[weight]) / heaviest) : 0;
      line.style.strokeWidth = `${0.5 + 3.2 * share}px`;
      line.classList.toggle("above", data[weight] > 0);
      line.classList.toggle("below", data[weight] < 0);
    } else if (lit && head !== undefined && isKnown(head)) {
      const middle = line.getPointAtLength(line.getTotalLength() / 2);
      draw("text", { class: "edge-label", x: middle.x, y: middle.y - 4 }, edgeLabels, written(partials[head][slot]));
    }
  }
  byId("status").textContent = told();
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", `step ${step} of ${nSteps}`);
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("last").disabled = byId("next").disabled = step === nSteps;
  explain();
  for (const leaf of leaves) leaf.show();
}

// ------------------------------------------------------------------------------------------- the chosen node

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

function explain() {
  const node = nodes[chosen];
  const top = nodes[root].name;
  byId("chosen").textContent = node.name;
  const facts = [];
  if (node.operands) {
    facts.push(make("p", {}, `${node.name} = ${formula(chosen, nameOf)}`));
    if (isKnown(chosen)) {
      facts.push(make("p", {}, `= ${formula(chosen, (operand) => factor(data[operand]))} = ${written(data[chosen])}`));
    }
  } else {
    facts.push(make("p", {}, `${node.free ? "Given" : "A constant"}: ${written(data[chosen])}`));
  }
  facts.push(make("p", {}, `Gradient ${node.delta ? "δ = " : ""}∂${top}/∂${node.name} = ${gradText(chosen)}`));
  if (node.operands && isKnown(chosen)) {
    const rows = node.operands.map((operand, slot) => [link(operand), written(data[operand]), written(partials[chosen][slot])]);
    facts.push(table("Local derivatives", ["Operand", "Data", `∂${node.name}/∂operand`], rows));
  }
  if (chosen === root) {
    facts.push(make("p", {}, `It is what is differentiated: ∂${top}/∂${top} = 1.`));
  } else if (step > nForward) {
    const rows = users[chosen].map(({ user, slot }) =>
      hasPassed(user)
        ? [link(user), `${factor(grad[user])} · ${factor(partials[user][slot])}`, written(grad[user] * partials[user][slot])]
        : [link(user), "not yet", "…"],
    );
    facts.push(
      table(`Chain rule: gradient of ${node.name}`, ["Through", `∂${top}/∂it · ∂it/∂${node.name}`, "Term"], rows, ["Sum", "", gradText(chosen)]),
    );
  }
  byId("facts").replaceChildren(...facts);
  showControl();
}

// a control for the chosen node, where it is a leaf that the list below leaves out
let control = null;

function showControl() {
  if (control?.i !== chosen) {
    byId("control").replaceChildren();
    control = nodes[chosen].free && !listed.includes(chosen) ? leaf(nodes[chosen], chosen, byId("control")) : null;
  }
  control?.show();
}

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

// ------------------------------------------------------------------------------------------- inputs and weights

function set(i, value) {
  if (!Number.isFinite(value)) return;
  data[i] = value;
  refresh();
}

// inputs before weights and biases, each in the order of their indices
const isWeight = (i) => /^[Wb]\d*\[/.test(nodes[i].name);
const byName = (i, k) =>
  isWeight(i) - isWeight(k) || nodes[i].name.localeCompare(nodes[k].name, "en", { numeric: true, sensitivity: "base" });
const free = [...nodes.keys()].filter((i) => nodes[i].free);
const MOST = 100; // controls; of more leaves, those that the graph shows, and the others as they are chosen
const listed = free.length > MOST ? free.filter((i) => itemOf.has(i)).slice(0, MOST) : free;
const leaves = listed.sort(byName).map((i) => leaf(nodes[i], i, byId("leaves")));
if (listed.length < free.length) {
  byId("leaves").append(make("p", {}, `${free.length - listed.length} more: choose one to change it.`));
}

function leaf(node, i, parent) {
  const reach = Math.max(2, 2 * Math.abs(original[i]) || 0);
  const id = `${parent.id}${i}`;
  const slider = make("input", { type: "range", min: -reach, max: reach, step: "any", id });
  const number = make("input", { type: "number", step: "any" });
  number.setAttribute("aria-label", `${node.name}, number`);
  slider.addEventListener("input", () => set(i, Number(slider.value)));
  number.addEventListener("input", () => number.value !== "" && set(i, Number(number.value)));
  parent.append(make("div", { className: "leaf" }, make("label", { htmlFor: id }, node.name), slider, number));
  return {
    i,
    show() {
      slider.value = data[i];
      if (document.activeElement !== number) number.value = Number(data[i].toPrecision(4));
    },
  };
}

// ------------------------------------------------------------------------------------------- moving about

let seen = { x: 0, y: 0, width: view.width, height: view.height };

function show(x, y, width, height) {
  seen = { x, y, width, height };
  svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
}

function fit() {
  const margin = 12;
  const top = 44; // under the buttons
  show(-margin, -top, view.width + 2 * margin, view.height + top + margin);
}

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

function onGrab(event, i) {
  grabbed = { i, x: event.clientX, from: data[i] };
  select(i);
}

svg.addEventListener("pointerdown", (event) => {
  grabbed ??= { i: -1, x: event.clientX, y: event.clientY, seen: { ...seen }, unit: scale().unit };
  svg.setPointerCapture(event.pointerId);
});
svg.addEventListener("pointermove", (event) => {
  if (!grabbed) return;
  const dx = event.clientX - grabbed.x;
  if (grabbed.i < 0) {
    const { x, y, width, height } = grabbed.seen;
    show(x - dx * grabbed.unit, y - (event.clientY - grabbed.y) * grabbed.unit, width, height);
  } else if (nodes[grabbed.i].free && Math.abs(dx) > 2) {
    const reach = Math.max(1, Math.abs(grabbed.from) || 0);
    set(grabbed.i, Number((grabbed.from + (dx / 150) * reach).toPrecision(4)));
  }
});
for (const end of ["pointerup", "pointercancel"]) {
  svg.addEventListener(end, () => {
    if (grabbed && grabbed.i >= 0) itemOf.get(grabbed.i)?.g.focus({ preventScroll: true });
    grabbed = null;
  });
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
  const now = current();
  if (itemOf.has(now)) bringIntoView(itemOf.get(now));
}

byId("step").max = nSteps;
byId("step").addEventListener("input", () => goTo(Number(byId("step").value)));
byId("first").addEventListener("click", () => goTo(0));
byId("back").addEventListener("click", () => goTo(step - 1));
byId("next").addEventListener("click", () => goTo(step + 1));
byId("last").addEventListener("click", () => goTo(nSteps));
byId("closer").addEventListener("click", () => zoomMiddle(1.25));
byId("farther").addEventListener("click", () => zoomMiddle(0.8));
byId("whole").addEventListener("click", fit);
byId("reset").addEventListener("click", () => {
  nodes.forEach((node, i) => { if (!node.operands) data[i] = original[i]; });
  refresh();
});

fit();
refresh();
