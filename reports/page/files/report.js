// Every page: the theme's button and tables that sort.
"use strict";
(() => {
  const root = document.documentElement;

  // --- theme -----------------------------------------------------------------------------------------------------
  const button = document.getElementById("theme");
  const order = ["auto", "light", "dark"];
  const said = button.querySelector("span");
  const show = () => { said.textContent = root.dataset.theme || "auto"; };
  button.hidden = false;
  show();
  button.addEventListener("click", () => {
    const next = order[(order.indexOf(root.dataset.theme || "auto") + 1) % order.length];
    if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
    try { localStorage.setItem("bench-theme", next); } catch { /* for this page only, then */ }
    show();
  });

  // --- tables ----------------------------------------------------------------------------------------------------
  const number = (cell) => (cell && cell.dataset.value !== undefined ? Number(cell.dataset.value) : null);
  const words = new Intl.Collator(undefined, { numeric: true });

  // Missing cells stay last whichever way the others go; equal ones keep the order they were printed in.
  function compare(a, b, at, text, sign) {
    if (text) return sign * words.compare(a.cells[at].textContent, b.cells[at].textContent);
    const [x, y] = [number(a.cells[at]), number(b.cells[at])];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  }

  function sort(table, head, at, way) {
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    if (way) head.setAttribute("aria-sort", way);
    const sign = way === "descending" ? -1 : 1;
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      rows.sort((a, b) => a.dataset.at - b.dataset.at);
      if (way) rows.sort((a, b) => compare(a, b, at, head.dataset.kind === "text", sign));
      body.append(...rows);
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    let n = 0;
    for (const body of table.tBodies) for (const row of body.rows) row.dataset.at = n++;
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const press = document.createElement("button");
      press.type = "button";
      press.append(...head.childNodes);
      head.append(press);
      const first = head.dataset.first || "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      press.addEventListener("click", () => {
        const now = head.getAttribute("aria-sort");
        sort(table, head, at, now === first ? second : now === second ? "" : first);
      });
    });
  }
})();
