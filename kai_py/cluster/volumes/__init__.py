"""Volumes: PersistentVolumes, claims on them and what limits them, as a table for the snapshot."""
