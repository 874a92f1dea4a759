"""Functions in machine code as Python's own: called with arrays, which are looked at in C.

ctypes needs each array's address, which takes NumPy about as long as a small function itself. Where the
headers of Python and NumPy are there, a module of C is built once that asks arrays for all of it at once.
"""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autobp.backends.c_text import CFunction
from autobp.machine import cache
from autobp.machine.memory import most_samples
from autobp.machine.toolchain import NoMachineCode, toolchain

MOST = 7  # arrays that a function may read, theta among them
_AXES = 8  # that each of them may have

#: Scalars, those of all samples, from which on other threads run meanwhile: they keep the interpreter for
#: longer than fewer of them take.
_MANY = 20_000

_NAME = "autobp_call"

_SOURCE = """/* %(about)s */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <numpy/arrayobject.h>

#define MOST %(most)d
#define AXES %(axes)d
#define LINE 64 /* bytes that the processor's cache has side by side */

typedef const double *In;
typedef double *Out;

typedef struct {
    int axes;
    npy_intp lengths[AXES]; /* -1 for the number of samples */
} Shape;

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    void *run;
    int n_read, n_written, is_cost;
    Py_ssize_t fixed, each; /* doubles of the work area: so many, and for each sample */
    Py_ssize_t few; /* samples up to which other threads wait, */
    Py_ssize_t most; /* and for which there is memory */
    Shape read[MOST], written[2];
    double *area; /* for calls that do not overlap */
    size_t size;
    int is_used;
} Function;

static int read_shapes(PyObject *told, Shape *shapes, int most, int *n) {
    if (PyTuple_GET_SIZE(told) > most) goto wrong;
    *n = (int)PyTuple_GET_SIZE(told);
    for (int i = 0; i < *n; i++) {
        PyObject *shape = PyTuple_GET_ITEM(told, i);
        if (!PyTuple_Check(shape) || PyTuple_GET_SIZE(shape) > AXES) goto wrong;
        shapes[i].axes = (int)PyTuple_GET_SIZE(shape);
        for (int axis = 0; axis < shapes[i].axes; axis++) {
            shapes[i].lengths[axis] = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, axis));
            if (PyErr_Occurred()) return -1;
        }
    }
    return 0;
wrong:
    PyErr_SetString(PyExc_ValueError, "at most %(most)d arrays to read, 2 to write, of %(axes)d axes");
    return -1;
}

/* The number of samples; 0 where there are none; -1 where an array is not of the shape, type or layout. */
static npy_intp samples_of(const Function *f, PyObject *const *given) {
    npy_intp m = 0;
    for (int i = 0; i < f->n_read; i++) {
        PyArrayObject *array = (PyArrayObject *)given[i];
        const Shape *shape = &f->read[i];
        if (!PyArray_CheckExact(given[i]) || PyArray_TYPE(array) != NPY_DOUBLE || !PyArray_ISCARRAY_RO(array)
            || PyArray_NDIM(array) != shape->axes) return -1;
        for (int axis = 0; axis < shape->axes; axis++) {
            const npy_intp length = PyArray_DIM(array, axis);
            if (shape->lengths[axis] >= 0 ? length != shape->lengths[axis] : (m && length != m) || !length)
                return -1;
            if (shape->lengths[axis] < 0) m = length;
        }
    }
    return m;
}

static PyObject *fresh(const Shape *shape, npy_intp m) {
    npy_intp lengths[AXES];
    for (int axis = 0; axis < shape->axes; axis++)
        lengths[axis] = shape->lengths[axis] < 0 ? m : shape->lengths[axis];
    return PyArray_SimpleNew(shape->axes, lengths, NPY_DOUBLE);
}

/* Whether all are finite: several sums side by side, for each waits for its last. */
static int all_finite(const double *x, npy_intp n) {
    double sums[16] = {0.0}, sum = 0.0;
    npy_intp i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) sums[k] += 0.0 * x[i + k];
    for (; i < n; i++) sum += 0.0 * x[i];
    for (int k = 0; k < 16; k++) sum += sums[k];
    return sum == 0.0;
}

/* The function's own call. 0 where all is as it should be. */
static int called(const Function *f, const In *in, long m, const Out *out, double *work, double *found) {
    switch (100 * f->is_cost + 10 * f->n_written + f->n_read) {
%(cases)s
    }
    return 1;
}

/* What it gives, as Python has it; nothing where it fails or gives what is not finite. */
static PyObject *result_of(Function *f, const In *in, npy_intp m, PyObject **made, double *work) {
    Out out[2] = {0};
    double found = 0.0;
    int wrong;
    for (int i = 0; i < f->n_written; i++) out[i] = (Out)PyArray_DATA((PyArrayObject *)made[i]);
    if (m > f->few) {
        Py_BEGIN_ALLOW_THREADS
        wrong = called(f, in, (long)m, out, work, &found);
        Py_END_ALLOW_THREADS
    } else
        wrong = called(f, in, (long)m, out, work, &found);
    for (int i = 0; i < f->n_written && !wrong; i++)
        wrong = !all_finite(out[i], PyArray_SIZE((PyArrayObject *)made[i]));
    if (wrong || !(0.0 * found == 0.0)) Py_RETURN_NONE;
    if (!f->is_cost) return f->n_written == 1 ? Py_NewRef(made[0]) : PyTuple_Pack(2, made[0], made[1]);
    PyObject *cost = PyFloat_FromDouble(found), *both = cost;
    if (cost && f->n_written) {
        both = PyTuple_Pack(2, cost, made[0]);
        Py_DECREF(cost);
    }
    return both;
}

/* The work area: what is kept, made larger where it must be, or one for this call; NULL for no memory. */
static double *area_for(Function *f, npy_intp m, double **own) {
    const size_t size = (size_t)(f->fixed + f->each * m) * sizeof(double) + LINE;
    double *area = f->area;
    if (f->is_used || f->size < size) {
        area = PyMem_RawMalloc(size);
        if (!area || f->is_used) {
            *own = area;
        } else {
            PyMem_RawFree(f->area);
            f->area = area;
            f->size = size;
        }
    }
    return area ? (double *)(((size_t)area + LINE - 1) / LINE * LINE) : NULL;
}

/* The function, of arrays. None for what must be looked at with more care: another layout or type, another
   shape, numbers that are not finite. */
static PyObject *call(PyObject *self, PyObject *const *given, size_t count, PyObject *names) {
    Function *f = (Function *)self;
    PyObject *made[2] = {0}, *result = NULL;
    In in[MOST];
    double *own = NULL, *work;
    if (PyVectorcall_NARGS(count) != f->n_read || (names && PyTuple_GET_SIZE(names))) Py_RETURN_NONE;
    const npy_intp m = samples_of(f, given);
    if (m < 0 || m > f->most) Py_RETURN_NONE;
    for (int i = 0; i < f->n_read; i++) in[i] = (In)PyArray_DATA((PyArrayObject *)given[i]);
    for (int i = 0; i < f->n_written; i++)
        if (!(made[i] = fresh(&f->written[i], m))) goto end;
    work = area_for(f, m, &own);
    if (!work) {
        PyErr_NoMemory();
        goto end;
    }
    const int is_kept = !own;
    if (is_kept) f->is_used = 1;
    result = result_of(f, in, m, made, work);
    if (is_kept) f->is_used = 0;
end:
    PyMem_RawFree(own);
    Py_XDECREF(made[0]);
    Py_XDECREF(made[1]);
    return result;
}

/* Function(address, is_cost, read, written, fixed, each, few, most) */
static PyObject *new(PyTypeObject *type, PyObject *given, PyObject *named) {
    PyObject *address, *read, *written;
    Function *f = (Function *)type->tp_alloc(type, 0);
    (void)named;
    if (!f) return NULL;
    f->vectorcall = call;
    if (!PyArg_ParseTuple(given, "O!pO!O!nnnn", &PyLong_Type, &address, &f->is_cost, &PyTuple_Type, &read,
                          &PyTuple_Type, &written, &f->fixed, &f->each, &f->few,
                          &f->most)
        || read_shapes(read, f->read, MOST, &f->n_read) < 0
        || read_shapes(written, f->written, 2, &f->n_written) < 0
        || (!(f->run = PyLong_AsVoidPtr(address)) && PyErr_Occurred())) {
        Py_DECREF(f);
        return NULL;
    }
    return (PyObject *)f;
}

static void gone(PyObject *self) {
    PyMem_RawFree(((Function *)self)->area);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "%(name)s.Function",
    .tp_basicsize = sizeof(Function),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Function, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = new,
    .tp_dealloc = gone,
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", 0, -1, 0, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit_%(name)s(void) {
    PyObject *made;
    import_array();
    if (PyType_Ready(&type) < 0 || !(made = PyModule_Create(&module))) return NULL;
    Py_INCREF(&type);
    if (PyModule_AddObject(made, "Function", (PyObject *)&type) < 0) {
        Py_DECREF(&type);
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
"""


