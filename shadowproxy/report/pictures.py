"""Pictures as inline SVG: a finding against its margin, and distributions by arm. PURE.

Each has a text alternative that says what it shows. Colours come from classes of the page's style sheet and never carry meaning alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from shadowproxy.report.histograms import Histogram, Scale
from shadowproxy.report.markup import Markup, tag
from shadowproxy.report.wording import OUTCOMES, number, seconds

_WIDTH, _HEIGHT = 340.0, 46.0
_EDGE = 12.0
_MIDDLE = 19.0

#: The picture reaches no further from the margin than this many margins (of :data:`_FOR_ZERO`, where it is 0): with few pairs the bounds
#: are the whole range, and drawn to scale margin and zero would be one line. What lies further out ends in an arrow.
_MARGINS_SHOWN = 8.0
_FOR_ZERO = 0.01

#: Half the width of the margin's label; a zero nearer than this would be written over it.
_LABEL_HALF = 48.0


def finding_picture(finding: Mapping[str, Any]) -> Markup:
    """The bounds of the mean difference against the margin, which stands in the middle of every picture: right of it is too much worse."""
    said = _said(finding)
    if finding["mean"] is None:
        return _svg(
            _WIDTH, _HEIGHT, said, *_ground(), _label(_WIDTH / 4, _MIDDLE - 5, "no data", "quiet"), *_margin_line(finding["margin"])
        )
    place = _Line(finding)
    shapes = [*_ground(), *_bounds(place, finding), *_zero(place), *_margin_line(finding["margin"]), _mean(place, finding["mean"])]
    return _svg(_WIDTH, _HEIGHT, said, *shapes, class_=f"finding {finding['outcome']}")


def _said(finding: Mapping[str, Any]) -> str:
    _, word = OUTCOMES.get(finding["outcome"], ("", finding["outcome"]))
    if finding["mean"] is None:
        return f"no data; margin {finding['margin']:.3g}"
    bounds = f"between {number(finding['lower'])} and {number(finding['upper'])}"
    return f"mean difference {number(finding['mean'])}, {bounds}; margin {finding['margin']:.3g}: {word}"


class _Line:
    """From a difference to a place in the picture."""

    def __init__(self, finding: Mapping[str, Any]) -> None:
        self._margin = float(finding["margin"])
        marks = (finding["lower"], finding["upper"], finding["mean"], 0.0)
        most = _MARGINS_SHOWN * (abs(self._margin) or _FOR_ZERO)
        self._reach = min(max(abs(mark - self._margin) for mark in marks), most) * 1.08 or most

    def x(self, value: float) -> float:
        inner = _WIDTH / 2 - _EDGE
        return _WIDTH / 2 + inner * min(max((value - self._margin) / self._reach, -1.0), 1.0)

    def is_outside(self, value: float) -> bool:
        return abs(value - self._margin) > self._reach


def _ground() -> Sequence[Markup]:
    half = _WIDTH / 2
    return (
        tag("rect", x=0, y=2, width=half, height=34, class_="within"),
        tag("rect", x=half, y=2, width=half, height=34, class_="beyond"),
        tag("line", x1=0, x2=_WIDTH, y1=_MIDDLE, y2=_MIDDLE, class_="axis"),
    )


def _bounds(place: _Line, finding: Mapping[str, Any]) -> Sequence[Markup]:
    left, right = place.x(finding["lower"]), place.x(finding["upper"])
    bar = tag("rect", x=left, y=_MIDDLE - 4, width=max(right - left, 2.0), height=8, class_="bounds")
    return bar, _end(left, -1, place.is_outside(finding["lower"])), _end(right, 1, place.is_outside(finding["upper"]))


def _end(x: float, side: int, is_outside: bool) -> Markup:
    """A cap, or an arrow where the bound lies outside the picture."""
    if is_outside:
        return tag("path", d=f"M{x:.1f} {_MIDDLE - 7:.1f} l{side * 10} 7 l{side * -10} 7 z", class_="end")
    return tag("line", x1=x, x2=x, y1=_MIDDLE - 8, y2=_MIDDLE + 8, class_="cap")


def _zero(place: _Line) -> Sequence[Markup]:
    if place.is_outside(0.0):
        return ()
    x = place.x(0.0)
    line = tag("line", x1=x, x2=x, y1=2, y2=36, class_="zero")
    return (line, _label(x, _HEIGHT - 1, "0", "quiet")) if abs(x - _WIDTH / 2) > _LABEL_HALF else (line,)


def _margin_line(margin: float) -> Sequence[Markup]:
    half = _WIDTH / 2
    return tag("line", x1=half, x2=half, y1=0, y2=34, class_="margin"), _label(half, _HEIGHT - 1, f"margin {margin:.3g}", "")


def _mean(place: _Line, mean: float) -> Markup:
    return tag("circle", cx=place.x(mean), cy=_MIDDLE, r=5, class_="mean")


# --- distributions --------------------------------------------------------------------------------------------------------

_BARS = 64
_ROW = 58.0
_PLOT_LEFT, _PLOT_WIDTH = 92.0, 500.0
_CHART_WIDTH = 720.0
#: Decades up to which there is room to name more than their ends.
_FEW_DECADES = 2


def distributions(title: str, by_arm: Mapping[str, Histogram]) -> Markup:
    """A row of bars for each arm, all over one axis; nothing where no arm has a value. Heights are shares of the arm's own values."""
    filled = {arm: histogram for arm, histogram in by_arm.items() if histogram.n}
    if not filled:
        return Markup("")
    window = _window(list(filled.values()))
    bars = {arm: _bars(histogram, window) for arm, histogram in filled.items()}
    highest = max(max(heights) for heights in bars.values())
    rows = (_row(at, arm, filled[arm], bars[arm], highest, window) for at, arm in enumerate(filled))
    scale = next(iter(filled.values())).scale
    height = _ROW * len(filled) + 26
    said = f"{title}: " + "; ".join(f"{arm} {_middle_of(histogram)}" for arm, histogram in filled.items())
    return _svg(_CHART_WIDTH, height, said, *rows, *_ticks(scale, window, height - 20), class_="distributions")


