"""Functions that programs over the Array API bring along, as text: what is no single function of it."""

from __future__ import annotations

from typing import Final

#: Functions that texts bring along, by name; ``NAN`` stands for the constant.
HELPERS: Final = {
    "spread": '''
def spread(x, positions):
    """The elements of x[…] at positions, and 0 where a position is the number of elements."""
    return xp.take(xp.concat([x, xp.zeros_like(x[..., :1])], axis=-1), positions, axis=-1)
''',
    "segments": '''
def segments(x, positions, sizes, filler):
    """The elements of x[…] at positions as (…, *sizes), with the filler for the number of elements."""
    filler = xp.broadcast_to(filler, (*x.shape[:-1], 1))
    taken = xp.take(xp.concat([x, filler], axis=-1), positions, axis=-1)
    return xp.reshape(taken, (*x.shape[:-1], *sizes))
''',
    "whole": '''
def whole(index, n):
    """The index as whole numbers, and whether it is one of 0, 1, …, n - 1."""
    inside = (index >= 0.0) & (index < n) & (index == xp.floor(index))
    return xp.astype(xp.where(inside, index, xp.zeros_like(index)), xp.arange(1).dtype), inside
''',
    "choose_outer": '''
def choose_outer(values, index):
    """values[…, o, index[…, p]] as (…, p, o); not a number where an index is none."""
    index, inside = whole(index, values.shape[-1])
    values = xp.matrix_transpose(values)
    lead = xp.broadcast_arrays(index[..., 0], values[..., 0, 0])[0].shape
    index = xp.broadcast_to(index[..., None], (*lead, index.shape[-1], values.shape[-1]))
    values = xp.broadcast_to(values, (*lead, *values.shape[-2:]))
    return xp.where(inside[..., None], xp.take_along_axis(values, index, axis=-2), NAN)
''',
    "choose": '''
def choose(values, index):
    """values[…, r, index[…, r]] as (…, r); not a number where an index is none."""
    index, inside = whole(index, values.shape[-1])
    index = xp.broadcast_arrays(values[..., 0], index)[1]
    values = xp.broadcast_to(values, (*index.shape, values.shape[-1]))
    return xp.where(inside, xp.take_along_axis(values, index[..., None], axis=-1)[..., 0], NAN)
''',
    "scatter_add": '''
def scatter_add(delta, index, numbers):
    """The sums over p, and samples, of the delta[…, p, o] with index[…, p] = k, as (o, n); numbers are all k.

    A product with zeros and ones: no function of the standard adds to places that data name.
    """
    ones = xp.astype(index[..., None] == numbers, delta.dtype)
    ones = xp.broadcast_to(ones, (*delta.shape[:-1], ones.shape[-1]))
    delta = xp.matrix_transpose(xp.reshape(delta, (-1, delta.shape[-1])))
    return xp.matmul(delta, xp.reshape(ones, (-1, ones.shape[-1])))
''',
    "exchanged": '''
def exchanged(x, first, second):
    """The array with two axes exchanged."""
    order = list(range(len(x.shape)))
    order[first], order[second] = order[second], order[first]
    return xp.permute_dims(x, tuple(order))
''',
    "repeated": '''
def repeated(step, states, sequences, steps, falling):
    """The states after all steps, and what steps leave, stacked: of step(states, parts of the sequences)."""
    left = []
    for t in range(steps - 1, -1, -1) if falling else range(steps):
        states, outputs = step(states, [x[t, ...] for x in sequences])
        left.append(outputs)
    return states, [xp.stack(x) for x in zip(*(left[::-1] if falling else left))]
''',
    "pick": '''
def pick(index, *values):
    """values[index], element by element; not a number where an index is none."""
    index, inside = whole(index, len(values))
    values = xp.stack(xp.broadcast_arrays(*values, index)[:-1])
    index = xp.broadcast_to(index, values.shape[1:])
    return xp.where(inside, xp.take_along_axis(values, index[None, ...], axis=0)[0, ...], NAN)
''',
}
