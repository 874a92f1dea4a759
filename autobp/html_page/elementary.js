// The elementary functions that the rules call and JavaScript lacks, as Python's floats have them.

// erf x and erfc x = 1 - erf x: from the Taylor series of erf, times e^(x²), near 0, and from the continued fraction
// of erfc beyond (Abramowitz and Stegun 7.1.6 and 7.1.14); erf to about 1e-15, erfc too, of its own size for x >= 2.5.
function erfSeries(x) {
  let term = x;
  let sum = x;
  for (let k = 1; Math.abs(term) > 1e-17 * Math.abs(sum); k++) {
    term *= (2 * x * x) / (2 * k + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function erfcFraction(x) {
  if (x > 30) return 0;
  let fraction = x;
  for (let k = 60; k > 0; k--) fraction = x + k / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

function erf(x) {
  if (Math.abs(x) < 2.5) return erfSeries(x);
  return Number.isNaN(x) ? NaN : Math.sign(x) * (1 - erfcFraction(Math.abs(x)));
}

function erfc(x) {
  return x >= 2.5 ? erfcFraction(x) : 1 - erf(x);
}

// IEEE 754 has 1 to any power, and -1 to an infinite one, equal to 1; of both Math.pow makes NaN
function power(x, y) {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : Math.pow(x, y);
}

// log(e^x + e^y)
function logaddexp(x, y) {
  return x === y ? x + Math.LN2 : Math.max(x, y) + Math.log1p(Math.exp(-Math.abs(x - y)));
}

// to the nearest whole number, a tie to the even one; of halves and beyond 2^52 nothing else is exact
function rint(x) {
  const below = Math.floor(x);
  if (x - below === 0.5) return 2 * Math.floor(0.5 * below + 0.5);
  return x - below > 0.5 ? below + 1 : below;
}

// x - y·⌊x/y⌋, exactly, with the sign of y
function remainder(x, y) {
  const left = x % y;
  return left !== 0 && left < 0 !== y < 0 ? left + y : left;
}

function choose(index, values) {
  return values[index] ?? NaN;
}
