"""The demo as users start it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_demo_tells_its_story_and_all_invariants_hold(tmp_path):
    log = tmp_path / "scheduler.log"
    command = [sys.executable, "-m", "kai_py", "demo", "--no-tty", "--seconds", "12", "--log", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert all(re.match(r"\[ *\d+\.\d\ds\] ", line) for line in lines)
    assert any("PASSED" in line for line in lines)
    for said in ("ci waits: ", "[OverLimit]", "encore waits: ", "typo waits: ", "review waits: ", "[GangNotReady]"):
        assert said in done.stdout
    assert re.search(r" \[0\] → \S+ \[1\] → ", done.stdout), "no map of ranks"
    assert "The ring of their ranks takes " in done.stdout
    assert "ready" in log.read_text()
