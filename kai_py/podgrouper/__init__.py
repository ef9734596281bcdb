"""Which podgroup a pod belongs to, from the pod and its owners. Pure: objects in, membership out."""
