"""fit_model against SciPy's curve_fit, closed forms, Newton's method by hand, and differences."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest

import autobp
from autobp import Parameter, fit_model

scipy = pytest.importorskip("scipy")
from scipy import optimize, stats  # noqa: E402

RNG = np.random.default_rng(11)
X = np.linspace(0.0, 4.0, 40)
TRUE = (2.5, 1.3, 0.5)
Y = TRUE[0] * np.exp(-TRUE[1] * X) + TRUE[2] + 0.05 * RNG.normal(size=len(X))
START = {"a": 1.0, "k": 1.0, "c": 0.0}


def decay(p, x):
    return p.a * autobp.exp(-p.k * x) + p.c


def decay_of_numpy(x, a, k, c):
    return a * np.exp(-k * x) + c


def line(p, x):
    return p.a + p.b * x


# --------------------------------------------------------------------------------------- against curve_fit

SIGMA = 0.02 + 0.05 * RNG.random(len(X))
FACTOR = 0.1 * RNG.normal(size=(len(X), len(X)))
COVARIANCE = FACTOR @ FACTOR.T / len(X) + 0.002 * np.eye(len(X))


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("sigma", [None, 0.05, SIGMA, COVARIANCE], ids=["none", "one", "rows", "covariance"])
def test_values_and_covariance_are_those_of_curve_fit(sigma, absolute):
    fit = fit_model(decay, X, Y, START, sigma=sigma, absolute_sigma=absolute)
    given = np.full(len(X), sigma) if isinstance(sigma, float) else sigma
    values, covariance = optimize.curve_fit(
        decay_of_numpy, X, Y, [1.0, 1.0, 0.0], sigma=given, absolute_sigma=absolute, xtol=1e-14, ftol=1e-14
    )
    assert fit.converged, str(fit)
    assert fit.theta == pytest.approx(values, rel=1e-6)
    assert fit.covariance == pytest.approx(covariance, rel=1e-4)
    assert list(fit.errors.values()) == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-4)
    assert fit.warnings == ()


def test_weights_are_inverse_squares_of_sigma():
    by_weights = fit_model(decay, X, Y, START, weights=SIGMA**-2.0)
    by_sigma = fit_model(decay, X, Y, START, sigma=SIGMA)
    assert by_weights.theta == pytest.approx(by_sigma.theta, rel=1e-9)
    assert by_weights.covariance == pytest.approx(by_sigma.covariance, rel=1e-9)


def test_rows_that_weigh_nothing_do_not_count():
    weights = np.ones(len(X))
    weights[:5] = 0.0
    spoiled = Y.copy()
    spoiled[:5] = 100.0
    fit = fit_model(decay, X, spoiled, START, weights=weights)
    expected = fit_model(decay, X[5:], Y[5:], START)
    assert fit.theta == pytest.approx(expected.theta, rel=1e-7)
    assert fit.covariance == pytest.approx(expected.covariance, rel=1e-6)
    assert (fit.observed, fit.aic) == (35, pytest.approx(expected.aic))


@pytest.mark.parametrize("loss", ["soft_l1", "huber", "cauchy", "arctan"])
def test_robust_losses_are_those_of_scipy(loss):
    spoiled = Y.copy()
    spoiled[[5, 17, 30]] += 3.0
    fit = fit_model(decay, X, spoiled, {"a": 2.0, "k": 1.0, "c": 0.3}, loss=loss, f_scale=0.1)
    found = optimize.least_squares(
        lambda t: decay_of_numpy(X, *t) - spoiled, [2.0, 1.0, 0.3], loss=loss, f_scale=0.1,
        xtol=1e-14, ftol=1e-14, gtol=1e-14,
    )  # fmt: skip
    assert fit.converged, str(fit)
    assert fit.theta == pytest.approx(found.x, rel=1e-5)
    assert fit.chi2 == pytest.approx(2.0 * found.cost, rel=1e-8)
    assert math.isnan(fit.log_likelihood)
    assert np.abs(fit.theta - TRUE).max() < 0.15
    plain = fit_model(decay, X, spoiled, START)
    assert fit.errors["a"] < plain.errors["a"]


def test_the_errors_of_a_robust_location_are_hubers():
    """Of a mean by Huber's loss: the sum of ψ² over the square of the sum of ψ' (times m/(m-1))."""
    y = np.append(RNG.normal(size=30), [8.0, -9.0])
    fit = fit_model(lambda p, x: p.mu + 0 * x, np.zeros(32), y, {"mu": 0.0}, loss="huber", f_scale=1.5)
    r = fit.theta[0] - y
    psi = np.clip(r, -1.5, 1.5)
    assert psi.sum() == pytest.approx(0.0, abs=1e-6)
    expected = math.sqrt((psi**2).sum() * 32 / 31) / (np.abs(r) <= 1.5).sum()
    assert fit.errors["mu"] == pytest.approx(expected, rel=1e-6)


# ------------------------------------------------------------------------------------------- closed forms


def test_a_straight_line_against_its_closed_form():
    y = 1.0 + 0.7 * X + 0.1 * RNG.normal(size=len(X))
    fit = fit_model(line, X, y, {"a": 0.0, "b": 0.0})
    expected = stats.linregress(X, y)
    assert fit.values == pytest.approx({"a": expected.intercept, "b": expected.slope}, rel=1e-10)
    assert fit.errors == pytest.approx({"a": expected.intercept_stderr, "b": expected.stderr}, rel=1e-9)
    residuals = y - expected.intercept - expected.slope * X
    assert fit.residuals == pytest.approx(residuals, abs=1e-12)
    m = len(X)
    log_likelihood = stats.norm(0, math.sqrt((residuals**2).mean())).logpdf(residuals).sum()
    assert fit.log_likelihood == pytest.approx(log_likelihood, rel=1e-10)
    assert fit.aic == pytest.approx(6 - 2 * log_likelihood)
    assert fit.bic == pytest.approx(3 * math.log(m) - 2 * log_likelihood)
    assert fit.degrees_of_freedom == m - 2
    # the band of a line, by the textbook
    s = math.sqrt((residuals**2).sum() / (m - 2))
    at = np.array([-1.0, 2.0, 9.0])
    spread = s * np.sqrt(1 / m + (at - X.mean()) ** 2 / ((X - X.mean()) ** 2).sum())
    t = stats.t.ppf(0.975, m - 2)
    assert fit.predict(at).error == pytest.approx(spread, rel=1e-9)
    low, high = fit.band(at)
    assert high - low == pytest.approx(2 * t * spread, rel=1e-9)
    low, high = fit.band(at, observations=True)
    assert high - low == pytest.approx(2 * t * np.sqrt(spread**2 + s * s), rel=1e-9)
    # of what is linear the profile's interval is the one of the standard error
    profile = fit.profile("b")
    assert (profile.lower, profile.upper) == pytest.approx(fit.intervals()["b"], rel=1e-6)
    assert profile.deviations == pytest.approx((profile.values - fit.values["b"]) / fit.errors["b"], abs=1e-4)


def test_a_known_sigma_gives_the_likelihood_with_it():
    fit = fit_model(decay, X, Y, START, sigma=0.05, absolute_sigma=True)
    expected = stats.norm(0, 0.05).logpdf(fit.residuals).sum()
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert fit.aic == pytest.approx(6 - 2 * expected)
    assert fit.quantile(0.95) == pytest.approx(1.959963984540054)


def test_the_profile_is_where_the_deviance_has_grown_by_t_squared():
    fit = fit_model(decay, X, Y, START)
    profile = fit.profile("k", level=0.9)
    t = stats.t.ppf(0.95, fit.degrees_of_freedom)
    for end, sign in ((profile.lower, -1.0), (profile.upper, 1.0)):
        refitted = fit_model(decay, X, Y, {"a": 2.0, "k": Parameter(end, fixed=True), "c": 0.4})
        growth = (refitted.chi2 - fit.chi2) / fit.reduced_chi2
        assert sign * math.sqrt(growth) == pytest.approx(sign * t, rel=1e-4)
    assert (np.diff(profile.values) > 0).all()
    assert (np.diff(profile.deviations) > 0).all()


def test_the_delta_method_against_differences():
    fit = fit_model(decay, X, Y, START)
    at = np.array([0.3, 2.0])
    jacobian = np.empty((2, 3))
    for j in range(3):
        h = 1e-6 * np.eye(3)[j]
        jacobian[:, j] = (decay_of_numpy(at, *(fit.theta + h)) - decay_of_numpy(at, *(fit.theta - h))) / 2e-6
    expected = np.sqrt(np.einsum("mi,ij,mj->m", jacobian, fit.covariance, jacobian))
    assert fit.predict(at).error == pytest.approx(expected, rel=1e-6)
    assert fit.predict(at).value == pytest.approx(decay_of_numpy(at, *fit.theta))


# --------------------------------------------------------------------------------------------- parameters


def test_fixed_parameters_stay():
    fit = fit_model(decay, X, Y, {"a": 1.0, "k": 1.0, "c": Parameter(0.5, fixed=True)})
    values, covariance = optimize.curve_fit(lambda x, a, k: decay_of_numpy(x, a, k, 0.5), X, Y, [1.0, 1.0])
    assert fit.values["c"] == 0.5
    assert fit.theta[:2] == pytest.approx(values, rel=1e-6)
    assert fit.covariance[:2, :2] == pytest.approx(covariance, rel=1e-4)
    assert fit.errors["c"] == 0.0
    assert fit.degrees_of_freedom == len(X) - 2
    assert "fixed" in str(fit)


@pytest.mark.parametrize("upper", [0.3, 1e-3])
def test_a_parameter_at_its_bound_is_said_to_be_there(upper):
    fit = fit_model(decay, X, Y, {"a": 1.0, "k": 1.0, "c": Parameter(0.0, bounds=(None, upper))})
    values, covariance = optimize.curve_fit(
        lambda x, a, k: decay_of_numpy(x, a, k, upper), X, Y, [1.0, 1.0], xtol=1e-14, ftol=1e-14
    )
    assert fit.converged
    assert fit.at_bound == ("c",)
    assert fit.values["c"] == upper
    assert fit.theta[:2] == pytest.approx(values, rel=1e-6)
    assert fit.covariance[:2, :2] == pytest.approx(covariance, rel=1e-4)
    assert math.isnan(fit.errors["c"])
    assert "AT ITS BOUND: c" in str(fit)


def test_bounds_that_do_not_matter_change_nothing():
    bounded = {name: Parameter(start, bounds=(-10.0, 10.0)) for name, start in START.items()}
    fit = fit_model(decay, X, Y, bounded)
    assert fit.at_bound == ()
    assert fit.theta == pytest.approx(fit_model(decay, X, Y, START).theta, rel=1e-8)


def test_groups_share_what_is_shared():
    x = np.tile(X, 2)
    groups = ["u"] * len(X) + ["v"] * len(X)
    y = np.concatenate([decay_of_numpy(X, 2.0, 0.8, 0.1), decay_of_numpy(X, 5.0, 0.8, -0.3)])
    y += 0.01 * RNG.normal(size=len(y))
    own = {"a": Parameter(1.0, shared=False), "k": 1.0, "c": Parameter(0.0, shared=False)}
    fit = fit_model(decay, x, y, own, groups=groups)
    assert fit.names == ("a[u]", "a[v]", "k", "c[u]", "c[v]")
    of_v = np.arange(len(x)) >= len(X)

    def together(x, au, av, k, cu, cv):
        return np.where(of_v, av, au) * np.exp(-k * x) + np.where(of_v, cv, cu)

    values, covariance = optimize.curve_fit(together, x, y, [1.0, 1.0, 1.0, 0.0, 0.0])
    assert fit.theta == pytest.approx(values, rel=1e-6)
    assert fit.covariance == pytest.approx(covariance, rel=1e-4, abs=1e-12)
    predicted = fit.predict([0.5, 0.5], groups=["v", "u"]).value
    assert predicted == pytest.approx(
        [decay_of_numpy(0.5, *values[[1, 2, 4]]), decay_of_numpy(0.5, *values[[0, 2, 3]])], rel=1e-6
    )
    assert fit.parameters.a == {"u": fit.values["a[u]"], "v": fit.values["a[v]"]}
    assert fit.parameters.k == fit.values["k"]
    with pytest.raises(ValueError, match="'w' was not fitted"):
        fit.predict([0.5], groups=["w"])


def test_parameters_that_are_lists_and_rows_of_several_numbers():
    rows = RNG.normal(size=(50, 3))
    y = rows @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * RNG.normal(size=50)
    fit = fit_model(lambda p, x: autobp.dot(p.w, x) + p.b, rows, y, {"w": [0.0, 0.0, 0.0], "b": 0.0})
    design = np.column_stack([rows, np.ones(50)])
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    assert fit.names == ("w[0]", "w[1]", "w[2]", "b")
    assert fit.theta == pytest.approx(expected, rel=1e-8)
    assert fit.parameters.w == pytest.approx(expected[:3])
    assert fit.parameters["b"] == pytest.approx(expected[3])


def test_models_of_several_outputs_and_arguments():
    u, v = RNG.random(30), RNG.random(30)
    y = np.column_stack([2.0 * u + v, np.exp(0.5 * v) * u]) + 0.01 * RNG.normal(size=(30, 2))

    def model(p, u, v):
        return [p.a * u + v, autobp.exp(p.b * v) * u]

    fit = fit_model(model, (u, v), y, {"a": 1.0, "b": 0.0}, sigma=[0.01, 0.02])

    def residuals(t):
        return ((np.column_stack([t[0] * u + v, np.exp(t[1] * v) * u]) - y) / [0.01, 0.02]).ravel()

    found = optimize.least_squares(residuals, [1.0, 0.0], xtol=1e-14)
    assert fit.theta == pytest.approx(found.x, rel=1e-6)
    assert fit.chi2 == pytest.approx(2 * found.cost, rel=1e-9)
    assert fit.predict((u, v)).value.shape == (30, 2)
    assert fit.residuals.shape == (30, 2)


def test_rows_with_nan():
    y = Y.copy()
    y[3] = math.nan
    x = X.copy()
    x[7] = math.nan
    with pytest.raises(ValueError, match=r"row 3 holds NaN.*omit.*2 of 40"):
        fit_model(decay, x, y, START)
    fit = fit_model(decay, x, y, START, nan_policy="omit")
    kept = np.isfinite(x) & np.isfinite(y)
    assert fit.theta == pytest.approx(fit_model(decay, X[kept], Y[kept], START).theta, rel=1e-10)
    assert "2 rows with NaN were left out" in str(fit)
    omitted = fit_model(decay, x, y, START, nan_policy="omit", sigma=COVARIANCE)
    inner = COVARIANCE[np.ix_(kept, kept)]
    expected = fit_model(decay, X[kept], Y[kept], START, sigma=inner).theta
    assert omitted.theta == pytest.approx(expected, rel=1e-8)


# ------------------------------------------------------------------------------------ what does not work


def test_flat_directions_are_named():
    fit = fit_model(lambda p, x: p.a * p.b * x + p.c, X, 6.0 * X + Y, {"a": 1.0, "b": 2.0, "c": 0.0})
    assert len(fit.flat) == 1
    assert "a" in fit.flat[0]
    assert "b" in fit.flat[0]
    assert "c" not in fit.flat[0]
    assert fit.errors["a"] == math.inf
    assert math.isfinite(fit.errors["c"])
    # along a flat direction two numbers are one: errors are those of the line
    straight = fit_model(line, X, 6.0 * X + Y, {"a": 0.0, "b": 0.0})
    assert fit.errors["c"] == pytest.approx(straight.errors["a"], rel=1e-6)
    assert fit.degrees_of_freedom == straight.degrees_of_freedom
    assert "FLAT" in str(fit)
    with pytest.raises(ValueError, match="a has no finite standard error"):
        fit.profile("a")
    # whatever the units of a and b, both are named
    start = {"a": 1e-9, "b": 2e9, "c": 0.0}
    far = fit_model(lambda p, x: p.a * p.b * x + p.c, X, 6.0 * X + Y, start)
    assert "a" in far.flat[0]
    assert "b" in far.flat[0]


def test_a_slope_of_0_is_no_optimum_where_a_step_leads_down():
    """Of a·b·x at a = b = 0 every derivative is 0, and the search does not leave."""
    fit = fit_model(lambda p, x: p.a * p.b * x, X, 3.0 * X, {"a": 0.0, "b": 0.0})
    assert not fit.converged
    assert "start elsewhere" in str(fit)


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1e9, 1e40])
def test_units_change_the_units_of_the_result_alone(unit):
    plain = fit_model(decay, X, Y, START)
    scaled = fit_model(decay, X / unit, Y * unit, {"a": unit, "k": unit, "c": 0.0})
    factors = np.array([unit, unit, unit])
    assert scaled.converged, str(scaled)
    assert scaled.theta == pytest.approx(plain.theta * factors, rel=1e-7)
    assert list(scaled.errors.values()) == pytest.approx(list(plain.errors.values()) * factors, rel=1e-6)


def test_a_constant_is_a_model():
    fit = fit_model(lambda p, x: p.mean, X, Y, {"mean": 0.0})
    assert fit.values["mean"] == pytest.approx(Y.mean(), rel=1e-12)
    assert fit.errors["mean"] == pytest.approx(stats.sem(Y), rel=1e-10)


def test_data_that_are_met_exactly():
    fit = fit_model(line, X, 1.0 + 2.0 * X, {"a": 0.0, "b": 0.0})
    assert fit.converged
    assert fit.theta == pytest.approx([1.0, 2.0], rel=1e-12)
    assert fit.warnings[0].startswith("ROUNDING")


def test_a_fit_pickles():
    fit = pickle.loads(pickle.dumps(fit_model(line, X, Y, {"a": 0.0, "b": 0.0})))
    assert fit.predict([1.0]).value == pytest.approx(fit.values["a"] + fit.values["b"])
    assert "Least squares" in str(fit)


def test_a_parameter_that_does_nothing_is_flat():
    fit = fit_model(lambda p, x: p.a * x + 0.0 * p.b, X, Y, {"a": 1.0, "b": 2.0})
    assert fit.flat == ("1·b",)
    assert fit.errors["b"] == math.inf


@pytest.mark.parametrize("likelihood", [None, lambda f, y: -((f - y) ** 2)], ids=["squares", "likelihood"])
def test_derivatives_that_are_not_finite_are_no_optimum(likelihood):
    """|x - p|^½ has an infinite slope where p meets one of the x, and fits best there."""
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.0, 1.0])
    fit = fit_model(lambda p, x: (abs(x - p.p) + 0.0) ** 0.5, x, y, {"p": 1.0}, likelihood=likelihood)
    assert not fit.converged
    assert "not finite" in fit.message
    assert math.isnan(fit.errors["p"])


def test_a_search_that_is_cut_short_says_so():
    fit = fit_model(decay, X, Y, {"a": 1.0, "k": 9.0, "c": 0.0}, max_evaluations=2)
    assert not fit.converged
    assert "NOT CONVERGED" in str(fit)
    assert "not converged" in repr(fit)
    with pytest.raises(ValueError, match="has not converged"):
        fit.profile("a")


def test_as_many_parameters_as_measurements():
    fit = fit_model(line, [0.0, 1.0], [1.0, 3.0], {"a": 0.0, "b": 0.0})
    assert fit.theta == pytest.approx([1.0, 2.0])
    assert math.isnan(fit.errors["a"])
    assert "NO DEGREES OF FREEDOM" in str(fit)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"parameters": {}}, TypeError, "at least one name"),
        ({"parameters": {"a": Parameter(1.0, fixed=True)}}, ValueError, "every parameter is fixed"),
        ({"parameters": {"a": Parameter(1.0, bounds=(2.0, 3.0))}}, ValueError, "start of a.*2.0 and 3.0"),
        ({"parameters": {"a": Parameter(1.0, bounds=(3.0, 2.0))}}, ValueError, "must be less"),
        ({"parameters": {"a": Parameter(1.0, shared=False)}}, ValueError, "no groups"),
        ({"parameters": {"a": "x"}}, ValueError, "start of a"),
        ({"parameters": {"a": 1.0, "k": 1.0}}, AttributeError, "no parameter 'c'; it has a, k"),
        ({"sigma": 0.0}, ValueError, "sigma must be positive"),
        ({"sigma": [1.0, 2.0]}, ValueError, r"sigma has the shape \(2,\)"),
        ({"sigma": -np.eye(40)}, ValueError, "not positive definite"),
        ({"sigma": np.eye(40) + np.eye(40, k=1)}, ValueError, "not symmetric"),
        ({"sigma": np.full((40, 40), math.nan)}, ValueError, "not finite"),
        ({"sigma": COVARIANCE, "y": np.append(Y[:-1], math.inf)}, ValueError, "row 39 holds an infinite"),
        ({"sigma": np.append(SIGMA[:-1], math.nan)}, ValueError, "row 39 holds NaN"),
        ({"sigma": 1.0, "weights": 1.0}, ValueError, "not both"),
        ({"X": X + 0j}, TypeError, "X must be real numbers; got an array of complex128"),
        ({"y": np.ma.masked_less(Y, np.median(Y))}, TypeError, "y has masked elements"),
        ({"sigma": np.ma.masked_less(SIGMA, np.median(SIGMA))}, TypeError, "sigma has masked elements"),
        ({"loss": "hubert"}, ValueError, "did you mean 'huber'"),
        ({"likelihood": "poison"}, ValueError, "did you mean 'poisson'"),
        ({"likelihood": "poisson", "sigma": 1.0}, ValueError, "for least squares"),
        ({"likelihood": "poisson"}, ValueError, "poisson: measurements must be counts"),
        ({"likelihood": "bernoulli"}, ValueError, "bernoulli: measurements must be 0 or 1; row 0 has"),
        ({"y": Y[:5]}, ValueError, "X has 40 rows and y 5"),
        ({"y": np.append(Y[:-1], math.inf)}, ValueError, "row 39 holds an infinite number"),
        ({"groups": ["a"]}, ValueError, "groups has 1 labels"),
        ({"nan_policy": "propagate"}, ValueError, "nan_policy"),
        ({"f_scale": 0.0}, ValueError, "f_scale"),
        ({"parameters": {"a": 1.0, "k": -1e4, "c": 0.0}}, ValueError, "at the start the model gives"),
        ({"y": np.zeros((40, 2))}, ValueError, "the model gives 1 numbers for a row, and y has 2"),
    ],
)
def test_what_does_not_fit_is_named(change, error, words):
    arguments = {"X": X, "y": Y, "parameters": START} | change
    with pytest.raises(error, match=words):
        fit_model(decay, arguments.pop("X"), arguments.pop("y"), arguments.pop("parameters"), **arguments)


def test_without_scipy_it_says_what_to_install():
    code = (
        "import sys; sys.modules['scipy'] = None\n"
        "import autobp\n"
        "try:\n    autobp.fit_model(lambda p, x: p.a, [1.0], [1.0], {'a': 1.0})\n"
        "except ImportError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 'pip install "autobp[models]"' in out


# --------------------------------------------------------------------------------------------- likelihoods

ROWS = RNG.normal(size=(200, 2))
COUNTS = RNG.poisson(np.exp(0.4 * ROWS[:, 0] - 0.7 * ROWS[:, 1] + 1.0)).astype(float)
CLASSES = (RNG.random(200) < 1 / (1 + np.exp(-(1.5 * ROWS[:, 0] - ROWS[:, 1])))).astype(float)
DESIGN = np.column_stack([ROWS, np.ones(200)])


def by_scoring(y, mean, weight):
    """Fisher's scoring for a canonical link: parameters and covariance."""
    beta = np.zeros(3)
    for _ in range(50):
        eta = DESIGN @ beta
        information = (DESIGN.T * weight(eta)) @ DESIGN
        beta = beta + np.linalg.solve(information, DESIGN.T @ (y - mean(eta)))
    return beta, np.linalg.inv(information)


