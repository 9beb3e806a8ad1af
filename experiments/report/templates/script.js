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
