"""How things stand, told for people.

`status` puts the picture together, `health` judges it, `services` are what the flow does when asked,
`reloading` takes over changed settings.
"""

from .reloading import ReloadService
from .services import FoldService
from .status import Overview

__all__ = ["FoldService", "Overview", "ReloadService"]
