"""A function of Python's that calls functions in machine code with arrays, for what ctypes is slow at.

ctypes needs each array's address, which takes NumPy about as long as the call itself. Where Python's header
is there, a small module of C asks the arrays' buffers for theirs.
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

from autobp.machine import cache
from autobp.machine.toolchain import NoMachineCode, toolchain

#: The most arguments that a function may have for the wrapper to call it, theta among them.
MOST = 6

_NAME = "autobp_call"

_SOURCE = """/* %(about)s */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef const double *In;

/* call(address, m, work, written or None, theta, ...data): the result, in a tuple where it or what is written
   is not finite; None where an array has gaps. */
static PyObject *call(PyObject *self, PyObject *const *given, Py_ssize_t n) {
    Py_buffer views[%(most)d + 1];
    const double *in[%(most)d] = {0};
    double *written = 0, *work, found = 0.0, zero;
    Py_ssize_t held = 0, first = 4, i, count = 0;
    int fits = 1;
    long m;
    void *run;
    (void)self;
    if (n < 5 || n > 4 + %(most)d) {
        PyErr_SetString(PyExc_TypeError, "an address, m, work, what is written, 1 to %(most)d arrays");
        return NULL;
    }
    run = PyLong_AsVoidPtr(given[0]);
    m = PyLong_AsLong(given[1]);
    work = PyLong_AsVoidPtr(given[2]);
    if (PyErr_Occurred()) return NULL;
    if (given[3] != Py_None) {
        if (PyObject_GetBuffer(given[3], &views[0], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) return NULL;
        written = views[0].buf;
        count = views[0].len / (Py_ssize_t)sizeof(double);
        held = 1;
    }
    for (; first < n; first++) {
        if (PyObject_GetBuffer(given[first], &views[held], PyBUF_C_CONTIGUOUS) < 0) {
            PyErr_Clear();
            fits = 0;
            break;
        }
        in[first - 4] = views[held].buf;
        fits = fits && (size_t)views[held].buf %% sizeof(double) == 0;
        held++;
    }
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        switch (n - 4) {
%(cases)s
        }
        Py_END_ALLOW_THREADS
    }
    zero = 0.0 * found;
    for (i = 0; fits && i < count; i++) zero += 0.0 * written[i];
    while (held > 0) PyBuffer_Release(&views[--held]);
    if (!fits) Py_RETURN_NONE;
    return zero == 0.0 ? PyFloat_FromDouble(found) : Py_BuildValue("(d)", found);
}

static PyMethodDef methods[] = {{"call", (PyCFunction)(void (*)(void))call, METH_FASTCALL, 0}, {0, 0, 0, 0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "%(name)s", 0, -1, methods, 0, 0, 0, 0};

PyMODINIT_FUNC PyInit_%(name)s(void) { return PyModule_Create(&module); }
"""


def _case(n: int) -> str:
    types, values = ", ".join(["In"] * n), ", ".join([f"in[{i}]" for i in range(n)])
    return f"""        case {n}:
            found = written ? ((double (*)({types}, long, double *, double *))run)({values}, m, written, work)
                            : ((double (*)({types}, long, double *))run)({values}, m, work);
            break;"""


@functools.lru_cache(maxsize=1)
def wrapper() -> Callable[..., Any] | None:
    """The function; None where it cannot be had."""
    about = f"For {sys.implementation.cache_tag}, {sys.version}".replace("*/", "")
    cases = "\n".join([_case(n) for n in range(1, MOST + 1)])
    source = _SOURCE % {"about": about, "most": MOST, "cases": cases, "name": _NAME}
    include = sysconfig.get_path("include")
    if sysconfig.get_config_var("Py_GIL_DISABLED") or not Path(include, "Python.h").is_file():
        return None
    try:
        tools = toolchain()
        key = tools.key(source)
        path = cache.find(key) or cache.put(key, tools.build(source, f"-I{include}"))
        loader = importlib.machinery.ExtensionFileLoader(_NAME, str(path))
        spec = importlib.util.spec_from_file_location(_NAME, path, loader=loader)
        if spec is None:
            return None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except (NoMachineCode, ImportError):
        return None
    found: Callable[..., Any] = module.call
    return found
