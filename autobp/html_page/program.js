// A compiled program, statement by statement. Where the page can compute with numbers, run(v) carries all
// statements out on the variables v, arrays by name; where it cannot, run is null and the model says why.

const data = []; // what is dragged are numbers in a table, not nodes
const nArguments = nodes.filter((node) => !node.operands).length;
const nSteps = nodes.length - nArguments;
let step = nSteps;

const isKnown = (i) => i < nArguments + step;

// the statement that the last step carried out
const current = () => ({ nodes: step === 0 || step === nSteps ? [] : [nArguments + step - 1] });

// ------------------------------------------------------------------------------------------- the program

const given = Object.entries(model.given).map(([name, { shape, numbers }]) => {
  const original = Float64Array.from(numbers, decode);
  return { name, original, array: made(Float64Array.from(original), shape) };
});
const owners = new Map(given.map(({ array, original }) => [array.values, original]));
const theta = model.given[nodes[0].name] && given[0].array;
let variables = Object.create(null);
let failure = "";

function compute() {
  variables = Object.create(null);
  failure = "";
  if (!run) return;
  for (const { name, array } of given) variables[name] = array;
  try {
    run(variables);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    failure = error.message; // what comes after it is not known
  }
}

const arrayOf = (i) => (isKnown(i) && variables[nodes[i].name] !== undefined ? asArray(variables[nodes[i].name]) : null);
const gradientNode = nodes.findIndex((node) => node.backward && /^gradient(_\d+)?$/.test(node.name));
const gradientOf = (position) => {
  const gradient = gradientNode >= 0 && arrayOf(gradientNode);
  return gradient ? gradient.values[gradient.at[position]] : null;
};

function range(i) {
  const array = arrayOf(i);
  if (!array) return run ? "…" : "";
  const numbers = numbersOf(array);
  if (numbers.some(Number.isNaN)) return "has NaN";
  const [low, high] = [numbers.reduce((x, y) => Math.min(x, y), Infinity), numbers.reduce((x, y) => Math.max(x, y), -Infinity)];
  return numbers.length === 0 ? "empty" : low === high ? written(low) : `${written(low)} … ${written(high)}`;
}

// ------------------------------------------------------------------------------------------- what is shown

function refresh() {
  compute();
  const [now] = current().nodes;
  for (const { i, g, numbers } of items) {
    for (const { text, of } of numbers) text.textContent = range(of);
    g.classList.toggle("chosen", i === chosen);
    g.classList.toggle("now", i === now);
    g.classList.toggle("pending", !isKnown(i));
    g.setAttribute("tabindex", i === chosen ? 0 : -1);
    g.setAttribute("aria-pressed", i === chosen);
  }
  for (const { head, tail, line } of edges) line.classList.toggle("lit", tail === chosen || head === chosen);
  byId("status").textContent = failure || told(nodes[now]);
  byId("step").value = step;
  byId("step").setAttribute("aria-valuetext", `statement ${step} of ${nSteps}`);
  byId("first").disabled = byId("back").disabled = step === 0;
  byId("last").disabled = byId("next").disabled = step === nSteps;
  explain();
}

function told(node) {
  if (node) {
    return `${node.backward ? "Backward" : "Forward"}, statement ${step} of ${nSteps}: ${node.name} = ${node.formulas.join("; ")}`;
  }
  if (step === 0) return "The arguments are given; Step carries out what depends on them.";
  const result = arrayOf(root);
  const number = result?.at.length === 1 ? `: ${nodes[root].name} = ${written(numbersOf(result)[0])}` : "";
  return `All ${nSteps} statements are carried out${number}.`;
}

const [ROWS, COLUMNS] = [12, 5];
let corner = [0, 0]; // the first row and column of the array that the table shows
let cell = 0; // the position, in C order, of the chosen number
let shown = null; // the table as it stands, and what it shows

function explain() {
  const array = arrayOf(chosen);
  const key = JSON.stringify([chosen, corner, array?.shape]);
  if (shown?.key !== key) {
    if (shown?.chosen !== chosen) [corner, cell] = [[0, 0], 0];
    describe(array);
    shown.key = JSON.stringify([chosen, corner, array?.shape]);
  }
  for (const update of shown.updates) update();
  showControl(array);
}

