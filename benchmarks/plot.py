"""The picture of the comparison: requests per second and CPU per request, both on a scale of powers of ten."""

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec
from benchmarks.bench import Ran, Shown

PICTURE = "results.svg"
LABELS, PANEL, GAP, ROW, TOP, BOTTOM = 200, 330, 60, 28, 58, 30
WIDTH = LABELS + 2 * PANEL + GAP + 50
INK, PALE, OURS, THEIRS = "#1f2328", "#d1d9e0", "#0969da", "#6e7781"

Figure = Callable[[Ran], float | None]


class Panel(msgspec.Struct, frozen=True):
    """One half: a figure of every contender, on a scale from one power of ten to another."""

    title: str
    left: float
    lowest: int
    highest: int

    def x(self, value: float) -> float:
        """Where a value stands."""
        share = (math.log10(value) - self.lowest) / (self.highest - self.lowest)
        return self.left + PANEL * min(max(share, 0.0), 1.0)

    def scale(self, bottom: float) -> list[str]:
        """The title, and a line for each power of ten."""
        drawn = [_text(self.left, 22, self.title, weight="600")]
        for power in range(self.lowest, self.highest + 1):
            x = self.x(10.0**power)
            drawn += [_line(x, TOP - 12, x, bottom, PALE), _text(x, bottom + 18, f"{10**power:,}", anchor="middle")]
        return drawn


def draw(shown: Sequence[Shown]) -> str:
    """An SVG of the medians; who failed is named with no figure."""
    there = sorted(shown, key=lambda one: -(one.median(rate) or 0.0))
    bottom = TOP + ROW * len(there)
    panels = (
        (_panel("requests per second (more is better)", LABELS, there, rate), rate),
        (_panel("µs of CPU per request (less is better)", LABELS + PANEL + GAP, there, cpu), cpu),
    )
    drawn = [line for panel, _ in panels for line in panel.scale(bottom)]
    for number, one in enumerate(there):
        drawn += _contender(one, TOP + ROW * number + ROW / 2, panels)
    size = f'width="{WIDTH}" height="{bottom + BOTTOM}" viewBox="0 0 {WIDTH} {bottom + BOTTOM}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#ffffff"/>', *drawn, "</svg>", ""])


def rate(ran: Ran) -> float:
    """Requests per second after the first second, or of the whole where the run was too short for that."""
    return ran.steady_per_s or ran.per_s


def cpu(ran: Ran) -> float:
    """CPU per request, likewise."""
    return ran.steady_cpu_us or ran.cpu_us


def _panel(title: str, left: float, shown: Sequence[Shown], of: Figure) -> Panel:
    values = [value for one in shown if (value := one.median(of))] or [1.0]
    return Panel(title, left, math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))))


def _contender(one: Shown, y: float, panels: Sequence[tuple[Panel, Figure]]) -> list[str]:
    ours = one.contender.name == "penstock"
    colour, weight = (OURS, "600") if ours else (THEIRS, "400")
    drawn = [_text(LABELS - 14, y + 4, one.contender.name, anchor="end", weight=weight)]
    for panel, of in panels:
        value = one.median(of)
        if value is None:
            drawn.append(_text(panel.left + 6, y + 4, "failed"))
            continue
        x = panel.x(value)
        drawn.append(_line(panel.left, y, x, y, colour))
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        drawn.append(_text(x + 9, y + 4, f"{value:,.0f}", weight=weight))
    return drawn


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "400") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {place} fill="{INK}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="1.5"/>'
