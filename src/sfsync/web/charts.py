"""Charts as SVG, drawn here: they need no script, print, and follow the page's colours.

No library draws them: those that do ship as one file of JavaScript, which would be other people's code in our
repository or a fetch at build time, and would show nothing where scripts are off. Each has a table beside it.
A picture has no text in it, because text would shrink with it on a phone: its scales stand around it as HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 240
CAP = 24  # the width of a whisker's ends
Points = Sequence[tuple[float, float]]  # (x, y); x rises


@dataclass(frozen=True, slots=True)
class Band:
    """A range that a line lies in: (x, low, high)."""

    points: Sequence[tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What a template needs to draw it: paths by the name of their line, and what the scales say."""

    paths: dict[str, str]
    dots: list[tuple[float, float]]
    band: str
    whisker: str  # in place of the band, where there is but one point: a band of no width is not seen
    low: float
    high: float
    zero: float | None  # where 0 lies, when that is neither edge
    width: int = WIDTH
    height: int = HEIGHT


def steps(lines: dict[str, Points], until: float) -> Chart:
    """Lines that keep their value until the next point, and the last one until the end."""
    held = {name: [*points, (until, points[-1][1])] for name, points in lines.items() if points}
    scale = _Scale.around([each for points in held.values() for each in points], floor=0.0)
    paths: dict[str, str] = {}
    for name, points in held.items():
        path, last = "", 0.0
        for number, (x, y) in enumerate(points):
            left, top = scale.x(x), scale.y(y)
            path += f"M{left:g} {top:g}" if number == 0 else f"H{left:g}" + (f"V{top:g}" if y != last else "")
            last = y
        paths[name] = path
    zero = scale.y(0.0) if scale.low < 0 < scale.high else None
    return Chart(paths, [], "", "", scale.low, scale.high, zero)


def curve(points: Points, band: Band, *, low: float, high: float) -> Chart:
    """A line from point to point, each marked, in a band; of one point alone the band is a whisker."""
    xs = [x for x, _ in points]
    scale = _Scale(min(xs), max(xs), low, high)
    placed = [(scale.x(x), scale.y(y)) for x, y in points]
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in placed)
    if len(points) == 1:
        ((x, bottom, top),) = band.points
        return Chart({}, placed, "", _whisker(scale.x(x), scale.y(top), scale.y(bottom)), low, high, None)
    edge = [(scale.x(x), scale.y(top)) for x, _, top in band.points]
    edge += [(scale.x(x), scale.y(bottom)) for x, bottom, _ in reversed(band.points)]
    area = "M" + "L".join(f"{x:g} {y:g}" for x, y in edge) + "Z"
    return Chart({"value": path}, placed, area, "", low, high, None)


def _whisker(x: float, top: float, bottom: float) -> str:
    left, right = x - CAP / 2, x + CAP / 2
    return f"M{x:g} {top:g}V{bottom:g}M{left:g} {top:g}H{right:g}M{left:g} {bottom:g}H{right:g}"


@dataclass(frozen=True, slots=True)
class _Scale:
    first: float
    last: float
    low: float
    high: float

    @classmethod
    def around(cls, points: Points, *, floor: float) -> _Scale:
        xs, ys = [x for x, _ in points] or [0.0], [y for _, y in points] or [0.0]
        return cls(min(xs), max(xs), min(floor, *ys), max(floor + 1, *ys))

    def x(self, value: float) -> float:
        span = self.last - self.first
        return WIDTH / 2 if span <= 0 else round(WIDTH * (value - self.first) / span, 1)

    def y(self, value: float) -> float:
        """Downwards, with a little room so that a line at the edge is seen whole."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(4 + (HEIGHT - 8) * (1 - share), 1)
