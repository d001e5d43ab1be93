"""What the report adds to the style of `preprocessing.ground.web_page`."""

from advmtl.report.charts import COLOURS

# Okabe and Ito's colours, told apart with colour blindness too; darker on white, lighter on black.
_LIGHT = ("#0072b2", "#c04a00", "#007a5a", "#a8437f", "#7a6400", "#4b4bb5", "#2f7ea8", "#5c5c5c")
_DARK = ("#56b4e9", "#ff9457", "#2fd1a4", "#f0a3cf", "#f0e442", "#aab0ff", "#8fd3ff", "#c8c8c8")

_CSS = """
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: .75rem;
  margin: 1rem 0; }
.chart { position: relative; } .chart svg { display: block; width: 100%; height: auto; margin-top: .5rem; }
.chart text { fill: var(--ink); font-size: 12px; } .chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--quiet); } .chart polyline { fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linejoin: round; } .chart circle { fill: currentColor; } .chart rect { fill: currentColor; }
.chart .dashed polyline { stroke-dasharray: 6 4; } .chart .faint polyline { stroke-width: 1; opacity: .35; }
.switch { float: right; color: var(--ink); padding: .25rem; } .chart .logarithmic { display: none; }
.chart:has(.switch input:checked) .logarithmic { display: block; }
.chart:has(.switch input:checked) .linear { display: none; }
summary { cursor: pointer; padding: .4rem 0; } figure summary { font-size: .875rem; color: var(--quiet); }
.runs { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; padding: .5rem .75rem; }
.runs label { display: inline-block; margin: .25rem 1rem .25rem 0; padding: .25rem 0; }
.swatch { display: inline-block; width: 1.5rem; height: .35rem; background: currentColor; vertical-align: middle; }
.legend { list-style: none; margin: .25rem 0 0; padding: 0; font-size: .8rem; }
.legend li { display: inline-block; margin-right: .9rem; }
input[type=checkbox] { width: 1.1rem; height: 1.1rem; vertical-align: -.15rem; accent-color: var(--link); }
.confusion { border-collapse: separate; border-spacing: 1px; font-size: .8rem; }
.confusion th, .confusion td { border: 0; padding: .2rem .3rem; }
.confusion tbody td[style] { background: color-mix(in srgb, var(--heat) var(--share), var(--card)); min-width: 1.9rem; }
.confusion td.hot { color: #fff; font-weight: 600; } .confusion tbody th { position: sticky; left: 0;
  background: var(--paper); font-weight: 400; }
.confusion thead th { vertical-align: bottom; font-weight: 400; } .confusion thead span { writing-mode: vertical-rl;
  transform: rotate(180deg); } .confusion thead th:first-child { text-align: left; }
.confusion caption span { display: inline-block; position: sticky; left: 0; max-width: min(44rem, 85vw); }
.pictures-of-run > figure { margin-bottom: .75rem; }
.panel img { display: block; min-width: 44rem; width: 100%; height: auto; border-radius: .25rem; }
.frame { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9rem), 1fr)); gap: .5rem; }
@media (min-width: 60rem) { .frame { grid-template-columns: repeat(4, 1fr); } }
.tables { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start; } .tables > div { max-width: 100%; }
.settings th:first-child { white-space: normal; min-width: 9rem; overflow-wrap: break-word; }
.settings td { white-space: normal; max-width: 16rem; overflow-wrap: break-word; }
.frames > figure { margin: 0 0 .75rem; } .frame > div { font-size: .8rem; color: var(--quiet); }
.classes { list-style: none; padding: 0; font-size: .85rem; }
.classes li { display: inline-block; margin-right: .9rem; }
.classes i { display: inline-block; width: .9rem; height: .9rem; margin-right: .3rem; vertical-align: -.1rem; }
@media print { .confusion tbody th { position: static; } }
"""


def style(runs: int) -> str:
    """The CSS for a page about that many runs."""
    light = "".join(f"--run-{number}: {colour}; " for number, colour in enumerate(_LIGHT))
    dark = "".join(f"--run-{number}: {colour}; " for number, colour in enumerate(_DARK))
    rules = [f".run-{number} {{ color: var(--run-{number}); }}" for number in range(COLOURS)]
    rules += [
        f"body:has(#shown-{number}:not(:checked)) :is(svg, figure) .show-{number} {{ display: none; }}"
        for number in range(runs)
    ]
    return (
        f":root {{ --heat: #0b5cad; {light}}}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ --heat: #2f81f7; {dark}}} }}" + _CSS + "\n".join(rules)
    )
