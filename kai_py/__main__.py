"""``python -m kai_py``."""

from __future__ import annotations

from kai_py.cli import main

if __name__ == "__main__":
    main()
