"""A dispatcher of a module's ``store`` and ``server``, and what it tells of."""

import asyncio

import pytest

from kai_py.operators.dispatch import Dispatcher
from kai_py.telemetry.metrics import Metrics
from tests.cluster.test_cluster_claims import NOW


class Told(list):
    """Why pods were not started."""

    def __call__(self, decision, result, why):
        if result is None or not result.ok:
            self.append((decision.pod, why))


@pytest.fixture
def told():
    return Told()


@pytest.fixture
async def dispatcher(store, server, told):
    made = Dispatcher(store, server, Metrics(), tell=told, wake=lambda: None, clock=lambda: NOW)
    running = asyncio.create_task(made.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
