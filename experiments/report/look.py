"""Style and script of a report page, as they stand in the page."""

from typing import Final

CSS: Final = """
:root { --ink: #1b1f24; --quiet: #57606a; --line: #d0d7de; --soft: #f6f8fa; --accent: #0b5cad; }
* { box-sizing: border-box; }
html { scroll-behavior: auto; -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1.25rem 4rem; max-width: 74rem; background: #fff; color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p, dd, li, figcaption, caption { max-width: 48rem; }
p { margin: .5rem 0; overflow-wrap: anywhere; }
p.lead { font-size: 1.1rem; }
p.note { color: var(--quiet); border-left: 3px solid var(--line); padding-left: .75rem; }
a { color: var(--accent); }
a:focus-visible, button:focus-visible, select:focus-visible, [tabindex]:focus-visible {
  outline: 3px solid #b35900; outline-offset: 2px; }
.skip { position: absolute; left: -999rem; }
.skip:focus { left: 1rem; top: .5rem; background: #fff; padding: .5rem; }
.quiet { color: var(--quiet); }
nav ul { list-style: none; margin: 1rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
nav a { display: inline-block; padding: .15rem 0; }
figure { margin: 1rem 0 1.75rem; }
figcaption { color: var(--quiet); font-size: .9rem; margin-top: .5rem; }
.panels { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); }
.panels.single { grid-template-columns: minmax(0, 54rem); }
.panel { overflow-x: auto; }
.panel svg { display: block; width: 100%; height: auto; }
.panel svg * { stroke-linejoin: round; stroke-linecap: butt; }
.panel svg text { font-family: "DejaVu Sans", Verdana, Arial, sans-serif !important; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: 0 0 .75rem;
  padding: 0;
  font-size: .9rem; }
.legend svg { width: 34px; height: 8px; margin-right: .4rem; vertical-align: middle; }
.scale, .choice { font-size: .9rem; }
.scale svg { width: 11rem; height: .7rem; margin: 0 .4rem; vertical-align: baseline;
  border: 1px solid var(--line); }
.choice label { font-weight: 600; margin-right: .4rem; }
.choice select { font: inherit; color: inherit; background: #fff; border: 1px solid var(--quiet);
  border-radius: 4px; padding: .3rem .5rem; min-height: 2.2rem; max-width: 100%; }
.csv { white-space: nowrap; margin-right: .9rem; display: inline-block; padding: .1rem 0; }
.csv .quiet { font-size: .85em; }
.scroll { overflow-x: auto; margin: 1rem 0 .5rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; max-width: none; }
caption span { display: inline-block; position: sticky; left: 0;
  max-width: min(48rem, calc(100vw - 2.5rem)); }
th:first-child { position: sticky; left: 0; background: #fff; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline;
  white-space: nowrap; }
thead th, thead button { white-space: normal; }
thead th { border-bottom: 2px solid var(--quiet); padding: 0; vertical-align: bottom; }
tbody th { font-weight: 500; }
.n { text-align: right; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; cursor: pointer;
  padding: .35rem .65rem; width: 100%; text-align: inherit; min-height: 2rem; }
th button:hover { background: var(--soft); }
th button::after { content: "\\2195"; display: inline-block; width: 1em; text-align: right; color: #8c959f; }
th[aria-sort=ascending] button::after { content: "\\2191"; color: var(--ink); }
th[aria-sort=descending] button::after { content: "\\2193"; color: var(--ink); }
tbody tr:hover, tbody tr:hover th { background: var(--soft); }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr));
  gap: .6rem 1.5rem;
  margin: 1rem 0; }
dt { font-weight: 600; font-size: .9rem; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 4px; padding: .75rem;
  overflow: auto;
  max-height: 28rem; font: .85rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media (max-width: 640px) {
  body { padding: 1rem .8rem 3rem; font-size: 15px; }
  .broad .panel svg { min-width: 30rem; }
}
@media print {
  @page { margin: 14mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, .skip, .csv, .saved, .choice, th button::after { display: none; }
  .panels { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .panels.single { grid-template-columns: minmax(0, 32rem); }
  .panels.many { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  figure:not(:has(.many)), .panel, tr, dl > div { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  .scroll, .panel, pre { overflow: visible; max-height: none; }
  pre { white-space: pre-wrap; }
  caption span { max-width: none; }
  table { font-size: 7.5pt; }
  th, td { padding: .12rem .3rem; }
  th button { padding: .12rem .3rem; min-height: 0; }
}
"""

SCRIPT: Final = """
for (const choice of document.querySelectorAll("[data-choice]")) {
  const list = choice.querySelector("select"), parts = [...choice.querySelectorAll("[data-part]")];
  const show = () => parts.forEach((part, i) => { part.hidden = i !== list.selectedIndex; });
  list.addEventListener("change", show);
  choice.querySelector(".choice").hidden = false;
  show();
}
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const value = (row, i) => {
    const cell = row.cells[i], given = cell.dataset.value;
    if (given === undefined) return cell.textContent.trim();
    return given === "" ? null : Number(given);
  };
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    // Numbers begin with the largest, words with the first letter.
    const numeric = head.classList.contains("n"), now = head.getAttribute("aria-sort");
    const up = now === "none" ? !numeric : now === "descending";
    for (const other of heads) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [value(row, i), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", {numeric: true});
      return up ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  }));
}
"""
