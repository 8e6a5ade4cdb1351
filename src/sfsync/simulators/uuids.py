"""Random ids as the parties write them."""

from __future__ import annotations

from random import Random


def new_uuid(chance: Random) -> str:
    """A UUID of version 4 as text: what the library makes of the same chance, which takes it far longer."""
    bits = chance.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
