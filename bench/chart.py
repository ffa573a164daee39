"""The picture of the page: nodes a second of each contestant, as an SVG that reads on light and on dark."""

from __future__ import annotations

import statistics
from html import escape

from bench.figures import Figures

CONTESTANTS = {
    "bare": "Bare Celery",
    "baton": "Baton",
    "quiet": "Baton, no events",
    "dbos": "DBOS",
    "langgraph": "LangGraph",
}
OURS = ("baton", "quiet")
WIDTH, TOP, ROW, BAR = 760, 66, 46, 24  # pixels
LEFT, LONGEST = 150, 370  # where bars begin, and how long the longest may be

# It has a ground of its own, so that it reads on any page, whatever that page takes for dark.
_FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>{title}</title>
<style>
  text {{ font: 14px system-ui, sans-serif; fill: #1f2328 }}
  .ground {{ fill: #ffffff; stroke: #d1d9e0 }}
  .head {{ font-weight: 600 }}
  .note {{ font-size: 12px; fill: #59636e }}
  .bar {{ fill: #9aa4af }}
  .ours {{ fill: #2f81d8 }}
  .range {{ stroke: #1f2328; stroke-width: 1.5 }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #f0f6fc }}
    .ground {{ fill: #0d1117; stroke: #3d444d }}
    .note {{ fill: #9198a1 }}
    .bar {{ fill: #656c76 }}
    .ours {{ fill: #388bfd }}
    .range {{ stroke: #f0f6fc }}
  }}
</style>
<rect class="ground" x="0.5" y="0.5" width="{inner_width}" height="{inner_height}" rx="8"/>
<text class="head" x="18" y="28">{title}</text>
<text class="note" x="18" y="47">{note}</text>
{bars}
</svg>
"""


def chart(figures: Figures) -> str:
    """The SVG, with those who took part."""
    rates = {
        name: figures.rounds[f"throughput_{name}"] for name in CONTESTANTS if f"throughput_{name}" in figures.rounds
    }
    scale = LONGEST / max(max(of) for of in rates.values())
    height = TOP + ROW * len(rates) + 6
    rounds = len(rates["bare"])
    return _FRAME.format(
        width=WIDTH,
        height=height,
        inner_width=WIDTH - 1,
        inner_height=height - 1,
        title="Nodes a second, chains of 8 nodes that do nothing",
        note=f"Median of {rounds} rounds; the lines end at the smallest and the largest.",
        bars="\n".join(
            _bar(name, of, rates["bare"], scale, TOP + ROW * place) for place, (name, of) in enumerate(rates.items())
        ),
    )


def _bar(name: str, of: list[float], bare: list[float], scale: float, top: int) -> str:
    """A contestant's bar, its range, its figure and how often it is bare Celery's."""
    median, middle = statistics.median(of), top + BAR / 2
    least, most = LEFT + min(of) * scale, LEFT + max(of) * scale
    said = f"{median:,.0f}"
    if name != "bare":
        ratio = statistics.median(mine / theirs for mine, theirs in zip(of, bare, strict=True))
        said += f" · {ratio:.2f} × bare Celery"
    lines = [
        f'<text x="{LEFT - 10}" y="{middle + 5:.1f}" text-anchor="end">{escape(CONTESTANTS[name])}</text>',
        f'<rect class="{"ours" if name in OURS else "bar"}" x="{LEFT}" y="{top}" width="{median * scale:.1f}" '
        f'height="{BAR}" rx="3"/>',
        f'<path class="range" d="M{least:.1f} {middle:.1f}H{most:.1f}M{least:.1f} {middle - 5:.1f}v10'
        f'M{most:.1f} {middle - 5:.1f}v10"/>',
        f'<text x="{most + 10:.1f}" y="{middle + 5:.1f}">{escape(said)}</text>',
    ]
    return "\n".join(lines)
