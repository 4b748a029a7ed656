"""The page's style sheet: light and dark by the reader's setting, and on paper. PURE.

Contrast of every text colour on its background is at least 4.5 to 1 in both (WCAG 2.2, 1.4.3); a test computes it.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Colour by name. ``good``, ``wait`` and ``bad`` stand beside a sign and a word wherever they stand.
LIGHT: Mapping[str, str] = {
    "page": "#f5f6f8", "card": "#ffffff", "text": "#1a1f26", "quiet": "#59636f", "line": "#d9dee4", "shade": "#eef1f4",
    "good": "#176b40", "wait": "#7f5600", "bad": "#b3261e", "accent": "#2f54b8",
    "good-shade": "#e6f3ec", "bad-shade": "#fbeae8", "wait-shade": "#fbf1dc", "gone": "#fbdedb", "come": "#d5eede",
}  # fmt: skip
DARK: Mapping[str, str] = {
    "page": "#111419", "card": "#191e25", "text": "#e6eaef", "quiet": "#9aa5b2", "line": "#2e353f", "shade": "#222830",
    "good": "#55c98f", "wait": "#e3b54c", "bad": "#ff8278", "accent": "#8fabff",
    "good-shade": "#15291f", "bad-shade": "#331c1b", "wait-shade": "#2f2614", "gone": "#50211e", "come": "#1b402c",
}  # fmt: skip

_RULES = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 74rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; text-wrap: balance; }
h2 { font-size: 1.2rem; margin: 0 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
h4 { font-size: .9rem; margin: 0; }
p { margin: .3rem 0 .7rem; max-width: 62rem; }
a { color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
header { border-left: 8px solid var(--wait); background: var(--card); padding: 1.2rem 1.4rem; border-radius: 8px; margin-bottom: 1rem; }
header.promote { border-color: var(--good); } header.rollback { border-color: var(--bad); }
header p { margin: .4rem 0 0; }
.promote h1 .mark { color: var(--good); } .hold h1 .mark { color: var(--wait); } .rollback h1 .mark { color: var(--bad); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0 .2rem; margin: 0 0 1rem; font-size: .9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1.1rem 1.4rem; margin-bottom: 1rem; }
.quiet { color: var(--quiet); font-size: .86rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
code { font: .82rem ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; background: var(--shade); padding: .1em .35em;
  border-radius: 4px; }
.figures { display: flex; flex-wrap: wrap; gap: .6rem 2.2rem; margin: 0 0 .8rem; }
.figures dt { color: var(--quiet); font-size: .82rem; }
.figures dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.reasons { margin: .9rem 0; } .reasons ul { padding-left: 1.3rem; margin: .3rem 0; } .reasons p { margin: .2rem 0; }
.reasons li { overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
thead th { color: var(--quiet); font-size: .82rem; font-weight: 600; border-bottom: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0; overflow-wrap: break-word; }
tbody th { font-weight: 400; min-width: 7rem; }
tbody tr + tr > * { border-top: 1px solid var(--line); }
.numbers td:last-child { min-width: 15rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.pill { white-space: nowrap; font-size: .84rem; font-weight: 600; border: 1px solid currentColor;
  border-radius: 99px; padding: .08rem .6rem; }
.pass { color: var(--good); } .fail { color: var(--bad); } .inconclusive { color: var(--wait); }
.pill.pass { background: var(--good-shade); }
.pill.fail { background: var(--bad-shade); } .pill.inconclusive { background: var(--wait-shade); }
.sign { font-weight: 700; }
.legend { white-space: pre-wrap; }
svg { display: block; max-width: 100%; height: auto; }
svg text { font-size: 12px; fill: var(--text); } svg text.quiet { fill: var(--quiet); }
svg .within { fill: var(--good-shade); } svg .beyond { fill: var(--bad-shade); }
svg .axis { stroke: var(--line); } svg .zero { stroke: var(--quiet); }
svg .margin { stroke: var(--text); stroke-width: 2; stroke-dasharray: 5 3; }
svg.finding { width: 340px; min-width: 17rem; }
svg.finding .bounds { fill: currentColor; opacity: .45; } svg.finding .cap { stroke: currentColor; stroke-width: 2; }
svg.finding .end { fill: currentColor; } svg.finding .mean { fill: currentColor; stroke: var(--card); stroke-width: 1.5; }
svg .bar { fill: var(--quiet); } svg .candidate .bar { fill: var(--accent); } svg .control .bar { fill: var(--quiet); opacity: .65; }
svg .track { fill: var(--shade); } svg .median { stroke: var(--text); stroke-width: 2; }
.number svg { margin: .15rem 0 0 auto; }
figure { margin: 0 0 1.4rem; } figcaption { grid-column: 1 / -1; } figcaption h3 { margin-top: .6rem; }
@media (min-width: 64rem) {
  figure { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 4fr); gap: 0 2rem; align-items: center; }
}
details { margin: .5rem 0; }
summary { cursor: pointer; padding: .3rem 0; color: var(--accent); }
details.pair { border-top: 1px solid var(--line); margin: 0; padding: .3rem 0; }
.pair > summary { color: inherit; } .pair > summary h3 { display: inline; margin: 0 .9rem 0 .2rem; overflow-wrap: anywhere; }
.pair > summary span { margin-right: .9rem; } .weight { font-variant-numeric: tabular-nums; font-weight: 600; }
.asked { margin: .4rem 0 .8rem; }
.arms { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem; margin-bottom: .6rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; background: var(--shade); border-radius: 6px;
  padding: .6rem .8rem; margin-top: .3rem; max-height: 24rem; overflow-y: auto; font-size: .94rem; }
del { background: var(--gone); text-decoration: line-through; text-decoration-thickness: 1.5px; border-radius: 3px; }
ins { background: var(--come); text-decoration: underline; text-decoration-thickness: 1.5px; text-underline-offset: 2px;
  border-radius: 3px; }
.severity { font-weight: 600; } .severity.critical, .severity.major { color: var(--bad); } .severity.minor { color: var(--wait); }
bdi { overflow-wrap: anywhere; }
footer { color: var(--quiet); font-size: .86rem; }
@media (max-width: 44rem) { body { padding: .8rem .6rem 3rem; } section, header { padding: .9rem .9rem; } h1 { font-size: 1.35rem; }
  .findings thead { display: none; } .findings tr > * { display: block; border: 0; padding: .15rem 0; min-width: 0; }
  .findings tr { display: block; padding: .6rem 0; border-top: 1px solid var(--line); } }
"""

#: On paper everything is open, nothing scrolls, and colours are those of the light page whatever the screen shows.
_PRINT = """
body { max-width: none; padding: 0; font-size: 10.5pt; background: #fff; }
section, header { border: 0; border-top: 1px solid var(--line); border-radius: 0; padding: .8rem 0; }
header { border-top: 0; border-left: 8px solid var(--wait); padding-left: 1rem; }
nav { display: none; }
.text { max-height: none; overflow: visible; } .scroll { overflow: visible; }
details::details-content { content-visibility: visible; display: block; height: auto; }
.numbers { font-size: 8pt; } .numbers td:last-child { min-width: 0; }
tr, figure, .arm { break-inside: avoid; } h2, h3, summary { break-after: avoid; }
del, ins, .pill, svg rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
"""


def style_sheet() -> str:
    """All of it, as CSS."""
    return (
        f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
        f"{_RULES}@media print {{ {_PRINT} }}\n"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
