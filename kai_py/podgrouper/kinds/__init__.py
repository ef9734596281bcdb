"""One module per kind of workload: how its pods are divided into podgroups, and how many must start together."""
