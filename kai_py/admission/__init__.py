"""Pure: an object that somebody wants to create, change or delete → let in, refused with a reason, or a warning.

One module per kind, each with one ``decide``. Whoever asks brings a ``Request`` and what is ``Known`` of the cluster;
nothing here waits, logs or writes. What one object alone can say is refused by its CRD's schema and CEL rules already,
also while nobody answers webhooks; here is what needs other objects.
"""
