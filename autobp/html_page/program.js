// A compiled program, statement by statement: what was computed when the page was written.

const data = [];
const nArguments = nodes.filter((node) => !node.operands).length;
const nSteps = nodes.length - nArguments;
let step = nSteps;

const isKnown = (i) => i < nArguments + step;

// the statement that the last step carried out
const current = () => (step === 0 || step === nSteps ? -1 : nArguments + step - 1);

function refresh() {
  const now = current();
  for (const { i, g } of items) {
    g.classList.toggle("chosen", i === chosen);
    g.classList.toggle("now", i === now);
    g.classList.toggle("pending", !isKnown(i));
    g.setAttribute("tabindex", i === chosen ? 0 : -1);
    g.setAttribute("aria-pressed", i === chosen);
  }
  for (const { head, tail, line } of edges) line.classList.toggle("lit", tail === chosen || head === chosen);
  const node = nodes[now];
  byId("status").textContent = node
    ? `${node.backward ? "Backward" : "Forward"}, statement ${step} of ${nSteps}: ${node.name} = ${node.formulas.join("; ")}`
    : step === 0
      ? "The arguments are given; Step carries out what depends on them."
      : `All ${nSteps} statements are carried out.`;
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", `statement ${step} of ${nSteps}`);
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("last").disabled = byId("next").disabled = step === nSteps;
  explain();
}

function explain() {
  const node = nodes[chosen];
  byId("chosen").textContent = node.name;
  const facts = [make("p", {}, node.shape ? `Shape ${node.shape}` : "")];
  for (const formula of node.formulas) facts.push(make("p", {}, make("code", {}, formula)));
  const links = (title, found) => {
    if (found.length) facts.push(make("p", {}, `${title} `, ...found.flatMap((i) => [link(i), " "])));
  };
  links("Computed from", node.operands ?? []);
  links("Used by", [...new Set(users[chosen].map(({ user }) => user))]);
  if (node.rows && isKnown(chosen)) {
    const [heads, ...rows] = [node.rows[0].map((_, k) => `${k + 1}`), ...node.rows];
    facts.push(table(`Numbers${node.cut ? " (the first of them)" : ""}`, heads, rows));
  }
  byId("facts").replaceChildren(...facts);
}

for (const name of ["reset", "leaves", "leavesTitle"]) byId(name).hidden = true;
byId("help").textContent =
  "Click an array, or move among arrays with the arrow keys. Drag the background to move, turn the wheel to zoom.";
byId("graph").setAttribute("aria-label", "Arrays of the program; arrow keys follow the edges");
byId("step").max = nSteps;
fit();
refresh();
