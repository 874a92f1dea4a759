// The passes over a graph of scalars, whose nodes are in topological order, from model to data, partials and grad.
// RULES has the value and partials of each operation in it.

const original = nodes.map((node) => decode(node.data));
const data = [...original];
const partials = nodes.map(() => []);
const grad = nodes.map(() => 0);
const computed = [];
nodes.forEach((node, i) => node.operands && computed.push(i));
const rank = new Map(computed.map((i, k) => [i, k]));
const nForward = computed.length;
const nSteps = 2 * nForward + 1; // every operation forward, the seed, every operation backward
let step = nSteps;

const isKnown = (i) => !rank.has(i) || rank.get(i) < step;
// whether node i has passed its gradient on to its operands
const hasPassed = (i) => rank.has(i) && step - nForward - 1 >= nForward - rank.get(i);

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
  for (let k = nForward - 1; k >= 0 && hasPassed(computed[k]); k--) {
    const i = computed[k];
    nodes[i].operands.forEach((operand, slot) => {
      grad[operand] += passedOn(i, slot);
    });
  }
}
