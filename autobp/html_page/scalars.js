// The page of a graph of scalars: its numbers in the picture, what the chosen node is, and the step that was taken.

const dataText = (i) => (isKnown(i) ? written(data[i]) : "…");
const gradText = (i) => (step > nForward ? written(grad[i]) : "…");
const formula = (i, operand) =>
  nodes[i].written
    .map((part) => (typeof part === "number" ? operand(nodes[i].operands[part]) : part))
    .join("")
    .replace(/(?<=\(|, )\((-[^()]*)\)(?=\)|,)/g, "$1"); // a negative argument needs no parentheses of its own

function told() {
  if (step === nSteps) return `Both passes are done: ${nodes.length} ${nodes.length === 1 ? "node" : "nodes"}.`;
  if (step === 0) return "Inputs and weights are given; Step computes what depends on them.";
  if (step === nForward + 1) return `Backward begins: ∂${nodes[root].name}/∂${nodes[root].name} = 1`;
  const stage = current();
  const turn = step <= nForward ? `Forward ${step} of ${nForward}` : `Backward ${step - nForward - 1} of ${nForward}`;
  if (stage.title) return `${turn}, ${stage.title}: ${together(stage)}`;
  const [i] = stage.nodes;
  if (step <= nForward) {
    const numbers = formula(i, (operand) => factor(data[operand]));
    return `${turn}: ${nodes[i].name} = ${formula(i, nameOf)} = ${numbers} = ${written(data[i])}`;
  }
  const terms = nodes[i].operands.map((operand, slot) => `${product(i, slot)} to ${nodes[operand].name}`);
  return `${turn}: ${nodes[i].name} passes ${terms.join(", ")}`;
}

// what a stage of several nodes comes to
function together({ nodes: members, results }) {
  const top = nodes[root].name;
  const told = results.map((i) =>
    step <= nForward ? `${nodes[i].name} = ${dataText(i)}` : `∂${top}/∂${nodes[i].name} = ${gradText(i)}`,
  );
  return `${told.join(", ")}${members.length > results.length ? `; ${members.length} nodes` : ""}`;
}

// what node i passes on, as a product; but of an infinite gradient, nothing to what was not selected
const product = (i, slot) =>
  isStopped(i, slot) && !Number.isFinite(grad[i]) ? "0 (not selected)" : `${factor(grad[i])} · ${factor(partials[i][slot])}`;

const nameOf = (i) => nodes[i].name;

// the stage that the last step worked on
function current() {
  if (step === 0 || step === nSteps || step === nForward + 1) return { nodes: step === nForward + 1 ? [root] : [] };
  return stages[step <= nForward ? step - 1 : 2 * nForward + 1 - step];
}

// what colours show, "data" or "grad": of a node, of the z that a circle's gradient is of, of a weight on its edge
let colour = model.colour;
const shade = (i) => (colour === "grad" ? grad[i] : isKnown(i) ? data[i] : 0);
const isRounding = (x, largest) => !(size(x) > model.rounding * largest);

// only what is not as it was is written: a page of many nodes answers at once
function put(item, key, value, write) {
  if (item[key] === value) return;
  item[key] = value;
  write(value);
}

function refresh() {
  compute();
  refreshItems();
  refreshNumbers();
  refreshEdges();
  byId("status").textContent = told();
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", `step ${step} of ${nSteps}`);
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("last").disabled = byId("next").disabled = step === nSteps;
  explain();
  for (const leaf of leaves) leaf.show();
}

function refreshItems() {
  const shaded = ({ i, tint }) => shade(colour === "grad" ? tint : i);
  const tinted = items.filter(({ tint }) => tint !== null);
  const largest = Math.max(0, ...tinted.map((item) => size(shaded(item))));
  const now = new Set(current().nodes);
  const stop = itemOf.has(chosen) ? chosen : items[items.length - 1].i; // where Tab enters the graph
  for (const item of items) {
    const { i, tint, g } = item;
    const x = tint === null || isRounding(shaded(item), largest) ? 0 : shaded(item);
    const share = x ? 8 + 42 * Math.sqrt(size(x) / largest) : 0;
    put(item, "share", share.toFixed(1), (percent) => item.outline.style.setProperty("--share", `${percent}%`));
    const state = [x > 0 && "above", x < 0 && "below", i === chosen && "chosen", now.has(i) && "now", !isKnown(i) && "pending"];
    put(item, "state", [item.kind, ...state.filter(Boolean)].join(" "), (names) => g.setAttribute("class", names));
    put(item, "stop", i === stop, (is) => g.setAttribute("tabindex", is ? 0 : -1));
    put(item, "pressed", i === chosen, (is) => g.setAttribute("aria-pressed", is));
  }
}

