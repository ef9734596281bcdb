"""``kai-py demo``: four teams share a GPU cluster for a minute, and a referee watches.

A cluster in this process, the real scheduler over HTTP, and a story that is told by its causes: a step waits until the
one before it has had its effect, so a slow machine tells it slowly and not wrongly. Everything that is shown and judged
is read from the API server, as a user would read it; nothing looks into the scheduler.

``story`` is what happens, as data; ``director`` makes it happen; ``world`` is what the API server says; ``referee``
judges it; ``screen`` and ``lines`` show it; ``stage`` puts it together.
"""
