"""How properties are tried: new examples on every desk, the same ones in CI, and never against a clock."""

import os

from hypothesis import settings

# A busy machine is no bug: properties are about answers, never about time. CI tries what it tried before, so that a
# change is judged by what it changes; whoever develops finds the rare cases.
settings.register_profile("untimed", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("untimed")