// the chosen array: what never changes once, and what must be done to renew the rest
function describe(array) {
  const node = nodes[chosen];
  shown = { chosen, updates: [], cells: new Map() };
  byId("chosen").textContent = node.name;
  const facts = [make("p", {}, node.shape ? `Shape ${node.shape}` : "")];
  for (const formula of node.formulas) facts.push(make("p", {}, make("code", {}, formula)));
  const links = (title, found) => {
    if (found.length) facts.push(make("p", {}, `${title} `, ...found.flatMap((i) => [link(i), " "])));
  };
  links("Computed from", node.operands ?? []);
  links("Used by", [...new Set(users[chosen].map(({ user }) => user))]);
  if (array) facts.push(...tables(array));
  if (node.numbers && isKnown(chosen)) {
    const { shape, corner: rows } = node.numbers;
    const lines = rows.map((row, k) => [rowName(shape, k), ...row.map((x) => written(decode(x)))]);
    facts.push(lay(shape, extent(shape, [0, 0]), rows[0].map((_, k) => k), lines));
  }
  if (model.note) facts.push(make("p", {}, model.note));
  byId("facts").replaceChildren(...facts);
}

// a number stands alone; an array has its indices around it
function lay(shape, caption, columns, rows) {
  if (!shape.length) return make("p", { className: "alone" }, `${caption}: `, rows[0][1]);
  const heads = [shape.length > 1 ? "row" : "entry", ...columns.map((k) => `${k + 1}`)];
  return make("div", { className: "wide" }, table(caption, heads, rows));
}
const widthOf = (shape) => shape.at(-1) ?? 1;

// an element's or a row's indices, counted from 1
function indices(shape, position) {
  const found = [];
  for (const size of [...shape].reverse()) {
    found.unshift((position % size) + 1);
    position = Math.floor(position / size);
  }
  return found.join(",");
}

const rowName = (shape, row) => (shape.length > 1 ? indices(shape.slice(0, -1), row) : "");

function extent(shape, [row, column]) {
  const width = widthOf(shape);
  const height = sizeOf(shape) / width;
  const parts = [];
  if (height > ROWS) parts.push(`rows ${row + 1} to ${Math.min(row + ROWS, height)} of ${height}`);
  if (width > COLUMNS) parts.push(`columns ${column + 1} to ${Math.min(column + COLUMNS, width)} of ${width}`);
  return parts.length ? `Numbers, ${parts.join(", ")}` : shape.length ? "Numbers" : "Number";
}

function tables(array) {
  const { shape } = array;
  const width = widthOf(shape);
  const height = array.at.length / width;
  const isGiven = owners.has(array.values);
  const hasGradient = array.values === theta?.values && gradientNode >= 0;
  const rows = [...Array(Math.min(ROWS, height)).keys()].map((k) => k + corner[0]);
  const columns = [...Array(Math.min(COLUMNS, width)).keys()].map((k) => k + corner[1]);
  const one = (caption, entry) =>
    lay(shape, caption, columns, rows.map((row) => [rowName(shape, row), ...columns.map((column) => entry(row * width + column))]));
  const read = (position) => {
    const now = arrayOf(chosen);
    return written(now.values[now.at[position]]);
  };
  const text = (position, value) => {
    const span = make("span", {});
    shown.updates.push(() => (span.textContent = value(position)));
    return span;
  };
  const found = [];
  if (isGiven) found.push(make("p", {}, "Choose a number to change it, or drag it sideways."));
  found.push(one(extent(shape, corner), isGiven ? (position) => cellButton(position, read) : (position) => text(position, read)));
  if (height > ROWS) found.push(mover("First row", 0, height - ROWS));
  if (width > COLUMNS) found.push(mover("First column", 1, width - COLUMNS));
  if (hasGradient) {
    const slope = (position) => {
      const gradient = gradientOf(array.at[position]);
      return gradient === null ? "…" : written(gradient);
    };
    found.push(one(`∂${nodes[root].name}/∂${nodes[chosen].name}`, (position) => text(position, slope)));
  }
  return found;
}

function mover(name, axis, most) {
  const slider = make("input", { type: "range", min: 1, max: most + 1, step: 1, id: `mover${axis}`, value: corner[axis] + 1 });
  slider.addEventListener("input", () => {
    corner[axis] = Number(slider.value) - 1;
    refresh();
    byId(slider.id).focus();
  });
  return make("div", { className: "leaf" }, make("label", { htmlFor: slider.id }, name), slider, make("span", {}, `${corner[axis] + 1}`));
}

