"""Where the stores of tests lie: in memory, where there is room, so that no test waits for a disk.

What a store does there is what it does anywhere; only a power cut would show the difference, and no test
cuts the power.
"""

from __future__ import annotations

import shutil
from pathlib import Path

IN_MEMORY = Path("/dev/shm")  # whoever makes a folder there gives it a name of its own
ROOM_BYTES = 2**30


def quick_folder() -> str | None:
    """The folder to make temporary ones in; None, for the usual place, where memory has no room for them."""
    if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM_BYTES:
        return str(IN_MEMORY)
    return None
