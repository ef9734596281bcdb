from hypothesis import settings

# A busy machine is no bug: properties are about answers, never about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
