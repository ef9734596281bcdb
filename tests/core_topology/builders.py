"""Small clusters as trees, and the random ones that laws are tried on."""

import numpy as np
from hypothesis import strategies as st

from kai_py.core.tables.domains import Level, Topology
from kai_py.core.tables.labels import ABSENT, LabelColumn

NAMES = ("zone", "block", "rack", "host")


def column(values):
    """A label column from one value per node; None = the node lacks the label."""
    vocabulary = {value: code for code, value in enumerate(dict.fromkeys(v for v in values if v is not None), start=1)}
    codes = [ABSENT if value is None else vocabulary[value] for value in values]
    return LabelColumn(np.array(codes, dtype=np.int32), vocabulary)


def topology(nodes, levels=None):
    """``nodes``: name -> path, as "a/b" or a tuple; None or an empty part = the label is missing."""
    paths = [tuple(path.split("/")) if isinstance(path, str) else path for path in nodes.values()]
    depth = len(levels) if levels else max((len(path) for path in paths), default=1)
    levels = levels or NAMES[:depth]
    padded = [(*path, *[None] * (depth - len(path))) for path in paths]
    columns = [column([path[level] or None for path in padded]) for level in range(depth)]
    return Topology.of("default", [Level(f"example.com/{name}", name) for name in levels], columns, list(nodes))


def grid(*sizes):
    """A regular tree, the last size being nodes per lowest domain."""
    nodes = {}
    for index in np.ndindex(*sizes):
        nodes["n" + "-".join(f"{i:03}" for i in index)] = tuple(str(i) for i in index[:-1])
    return topology(nodes)


def pairs(rows, least, most):
    """Amounts of two resources in each row: of the first at least ``least``, of both at most ``most``."""
    pair = st.tuples(st.integers(least, most), st.integers(0, most))
    return st.lists(pair, min_size=rows, max_size=rows).map(np.array)


@st.composite
def trees(draw, max_nodes=8, levels=2, lacking=True):
    """A topology with a few nodes in random domains; some lack labels."""
    count = draw(st.integers(1, max_nodes))
    label = st.sampled_from(["a", "b", "c", None] if lacking else ["a", "b", "c"])
    paths = draw(st.lists(st.tuples(*[label] * levels), min_size=count, max_size=count))
    return topology({f"n{row}": path for row, path in enumerate(paths)}, NAMES[-levels:])


def reordered(tree, order):
    """The same topology with its nodes in another order."""
    columns = []
    for level in range(len(tree.levels)):
        values = [
            tree.paths[level][row][-1] if row >= 0 else None for row in tree.domain_idx[level][np.array(order)].tolist()
        ]
        columns.append(column(values))
    return Topology.of(tree.name, tree.levels, columns, [tree.nodes[row] for row in order])
