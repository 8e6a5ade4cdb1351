"""What the tests of channels share."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.channels.exam")
