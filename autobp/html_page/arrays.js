// Arrays as NumPy has them, as far as compiled programs use them. Element k of an array, in C order, is
// values[at[k]]: a part of an array shares its values, and what is set in the part is set in the array.

const sizeOf = (shape) => shape.reduce((n, size) => n * size, 1);

let counted = new Int32Array(0);
function upTo(n) {
  if (counted.length < n) counted = Int32Array.from({ length: 2 * n }, (_, k) => k);
  return counted.subarray(0, n);
}

const made = (values, shape) => ({ values, shape, at: upTo(values.length) });
const asArray = (x) => (typeof x === "number" ? made(Float64Array.of(x), []) : x);
const full = (shape, x) => made(new Float64Array(sizeOf(shape)).fill(x), shape);
const arange = (n) => made(Float64Array.from({ length: n }, (_, k) => k), [n]);
const plus = (x, y) => x + y;

// ------------------------------------------------------------------------------------------- parts

// elements first + Σ stride·index of x, counted in C order
function part(x, first, shape, strides) {
  const at = new Int32Array(sizeOf(shape));
  const index = shape.map(() => 0);
  let from = first;
  for (let k = 0; k < at.length; k++) {
    at[k] = x.at[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return { values: x.values, shape, at };
}

const stridesOf = (shape) => shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
// an axis counted from the end
const axisOf = (x, axis) => (axis < 0 ? x.shape.length + axis : axis);

function reshape(x, sizes) {
  const known = sizeOf(sizes.filter((size) => size >= 0));
  return { ...x, shape: sizes.map((size) => (size < 0 ? x.at.length / known : size)) };
}

function transpose(x, order) {
  const axes = order ?? x.shape.map((_, axis) => x.shape.length - 1 - axis);
  const strides = stridesOf(x.shape);
  return part(x, 0, axes.map((axis) => x.shape[axis]), axes.map((axis) => strides[axis]));
}

function swapAxes(x, a, b) {
  const order = x.shape.map((_, axis) => axis);
  [order[axisOf(x, a)], order[axisOf(x, b)]] = [axisOf(x, b), axisOf(x, a)];
  return transpose(x, order);
}

function broadcast(source, shape) {
  const x = asArray(source);
  const missing = shape.length - x.shape.length;
  if (missing === 0 && shape.every((size, axis) => size === x.shape[axis])) return x;
  const strides = stridesOf(x.shape);
  return part(x, 0, shape, shape.map((_, axis) => (axis < missing || x.shape[axis - missing] === 1 ? 0 : strides[axis - missing])));
}

// x[index]: numbers, [from, to, step], null for a new axis, "..." and, at the end, an array of positions
function at(x, index) {
  const taken = index.filter((entry) => entry !== null && entry !== "...").length;
  const rest = Array(x.shape.length - taken).fill([null, null, null]);
  const entries = index.flatMap((entry) => (entry === "..." ? rest : [entry]));
  if (!index.includes("...")) entries.push(...rest);
  const positions = entries.at(-1)?.shape && entries.pop();
  const strides = stridesOf(x.shape);
  const [shape, steps] = [[], []];
  let first = 0;
  let axis = 0;
  for (const entry of positions ? [...entries, [null, null, null]] : entries) {
    if (entry === null) {
      shape.push(1);
      steps.push(0);
      continue;
    }
    const [size, stride] = [x.shape[axis], strides[axis]];
    axis++;
    if (typeof entry === "number") {
      first += stride * (entry < 0 ? size + entry : entry);
      continue;
    }
    const [from, to, step] = [entry[0] ?? 0, Math.min(entry[1] ?? size, size), entry[2] ?? 1];
    first += stride * from;
    shape.push(Math.max(0, Math.ceil((to - from) / step)));
    steps.push(stride * step);
  }
  const found = part(x, first, shape, steps);
  return positions ? take(found, positions) : found;
}

// elements of the last axis, by position
function take(x, positions) {
  const length = x.shape.at(-1);
  const where = numbersOf(positions);
  const rows = x.at.length / length;
  const found = new Int32Array(rows * where.length);
  for (let r = 0; r < rows; r++) where.forEach((p, k) => (found[r * where.length + k] = x.at[r * length + p]));
  return { values: x.values, shape: [...x.shape.slice(0, -1), ...positions.shape], at: found };
}

function repeat(x, counts) {
  const positions = [];
  numbersOf(counts).forEach((n, k) => positions.push(...Array(n).fill(k)));
  return take(x, made(Float64Array.from(positions), [positions.length]));
}

function set(target, source) {
  const x = broadcast(source, target.shape);
  target.at.forEach((p, k) => (target.values[p] = x.values[x.at[k]]));
}

function spread(x, positions, shape) {
  const lead = x.shape.slice(0, -1);
  const found = full([...lead, sizeOf(shape)], 0);
  set(take(found, positions), x);
  return reshape(found, [...lead, ...shape]);
}

// ------------------------------------------------------------------------------------------- arithmetic

const numbersOf = (x) => Float64Array.from(x.at, (p) => x.values[p]);

function commonShape(shapes) {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    Math.max(...shapes.map((shape) => shape[axis - rank + shape.length] ?? 1)),
  );
}

function map(f, ...operands) {
  const shape = commonShape(operands.map((x) => x.shape ?? []));
  const arrays = operands.map((x) => broadcast(x, shape));
  const numbers = arrays.map(() => 0);
  const values = new Float64Array(sizeOf(shape));
  for (let k = 0; k < values.length; k++) {
    arrays.forEach((x, i) => (numbers[i] = x.values[x.at[k]]));
    values[k] = f(...numbers);
  }
  return made(values, shape);
}

// f over some axes, or all (null), one element after another
function fold(f, x, axes, keep) {
  const gone = axes === null ? x.shape.map((_, axis) => axis) : axes.map((axis) => axisOf(x, axis));
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !gone.includes(axis));
  const { values, at: places } = transpose(x, [...kept, ...gone]);
  const n = sizeOf(gone.map((axis) => x.shape[axis]));
  const found = new Float64Array(sizeOf(kept.map((axis) => x.shape[axis])));
  for (let k = 0; k < found.length; k++) {
    let result = values[places[k * n]];
    for (let j = k * n + 1; j < (k + 1) * n; j++) result = f(result, values[places[j]]);
    found[k] = result;
  }
  return made(found, keep ? x.shape.map((size, axis) => (gone.includes(axis) ? 1 : size)) : kept.map((axis) => x.shape[axis]));
}