def linear(p, x):
    return p.w[0] * x[0] + p.w[1] * x[1] + p.b


def test_poisson_regression():
    fit = fit_model(lambda p, x: autobp.exp(linear(p, x)), ROWS, COUNTS, {"w": [0.0, 0.0], "b": 0.0},
                    likelihood="poisson")  # fmt: skip
    beta, covariance = by_scoring(COUNTS, np.exp, np.exp)
    assert fit.converged, str(fit)
    assert fit.theta == pytest.approx(beta, rel=1e-8)
    assert fit.covariance == pytest.approx(covariance, rel=1e-7)
    expected = stats.poisson(np.exp(DESIGN @ beta)).logpmf(COUNTS).sum()
    assert fit.log_likelihood == pytest.approx(expected, rel=1e-10)
    assert fit.aic == pytest.approx(6 - 2 * expected)
    assert math.isnan(fit.chi2)
    value, error = fit.predict([[0.0, 0.0]])
    assert value == pytest.approx([math.exp(beta[2])])
    assert error == pytest.approx([math.exp(beta[2]) * math.sqrt(covariance[2, 2])], rel=1e-6)


@pytest.mark.parametrize("own", [False, True])
def test_logistic_regression(own):
    if own:
        fit = fit_model(linear, ROWS, CLASSES, {"w": [0.0, 0.0], "b": 0.0},
                        likelihood=lambda z, y: y * z - autobp.softplus(z))  # fmt: skip
    else:
        fit = fit_model(lambda p, x: autobp.sigmoid(linear(p, x)), ROWS, CLASSES, {"w": [0.0, 0.0], "b": 0.0},
                        likelihood="bernoulli")  # fmt: skip
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    beta, covariance = by_scoring(CLASSES, sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z)))
    assert fit.converged, str(fit)
    assert fit.theta == pytest.approx(beta, rel=1e-8)
    assert fit.covariance == pytest.approx(covariance, rel=1e-7)
    p = sigmoid(DESIGN @ beta)
    assert fit.log_likelihood == pytest.approx(stats.bernoulli(p).logpmf(CLASSES).sum(), rel=1e-10)


