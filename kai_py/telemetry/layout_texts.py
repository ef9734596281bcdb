"""How near each other the pods of a podgroup are, as a sentence."""

from __future__ import annotations

from kai_py.core.result import Layout


def layout_sentence(layout: Layout) -> str:
    """For instance: 16 pods in 1 zone, 2 racks of topology floor; ring of their indices: 18 hops, at least 18."""
    domains = ", ".join(f"{count} of {level}" for level, count in layout.domains.items())
    text = f"{layout.pods} {'pod' if layout.pods == 1 else 'pods'} in topology {layout.topology}: {domains}"
    if not layout.pattern:
        return f"{text}."
    least = "no layout has fewer" if layout.hops == layout.least else f"none can have fewer than {layout.least}"
    return f"{text}. The {layout.pattern} of their ranks takes {layout.hops} hops; {least}."