// f over stretches of the last axis
function reduceAt(f, x, starts) {
  const ends = [...numbersOf(starts).slice(1), x.shape.at(-1)];
  const parts = [...numbersOf(starts)].map((from, k) => fold(f, at(x, ["...", [from, ends[k], 1]]), [-1], true));
  const found = full([...x.shape.slice(0, -1), parts.length], 0);
  parts.forEach((stretch, k) => set(at(found, ["...", [k, k + 1, 1]]), stretch));
  return found;
}

function matmul(x, y) {
  const a = x.shape.length > 1 ? x : reshape(x, [1, -1]);
  const b = swapAxes(y.shape.length > 1 ? y : reshape(y, [-1, 1]), -1, -2);
  const [[n, length], [p]] = [a.shape.slice(-2), b.shape.slice(-2)];
  const stack = commonShape([a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  const rows = numbersOf(broadcast(a, [...stack, n, length]));
  const columns = numbersOf(broadcast(b, [...stack, p, length]));
  const values = new Float64Array(sizeOf(stack) * n * p);
  for (let k = 0; k < values.length; k++) {
    const row = Math.floor(k / p) * length;
    const column = (Math.floor(k / (n * p)) * p + (k % p)) * length;
    let sum = 0;
    for (let j = 0; j < length; j++) sum += rows[row + j] * columns[column + j];
    values[k] = sum;
  }
  return made(values, [...stack, ...(x.shape.length > 1 ? [n] : []), ...(y.shape.length > 1 ? [p] : [])]);
}

// ------------------------------------------------------------------------------------------- choices

// values[index], element by element
const pick = (index, ...values) => values[wholeNumber(index, values.length)];

function wholeNumber(x, n) {
  if (Number.isInteger(x) && x >= 0 && x < n) return x;
  throw new RangeError(`take: the index ${x} is not one of 0, 1, …, ${n - 1}`);
}

// values[…, r, index[…, r]] as (…, r)
function chooseEach(values, index) {
  const shape = commonShape([values.shape.slice(0, -1), index.shape]);
  const n = values.shape.at(-1);
  const rows = broadcast(values, [...shape, n]);
  const places = numbersOf(broadcast(index, shape)).map((x, k) => rows.at[k * n + wholeNumber(x, n)]);
  return made(places.map((p) => values.values[p]), shape);
}

// the sums of all delta[…, p, o] with index[…, p] = k, as (o, n)
function scatterAdd(delta, index, n) {
  const o = delta.shape.at(-1);
  const found = new Float64Array(o * n);
  const numbers = numbersOf(delta);
  numbersOf(broadcast(index, delta.shape.slice(0, -1))).forEach((x, p) => {
    const k = wholeNumber(x, n);
    for (let j = 0; j < o; j++) found[j * n + k] += numbers[p * o + j];
  });
  return made(found, [o, n]);
}

// values[…, o, index[…, p]] as (…, p, o)
function chooseOuter(values, index) {
  const turned = swapAxes(values, -1, -2);
  const [n, o] = turned.shape.slice(-2);
  const flat = values.shape.length === 2;
  const lead = flat ? [] : turned.shape.slice(0, -2);
  const rows = sizeOf(lead);
  const spreadIndex = numbersOf(flat ? index : broadcast(index, [...lead, index.shape.at(-1)]));
  const each = spreadIndex.length / rows;
  const found = new Float64Array(spreadIndex.length * o);
  spreadIndex.forEach((x, k) => {
    const row = (Math.floor(k / each) * n + wholeNumber(x, n)) * o;
    for (let j = 0; j < o; j++) found[k * o + j] = turned.values[turned.at[row + j]];
  });
  return made(found, flat ? [...index.shape, o] : [...lead, index.shape.at(-1), o]);
}