def test_statsmodels_agrees():
    statsmodels = pytest.importorskip("statsmodels.api")
    fit = fit_model(lambda p, x: autobp.exp(linear(p, x)), ROWS, COUNTS, {"w": [0.0, 0.0], "b": 0.0},
                    likelihood="poisson")  # fmt: skip
    expected = statsmodels.Poisson(COUNTS, DESIGN).fit(disp=0, method="newton", tol=1e-12)
    assert fit.theta == pytest.approx(expected.params, rel=1e-7)
    assert list(fit.errors.values()) == pytest.approx(expected.bse, rel=1e-6)
    assert (fit.log_likelihood, fit.aic, fit.bic) == pytest.approx((expected.llf, expected.aic, expected.bic))


def test_a_normal_likelihood_with_a_sigma_of_its_own_is_least_squares():
    def density(output, y):
        mean, log_sigma = output
        return -0.5 * ((y[0] - mean) * autobp.exp(-log_sigma)) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)

    def model(p, x):
        return [decay(p, x), p.log_sigma + 0 * x]

    fit = fit_model(model, X, np.column_stack([Y, Y]), START | {"log_sigma": -1.0}, likelihood=density)
    squares = fit_model(decay, X, Y, START)
    assert fit.converged, str(fit)
    assert fit.theta[:3] == pytest.approx(squares.theta, rel=1e-6)
    assert fit.log_likelihood == pytest.approx(squares.log_likelihood, rel=1e-9)
    assert fit.aic == pytest.approx(squares.aic)
    # the likelihood divides by m, least squares by m - 3
    ratio = math.sqrt((len(X) - 3) / len(X))
    assert fit.errors["c"] == pytest.approx(squares.errors["c"] * ratio, rel=0.05)


