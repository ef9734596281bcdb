"""RuntimeClasses: a pod whose class is gone waits, and says so."""

from __future__ import annotations

from kai_py.api.decode import convert
from kai_py.api.runtime import RuntimeClass
from tests.cluster.objects import NOW, a_store, blocked, pod, podgroup


def runtime(name):
    return convert(RuntimeClass, {"metadata": {"name": name}, "handler": name})


def test_without_any_class_nobody_can_tell_that_one_is_missing():
    store = a_store(podgroup("p"), podgroup("q"), pod("p", group="p", runtimeClassName="kata"))
    assert blocked(store.take(NOW), "p") is None
    store.runtimes.complete = True
    assert store.runtimes.lacks("kata")
    assert not store.runtimes.lacks("")


def test_a_pod_waits_for_its_class_and_no_other_pod_does():
    store = a_store(podgroup("p"), podgroup("q"), pod("p", group="p", runtimeClassName="kata"), pod("q", group="q"))
    assert store.put_runtime_class(runtime("gvisor"), NOW)
    assert blocked(store.take(NOW), "p") == "RuntimeClassDoesNotExist"
    assert blocked(store.take(NOW), "q") is None
    assert store.put_runtime_class(runtime("kata"), NOW)
    assert not store.put_runtime_class(runtime("kata"), NOW)
    assert blocked(store.take(NOW), "p") is None
    assert store.drop_runtime_class("kata", NOW)
    assert not store.drop_runtime_class("kata", NOW)
    assert blocked(store.take(NOW), "p") == "RuntimeClassDoesNotExist"
    store.drop_runtime_class("gvisor", NOW)
    assert blocked(store.take(NOW), "p") is None


def test_a_pod_that_runs_goes_on_without_its_class():
    store = a_store(podgroup("p"), podgroup("q"), pod("p", group="p", runtimeClassName="kata", on="a"))
    store.put_runtime_class(runtime("gvisor"), NOW)
    assert blocked(store.take(NOW), "p") is None
