// The passes over a graph of scalars, whose nodes are in topological order, from model to data, partials and grad.
// RULES has the value and partials of each operation in it.

const original = nodes.map((node) => decode(node.data));
const data = [...original];
const partials = nodes.map(() => []);
const grad = nodes.map(() => 0);
const computed = [];
nodes.forEach((node, i) => node.operands && computed.push(i));

// A stage is what one step takes together; every way of stepping has each computed node in one of its stages.
const stagings = { node: computed.map((i) => ({ title: "", nodes: [i], results: [i] })), ...model.stagings };
let stages = [];
let nForward = 0; // stages
let nSteps = 0; // every stage forward, the seed, every stage backward
let step = 0;
const stageOf = nodes.map(() => -1);

function stepBy(way) {
  stages = stagings[way];
  stages.forEach(({ nodes: together }, k) => together.forEach((i) => (stageOf[i] = k)));
  nForward = stages.length;
  step = nSteps = 2 * nForward + 1;
}
stepBy(model.way ?? "node");

const isKnown = (i) => stageOf[i] < step;
// whether node i has passed its gradient on to its operands
const hasPassed = (i) => stageOf[i] >= 0 && step - nForward - 1 >= nForward - stageOf[i];

// Whether node i did not select an operand, a selecting operation's partial of 0: it stops even an infinite gradient.
const isStopped = (i, slot) => nodes[i].selects === true && partials[i][slot] === 0;
// what node i passes on to an operand; an infinite partial times a gradient of 0 is not a number
const passedOn = (i, slot) => (isStopped(i, slot) ? 0 : partials[i][slot] * grad[i]);

function compute() {
  for (const i of computed) {
    const operands = nodes[i].operands.map((operand) => data[operand]);
    const rule = RULES[nodes[i].rule];
    data[i] = rule.value(...operands);
    partials[i] = rule.partials(data[i], ...operands);
  }
  grad.fill(0);
  if (step > nForward) grad[root] = 1;
  for (let k = computed.length - 1; k >= 0; k--) {
    const i = computed[k];
    if (!hasPassed(i)) continue;
    nodes[i].operands.forEach((operand, slot) => {
      grad[operand] += passedOn(i, slot);
    });
  }
}