def test_a_likelihood_with_a_bound():
    start = {"w": Parameter([0.0, 0.0], bounds=(-0.5, 0.5)), "b": 0.0}
    fit = fit_model(lambda p, x: autobp.exp(linear(p, x)), ROWS, COUNTS, start, likelihood="poisson")
    assert fit.at_bound == ("w[1]",)
    assert fit.values["w[1]"] == -0.5
    one = lambda p, x: autobp.exp(p.w * x[0] - 0.5 * x[1] + p.b)  # noqa: E731
    fixed = fit_model(one, ROWS, COUNTS, {"w": 0.0, "b": 0.0}, likelihood="poisson")
    assert fit.theta[[0, 2]] == pytest.approx(fixed.theta, rel=1e-7)
    assert fit.covariance[np.ix_([0, 2], [0, 2])] == pytest.approx(fixed.covariance, rel=1e-6)


def test_classes_that_a_plane_separates_have_no_largest_likelihood():
    y = (ROWS[:, 0] > 0.0).astype(float)
    fit = fit_model(lambda p, x: autobp.sigmoid(p.w * x[0]), ROWS, y, {"w": 1.0}, likelihood="bernoulli")
    assert fit.values["w"] > 50.0
    assert not fit.converged or fit.errors["w"] > fit.values["w"]


