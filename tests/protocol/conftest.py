import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "blackbox"))

from lib.fixtures import *  # noqa: E402,F403
from lib.fixtures import _shared  # noqa: E402,F401
