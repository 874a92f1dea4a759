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
  if (step <= nForward) {
    const i = computed[step - 1];
    const numbers = formula(i, (operand) => factor(data[operand]));
    return `Forward ${step} of ${nForward}: ${nodes[i].name} = ${formula(i, nameOf)} = ${numbers} = ${written(data[i])}`;
  }
  if (step === nForward + 1) return `Backward begins: ∂${nodes[root].name}/∂${nodes[root].name} = 1`;
  const i = current();
  const terms = nodes[i].operands.map((operand, slot) => `${product(i, slot)} to ${nodes[operand].name}`);
  return `Backward ${step - nForward - 1} of ${nForward}: ${nodes[i].name} passes ${terms.join(", ")}`;
}

// what node i passes on, as a product; but of an infinite gradient, nothing to what was not selected
const product = (i, slot) =>
  isStopped(i, slot) && !Number.isFinite(grad[i]) ? "0 (not selected)" : `${factor(grad[i])} · ${factor(partials[i][slot])}`;

const nameOf = (i) => nodes[i].name;

// the node that the last step worked on
function current() {
  if (step === 0 || step === nSteps) return -1;
  if (step <= nForward) return computed[step - 1];
  return step === nForward + 1 ? root : computed[2 * nForward + 1 - step];
}

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

// a control for the chosen node, where it is a leaf that the list below leaves out
let control = null;

function showControl() {
  if (control?.i !== chosen) {
    byId("control").replaceChildren();
    control = nodes[chosen].free && !listed.includes(chosen) ? leaf(nodes[chosen], chosen, byId("control")) : null;
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

byId("step").max = nSteps;
fit();
refresh();