def test_profiles_of_a_likelihood():
    fit = fit_model(lambda p, x: autobp.exp(linear(p, x)), ROWS, COUNTS, {"w": [0.0, 0.0], "b": 0.0},
                    likelihood="poisson")  # fmt: skip
    profile = fit.profile("b")
    for end in (profile.lower, profile.upper):
        fixed = {"w": [0.0, 0.0], "b": Parameter(end, fixed=True)}
        refitted = fit_model(lambda p, x: autobp.exp(linear(p, x)), ROWS, COUNTS, fixed, likelihood="poisson")
        growth = 2 * (fit.log_likelihood - refitted.log_likelihood)
        assert growth == pytest.approx(stats.chi2(1).ppf(0.95), rel=1e-4)


# ------------------------------------------------------------------------------------------------- showing


def test_the_table():
    text = str(fit_model(decay, X, Y, START))
    for word in ("Least squares: 40 measurements, 3 parameters", "parameter", "standard error",
                 "95 % interval", "χ²", "37 degrees of freedom", "log-likelihood", "AIC", "BIC"):  # fmt: skip
        assert word in text
    assert "NOT CONVERGED" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("case", ["curve", "rows", "groups"])
def test_a_plot_shows_data_curve_band_and_residuals(case):
    pytest.importorskip("matplotlib")
    if case == "curve":
        fit = fit_model(decay, X, Y, START)
    elif case == "rows":
        fit = fit_model(lambda p, x: p.a * x[0] + p.b * x[1], ROWS, COUNTS, {"a": 0.0, "b": 0.0})
    else:
        groups = ["u", "v"] * 20
        fit = fit_model(decay, X, Y, START | {"c": Parameter(0.0, shared=False)}, groups=groups)
    figure = fit.plot()
    above, below = figure.axes
    assert len(below.lines[0].get_xdata()) == fit.observed
    assert below.lines[0].get_ydata() == pytest.approx(fit.residuals)
    if case == "curve":
        curve = above.lines[1]
        assert curve.get_ydata() == pytest.approx(decay_of_numpy(curve.get_xdata(), *fit.theta))
        assert len(above.collections) == 1