def _case(is_cost: bool, written: int, read: int) -> str:
    types = ", ".join([*["In"] * read, "long", *["Out"] * (written + 1)])
    values = [*[f"in[{i}]" for i in range(read)], "m", *[f"out[{i}]" for i in range(written)], "work"]
    call = f"(({'double' if is_cost else 'int'} (*)({types}))f->run)({', '.join(values)})"
    number = 100 * is_cost + 10 * written + read
    return f"        case {number}: {f'*found = {call}; return 0;' if is_cost else f'return {call};'}"


@functools.lru_cache(maxsize=1)
def wrapper() -> Callable[..., Any] | None:
    """What makes functions of Python's; None where it cannot be had."""
    about = f"For {sys.implementation.cache_tag}, {sys.version}, NumPy {np.__version__}".replace("*/", "")
    kinds = [(True, 0), (True, 1), (False, 1), (False, 2)]
    cases = "\n".join([_case(*kind, n) for kind in kinds for n in range(1, MOST + 1)])
    source = _SOURCE % {"about": about, "most": MOST, "axes": _AXES, "cases": cases, "name": _NAME}
    folders = [sysconfig.get_path("include"), np.get_include()]
    headers = [Path(folders[0], "Python.h"), Path(folders[1], "numpy", "arrayobject.h")]
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not all(header.is_file() for header in headers):
        return None
    try:
        tools = toolchain()
        key = tools.key(source)
        options = [f"-I{folder}" for folder in folders]
        path = cache.find(key) or cache.put(key, tools.build(source, *options))
        loader = importlib.machinery.ExtensionFileLoader(_NAME, str(path))
        spec = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
        if spec is None:
            return None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except (NoMachineCode, ImportError):
        return None
    found: Callable[..., Any] = module.Function
    return found


def direct(function: CFunction, address: int, scalars: int) -> Callable[..., Any] | None:
    """A function at an address as one of Python's, of theta and the data; None where there can be none.

    It gives None for arrays that are not float64, row by row and of the right shapes, for more of them than
    there is memory for, and where a result is not finite.

    Args:
        scalars: of one sample, about as many as it computes.
    """
    shapes = ((function.n_parameters,), *function.shapes)
    made = wrapper()
    if made is None or len(shapes) > MOST or max(map(len, [*shapes, *function.written])) > _AXES:
        return None
    is_cost, few = function.result_shape is None, _MANY // max(scalars, 1)
    areas = function.fixed, function.each
    most = most_samples(8 * areas[0], 8 * areas[1])
    found: Callable[..., Any] = made(address, is_cost, shapes, function.written, *areas, few, most)
    return found
