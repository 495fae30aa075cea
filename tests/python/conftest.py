# SPDX-License-Identifier: MIT
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "blackbox"))
sys.path.insert(0, str(TESTS.parent / "python"))

from lib.fixtures import *  # noqa: E402,F403
from lib.fixtures import _shared  # noqa: E402,F401
