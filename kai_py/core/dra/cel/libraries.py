"""What a Kubernetes API server adds to the language for all its expressions, selectors of devices and rules alike."""

from __future__ import annotations

from typing import Final

#: Part of a configuration of the wrapper, as YAML (k8s.io/apiserver/pkg/cel/environment, base.go).
EXTENSIONS: Final = """\
extensions:
- name: optional
- name: sets
- name: lists
- name: bindings
- name: two-var-comprehensions
- name: strings
  version: 2
"""
