"""One reading of a graph of scalars, for all who explain it, draw it, show it as a page or compile it.

What flows in: Values, with the labels that somebody gave them, and perhaps the trace of a network. What flows
out, found once and the same for every reader:

- :mod:`~autobp.reading.graph`: the graph in flat lists, by number;
- :mod:`~autobp.reading.labels`: what a label says: a weight or a bias, its layer and neurons, its array;
- :mod:`~autobp.reading.adjoints`: adjoints of a flat graph, by the one chain rule;
- :mod:`~autobp.reading.layers`: neurons: z as a weighted sum, its activation, softmax;
- :mod:`~autobp.reading.neurons`: every neuron of a graph, and what belongs to each;
- :mod:`~autobp.reading.network`: the part of a network that one derivative runs through;
- :mod:`~autobp.reading.targets`: which constants of a cost are its targets, and the form of its derivative.

Nothing here knows who reads. Import from the modules: the compiler needs two of them only.
"""
