"""The style sheet of reports and of the local page; light and dark by what the reader's system asks for."""

STYLE = """
:root { color-scheme: light dark; --ground: #fafaf8; --ink: #1f2326; --quiet: #5e676d; --line: #dcdfe0; --heat: #22637f;
  --tint: #eef1f1; --good: #1d6b3a; --bad: #9c2b1f; --wait: #7a5200;
  --s0: #0072b2; --s1: #b34700; --s2: #00795a; --s3: #a0457a; --s4: #6b6b00; --s5: #40484d }
@media (prefers-color-scheme: dark) { :root { --ground: #15181a; --ink: #e6e9ea; --quiet: #9aa4a9; --line: #30373b;
  --heat: #7fbdd6; --tint: #1f2528; --good: #7fcb9b; --bad: #f0948a; --wait: #e0b457;
  --s0: #56b4e9; --s1: #f0a04b; --s2: #2fc79b; --s3: #e39cc4; --s4: #e6dc5a; --s5: #c5cdd1 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 4rem }
header { padding-left: 1rem; border-left: .25rem solid }
header p { margin: 0; color: var(--ink) }
header p.note { color: var(--quiet) }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25 }
h2 { margin: 2.75rem 0 .75rem; font-size: 1.125rem; line-height: 1.25 }
h3 { margin: 1.5rem 0 .5rem; font-size: .875rem; font-weight: 600; color: var(--quiet) }
p { margin: .5rem 0; max-width: 46rem }
a { color: var(--heat) }
.note, .empty { color: var(--quiet); font-size: .875rem }
.good { color: var(--good) } .bad { color: var(--bad) } .wait { color: var(--wait) }
.lead { margin-top: 1.25rem; font-size: 1.0625rem }
:focus-visible { outline: 2px solid var(--heat); outline-offset: 2px }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { padding: .25rem 0; text-align: left; color: var(--quiet); font-size: .875rem }
th, td { padding: .3125rem .75rem; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400;
  overflow-wrap: break-word }
th:first-child { padding-left: 0; text-align: left; min-width: 6rem; max-width: 24rem }
td { max-width: 30rem; white-space: nowrap }
thead th { color: var(--quiet); font-size: .875rem; vertical-align: bottom }
.words td, .words th, .nodes td:last-child, .nodes th:last-child { text-align: left; white-space: normal }
.words td { min-width: 6rem }
.nodes td:last-child { min-width: 12rem }
.heat td { padding: 0 }
.heat span { display: block; padding: .3125rem .75rem;
  background: color-mix(in srgb, var(--heat) calc(var(--share) * 40%), transparent) }
.bars table { width: 100% } .bars td:last-child { width: 50%; min-width: 4rem; padding-right: 0 }
@media (max-width: 30rem) { th, td { padding-inline: .5rem } .bars td:last-child { width: 30% }
  .nodes thead { display: none } .nodes table, .nodes tbody { display: block }
  .nodes tr { display: grid; grid-template-columns: 1fr auto 4rem; border-bottom: 1px solid var(--line) }
  .nodes th, .nodes td { border: 0 }
  .nodes td:last-child { grid-column: 1 / -1; padding: 0 0 .3125rem; font-size: .875rem }
  .nodes td:last-child:empty { display: none } }
.bar { display: block; height: .625rem; width: calc(var(--share) * 100%); min-width: 2px; background: var(--s0) }
.chart { margin: 1rem 0 1.5rem; max-width: 46rem }
figcaption { margin-bottom: .375rem; font-size: .875rem; color: var(--quiet) }
.plot { display: grid; grid-template-columns: 3.5rem 1fr; grid-template-rows: 12rem 1.375rem auto }
.square { max-width: 30rem; grid-template-rows: 24rem auto }
.plot svg { grid-column: 2; width: 100%; height: 100%; overflow: visible; border-left: 1px solid var(--line);
  border-bottom: 1px solid var(--line) }
.plot .left { position: relative; grid-column: 1; grid-row: 1 }
.plot .left span { position: absolute; right: .5rem; transform: translateY(50%); font-size: .75rem; line-height: 1;
  color: var(--quiet); white-space: nowrap }
.plot .below { position: relative; grid-column: 2; grid-row: 2 }
.plot .below span { position: absolute; top: .25rem; transform: translateX(-50%); font-size: .75rem; line-height: 1.3;
  color: var(--quiet); white-space: nowrap }
.plot .across { grid-column: 2; margin: 0; font-size: .75rem; color: var(--quiet); text-align: right }
.grid { fill: none; stroke: var(--line); vector-effect: non-scaling-stroke }
.s0, .s1, .s2, .s3, .s4, .s5 { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round }
.s0 { stroke: var(--s0) } .s1 { stroke: var(--s1); stroke-dasharray: 7 4 }
.s2 { stroke: var(--s2); stroke-dasharray: 2 3 } .s3 { stroke: var(--s3); stroke-dasharray: 10 3 2 3 }
.s4 { stroke: var(--s4); stroke-dasharray: 12 4 } .s5 { stroke: var(--s5); stroke-dasharray: 4 2 }
.dot { stroke-width: 7; stroke-linecap: round; stroke-dasharray: none }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .5rem 0; padding: 0 0 0 3.5rem; list-style: none;
  font-size: .875rem }
.legend svg { width: 1.75rem; height: .5rem; margin-right: .5rem; vertical-align: middle }
details { margin: .5rem 0 } summary { color: var(--quiet); font-size: .875rem; cursor: pointer; padding: .25rem 0 }
pre { margin: .5rem 0; padding: .75rem 1rem; background: var(--tint); overflow-x: auto; white-space: pre-wrap;
  font: .8125rem/1.55 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
code { font: .875em ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace }
.graph svg { display: block; width: 100%; font: 11px system-ui, sans-serif }
.graph rect { fill: var(--tint); stroke: var(--line) } .graph text { fill: var(--ink); text-anchor: middle }
.graph .quiet { fill: var(--quiet); font-size: 10px } .graph .edge { fill: none; stroke: var(--quiet) }
.graph .file rect { stroke-dasharray: 4 3 } .graph .end rect { stroke: var(--good); stroke-width: 2 }
.card h3 { font-size: 1rem; color: inherit } .card h4 { margin: 1rem 0 .25rem; font-size: .875rem }
.card ul { padding-left: 1.25rem }
nav { margin-bottom: 1rem; font-size: .875rem }
form.compare { display: flex; flex-wrap: wrap; gap: .75rem; align-items: end; margin: 1.5rem 0 }
form.compare p { display: grid; margin: 0 } label { font-size: .875rem; color: var(--quiet) }
select, button { min-height: 2.75rem; padding: .25rem .75rem; border: 1px solid var(--quiet); border-radius: .375rem;
  background: var(--ground); color: inherit; font: inherit; font-size: 1rem; max-width: 20rem }
button { cursor: pointer }
progress { display: block; width: 100%; max-width: 20rem; height: .375rem; margin-top: .25rem; accent-color: var(--s0) }
"""
