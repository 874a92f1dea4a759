// The elementary functions that the rules call and JavaScript lacks, as Python's floats have them.

// erf x, from its Taylor series, times e^(x²), near 0, and from the continued fraction of erfc beyond (Abramowitz
// and Stegun 7.1.6 and 7.1.14); about 1e-15 in absolute terms.
function erf(x) {
  const z = Math.abs(x);
  if (!(z < 6)) return Number.isNaN(x) ? NaN : Math.sign(x);
  if (z < 2.5) {
    let term = x;
    let sum = x;
    for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
      term *= (2 * x * x) / (2 * k + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = z;
  for (let k = 60; k > 0; k--) fraction = z + k / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction));
}

// IEEE 754 has 1 to any power, and -1 to an infinite one, equal to 1; of both Math.pow makes NaN
function power(x, y) {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y);
}

// log(e^x + e^y)
function logaddexp(x, y) {
  return x === y ? x + Math.LN2 : Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y)));
}

function choose(index, values) {
  return values[index] ?? NaN;
}
