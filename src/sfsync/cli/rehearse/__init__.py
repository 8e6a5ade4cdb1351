"""`sfsync rehearse`: a drop played through on this machine, against simulated parties and the real daemon.

- ``plan``     the drop's file, checked
- ``crowd``    the buyers: when they come, what they do, what they saw
- ``play``     the parties' processes, the drop, and what was counted outside
- ``report``   the sums: sold, oversold, waiting times, calls and points, what would break first
- ``command``  what an admin types
"""

from .command import rehearse

__all__ = ["rehearse"]