def _window(histograms: Sequence[Histogram]) -> tuple[float, float]:
    """The part of the scale that is drawn: all shares from the lowest up to 1; for seconds what is seen, to whole decades."""
    used = [at / len(each.counts) for each in histograms for at, count in enumerate(each.counts) if count]
    scale = histograms[0].scale
    if scale is Scale.SHARE:
        return min(0.8, math.floor(min(used) * 10) / 10), 1.0
    step = 1 / 8  # a decade
    low, high = math.floor(min(used) / step) * step, (math.floor(max(used) / step) + 1) * step
    return low, min(high, 1.0)


def _bars(histogram: Histogram, window: tuple[float, float]) -> list[float]:
    """Share of the values by bar."""
    low, high = window
    size = len(histogram.counts)
    seen = range(round(low * size), round(high * size))
    bars = [0.0] * min(_BARS, len(seen))
    for at, bin_ in enumerate(seen):
        bars[at * len(bars) // len(seen)] += histogram.counts[bin_] / histogram.n
    return bars


def _row(at: int, arm: str, histogram: Histogram, heights: Sequence[float], highest: float, window: tuple[float, float]) -> Markup:
    base = _ROW * (at + 1)
    width = _PLOT_WIDTH / len(heights)
    bars = (
        tag("rect", x=_PLOT_LEFT + width * index, y=base - size, width=max(width - 1, 1), height=size, class_="bar")
        for index, height in enumerate(heights)
        if (size := max(height / highest * (_ROW - 14), 1.5 if height else 0))
    )
    middle = histogram.quantile(0.5)
    x = _PLOT_LEFT + _PLOT_WIDTH * _place(histogram.scale.place(middle or 0.0), window)
    return tag(
        "g",
        tag("line", x1=_PLOT_LEFT, x2=_PLOT_LEFT + _PLOT_WIDTH, y1=base, y2=base, class_="axis"),
        *bars,
        tag("line", x1=x, x2=x, y1=base - _ROW + 10, y2=base, class_="median"),
        _label(_PLOT_LEFT - 8, base - 4, arm, "", anchor="end"),
        _label(_PLOT_LEFT + _PLOT_WIDTH + 8, base - 4, _middle_of(histogram), "quiet", anchor="start"),
        class_=arm,
    )


def _middle_of(histogram: Histogram) -> str:
    middle = histogram.quantile(0.5)
    return f"median {seconds(middle) if histogram.scale is Scale.SECONDS else f'{middle:.3f}'}"


def _place(place: float, window: tuple[float, float]) -> float:
    low, high = window
    return min(max((place - low) / (high - low), 0.0), 1.0)


def _ticks(scale: Scale, window: tuple[float, float], base: float) -> Sequence[Markup]:
    places = _decades(scale, window) if scale is Scale.SECONDS else _tenths(window)
    names = [seconds(scale.value_at(each)) if scale is Scale.SECONDS else f"{each:.1f}" for each in places]
    return [
        _label(_PLOT_LEFT + _PLOT_WIDTH * _place(each, window), base + 14, name, "quiet") for each, name in zip(places, names, strict=True)
    ]


def _tenths(window: tuple[float, float]) -> list[float]:
    low, high = window
    step = 0.1 if high - low < 0.6 else 0.2
    return [low + at * step for at in range(round((high - low) / step) + 1)]


def _decades(scale: Scale, window: tuple[float, float]) -> list[float]:
    """1, 2 and 5 of each decade, or 1 alone where there are many."""
    low, high = window
    first, last = (round(math.log10(scale.value_at(each))) for each in window)
    steps = (1, 2, 5) if last - first <= _FEW_DECADES else (1,)
    places = [scale.place(step * 10.0**decade) for decade in range(first, last + 1) for step in steps]
    return [each for each in places if low <= each <= high + 1e-9]


# --- pieces ---------------------------------------------------------------------------------------------------------------


def share_bar(part: float, whole: float) -> Markup:
    """A share as a bar; the number stands beside it, so it needs no text of its own."""
    width = 120 * part / whole if whole else 0.0
    bars = tag("rect", x=0, y=3, width=120, height=8, class_="track"), tag("rect", x=0, y=3, width=max(width, 1.5), height=8, class_="bar")
    return tag("svg", *bars, width=120, height=14, viewBox="0 0 120 14", aria_hidden="true")


def _svg(width: float, height: float, said: str, *shapes: Markup, class_: str = "") -> Markup:
    return tag(
        "svg", tag("title", said), *shapes, width=width, height=height, viewBox=f"0 0 {width:.0f} {height:.0f}", role="img", class_=class_
    )


def _label(x: float, y: float, value: str, class_: str, anchor: str = "middle") -> Markup:
    return tag("text", value, x=x, y=y, text_anchor=anchor, class_=class_)
