"""The reviews of the admission benchmark say what they claim to say."""

import json

from kai_py.admission import pods
from kai_py.admission.verdict import Known, Request
from kai_py.api.queue import Queue
from kai_py.cli.bench.admission import _percentile, _review


def test_every_tenth_pod_is_in_somebody_elses_queue():
    known = Known()
    for number in range(500):
        spec = {"allowedNamespaces": {"matchLabels": {"team": f"t{number % 50}"}}}
        known.queues.put(Queue.parse({"metadata": {"name": f"queue-{number}"}, "spec": spec}))
    for team in range(50):
        known.namespaces.put(f"ns-{team}", {"team": f"t{team}"})
    asked = [json.loads(_review(number))["request"] for number in range(60)]
    allowed = [pods.decide(Request("CREATE", one["object"], {}, one["namespace"]), known).allowed for one in asked]
    assert allowed == [number % 10 != 0 for number in range(60)]


def test_percentiles_are_of_what_was_measured():
    seconds = [number / 1000 for number in range(1, 101)]
    assert [_percentile(seconds, part) for part in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