// ------------------------------------------------------------------------------------------- changing a number

const nameOf = (position) => {
  const { shape } = arrayOf(chosen);
  return shape.length ? `${nodes[chosen].name}[${indices(shape, position)}]` : nodes[chosen].name;
};

function cellButton(position, read) {
  const button = make("button", { type: "button", className: "cell" });
  shown.cells.set(position, button);
  shown.updates.push(() => {
    button.textContent = read(position);
    button.setAttribute("aria-label", `${nameOf(position)}: ${button.textContent}`);
    button.setAttribute("aria-pressed", position === cell);
    const stop = shown.cells.has(cell) ? cell : shown.cells.keys().next().value; // where Tab enters the table
    button.tabIndex = position === stop ? 0 : -1;
  });
  button.addEventListener("focus", () => chooseCell(position));
  button.addEventListener("click", (event) => {
    chooseCell(position);
    if (event.detail === 0) byId("control").querySelector("input[type=number]").focus(); // by the keyboard
  });
  button.addEventListener("keydown", (event) => moveTo(event, position));
  button.addEventListener("pointerdown", (event) => {
    chooseCell(position);
    const array = arrayOf(chosen);
    held = { place: array.at[position], values: array.values, x: event.clientX, from: array.values[array.at[position]] };
    byId("facts").setPointerCapture(event.pointerId);
  });
  return button;
}

function chooseCell(position) {
  if (cell === position) return;
  cell = position;
  refresh();
}

// by the arrow keys, to the next number; past the edge of the table to the next row or column
function moveTo(event, position) {
  if (!(event.key in ARROWS)) return;
  event.preventDefault();
  const { shape, at: places } = arrayOf(chosen);
  const width = widthOf(shape);
  const [dx, dy] = ARROWS[event.key];
  const [row, column] = [Math.floor(position / width) + dy, (position % width) + dx];
  if (row < 0 || column < 0 || column >= width || row >= places.length / width) return;
  const fitted = (first, wanted, size) => Math.min(Math.max(first, wanted - size + 1), wanted);
  corner = [fitted(corner[0], row, ROWS), fitted(corner[1], column, COLUMNS)];
  cell = row * width + column;
  refresh();
  shown.cells.get(cell).focus();
}

let held = null;

byId("facts").addEventListener("pointermove", (event) => {
  const dx = held && event.clientX - held.x;
  if (held && Math.abs(dx) > 2) put(held, dragged(held.from, dx));
});
for (const end of ["pointerup", "pointercancel"]) {
  byId("facts").addEventListener(end, () => {
    if (held) shown.cells.get(cell)?.focus({ preventScroll: true });
    held = null;
  });
}

function put({ values, place }, x) {
  if (!Number.isFinite(x)) return;
  values[place] = x;
  refresh();
}

let control = null;

function showControl(array) {
  const isOpen = array && owners.has(array.values);
  const key = isOpen ? `${chosen} ${cell}` : "";
  if (control?.key !== key) {
    byId("control").replaceChildren();
    control = { key, show() {} };
    if (isOpen) {
      const at = { values: array.values, place: array.at[cell] };
      const slope = make("p", {});
      const slider = numberControl(nameOf(cell), "cell", owners.get(at.values)[at.place], byId("control"), () => at.values[at.place], (x) => put(at, x));
      byId("control").append(slope);
      control.show = () => {
        slider.show();
        const gradient = at.values === theta.values ? gradientOf(at.place) : null;
        slope.textContent = gradient === null ? "" : `∂${nodes[root].name}/∂${nameOf(cell)} = ${written(gradient)}`;
      };
    }
  }
  control.show();
}

byId("reset").addEventListener("click", () => {
  for (const { array, original } of given) array.values.set(original);
  refresh();
});

document.body.classList.add("program");
byId("reset").hidden = !run;
for (const name of ["leaves", "leavesTitle"]) byId(name).hidden = true;
byId("legend").hidden = true;
byId("help").textContent = `Click an array, or move among arrays with the arrow keys. ${
  run ? `Choose ${nodes.slice(0, nArguments).map(({ name }) => name).join(" or ")} or a part of them to change its numbers.` : model.note
} Drag the background to move, turn the wheel to zoom.`;
byId("graph").setAttribute("aria-label", "Arrays of the program; arrow keys follow the edges");
byId("step").max = nSteps;
refresh();
showResult();
