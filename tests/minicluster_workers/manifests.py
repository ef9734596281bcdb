"""Manifests that name only what a test is about."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def pod(name: str = "a", *, gpus: int = 1, cpu: str = "1", grace: int | None = None, **annotations: str) -> Object:
    """A pod. Keyword arguments are annotations of the fake kubelets: ``start_after="3s"``."""
    spec: Object = {"restartPolicy": "Never", "containers": [container(gpus=gpus, cpu=cpu)]}
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    marks = {f"minicluster.kai-py/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"metadata": {"name": name, "namespace": "default", "annotations": marks}, "spec": spec}


def container(*, gpus: int = 0, cpu: str = "1") -> Object:
    limits = {"cpu": cpu, "memory": "1Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {"name": "main", "image": "train:1", "resources": {"limits": limits}}


def job(name: str = "train", **spec: Any) -> Object:
    template = {
        "metadata": {"labels": {"team": "vision"}},
        "spec": {"restartPolicy": "Never", "containers": [container()]},
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"template": template, **spec}}
