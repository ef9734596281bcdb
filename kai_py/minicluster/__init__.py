"""A cluster in one process: an API server over HTTP, fake kubelets, the controllers a demo needs.

For the demo, the tests and laptops. Never easier than the real thing: where a real kube-apiserver refuses, it refuses.
Must not import the scheduler.
"""