function refreshNumbers() {
  const isSeen = sight();
  for (const item of items) {
    for (const number of item.numbers) {
      const { text, of, which, prefix } = number;
      const content = isSeen(item) ? prefix + (which === "data" ? dataText(of) : gradText(of)) : "";
      put(number, "shown", content, () => (text.textContent = content));
    }
  }
}
onMove = refreshNumbers;

function refreshEdges() {
  edgeLabels.replaceChildren();
  const isWeighted = ({ weight }) => weight !== undefined && weight !== null;
  const heaviest = Math.max(0, ...edges.filter(isWeighted).map(({ weight }) => size(shade(weight))));
  for (const edge of edges) {
    const { head, tail, slot, weight, line } = edge;
    const lit = tail === chosen || head === chosen;
    const x = isWeighted(edge) && !isRounding(shade(weight), heaviest) ? shade(weight) : 0;
    const state = [edge.kind, lit && "lit", x > 0 && "above", x < 0 && "below"].filter(Boolean).join(" ");
    put(edge, "state", state, (names) => line.setAttribute("class", names));
    if (isWeighted(edge)) {
      const width = 0.4 + 3.2 * (x ? Math.sqrt(size(x) / heaviest) : 0);
      put(edge, "width", width, () => (line.style.strokeWidth = `${width}px`));
    } else if (lit && slot !== undefined && isKnown(head)) {
      const middle = line.getPointAtLength(line.getTotalLength() / 2);
      draw("text", { class: "edge-label", x: middle.x, y: middle.y - 4 }, edgeLabels, written(partials[head][slot]));
    }
  }
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
        ? [link(user), product(user, slot), written(passedOn(user, slot))]
        : [link(user), "not yet", "…"],
    );
    facts.push(
      table(`Chain rule: gradient of ${node.name}`, ["Through", `∂${top}/∂it · ∂it/∂${node.name}`, "Term"], rows, ["Sum", "", gradText(chosen)]),
    );
  }
  byId("facts").replaceChildren(...facts);
  showControl();
}

// a control for the chosen node, where it is a leaf: at the top, under the thumb
let control = null;

function showControl() {
  if (control?.i !== chosen) {
    byId("control").replaceChildren();
    control = nodes[chosen].free ? leaf(nodes[chosen], chosen, byId("control")) : null;
  }
  control?.show();
}

// ------------------------------------------------------------------------------------------- inputs and weights

function set(i, value) {
  if (!Number.isFinite(value)) return;
  data[i] = value;
  refresh();
}

// inputs before weights and biases, each in the order of their indices
const isWeight = (i) => nodes[i].parameter === true;
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
  return { i, ...numberControl(node.name, i, original[i], parent, () => data[i], (x) => set(i, x)) };
}

byId("reset").addEventListener("click", () => {
  nodes.forEach((node, i) => { if (!node.operands) data[i] = original[i]; });
  refresh();
});

// ------------------------------------------------------------------------------------------- how it is looked at

// a choice among ways, unless there is but one; what is told is not "node" but "Step by node"
function choice(id, ways, way, take) {
  byId(id).replaceChildren(...ways.map((name) => make("option", { value: name, selected: name === way }, name)));
  byId(id).parentElement.hidden = ways.length < 2;
  byId(id).addEventListener("change", () => take(byId(id).value));
}

// where another way of stepping has come as far
function takeWay(way) {
  const share = step / nSteps;
  stepBy(way);
  step = Math.round(share * nSteps);
  byId("step").max = nSteps;
  refresh();
}

function takeColour(which) {
  colour = which;
  byId("legend").textContent = model.legend[colour];
  refresh();
}

choice("way", Object.keys(stagings), model.way, takeWay);
choice("colour", ["data", "grad"], colour, takeColour);
byId("step").max = nSteps;
takeColour(colour);
showResult();
