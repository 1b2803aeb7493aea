// Filters whose state is in the address, and buttons that copy. Without it every board and every row is shown.
"use strict";
(() => {
  // --- filters -----------------------------------------------------------------------------------------------------
  const filter = document.getElementById("filter");
  const boards = [...document.querySelectorAll(".board[data-suite]")];

  if (filter && boards.length) {
    const said = document.getElementById("said");
    const asked = [...filter.querySelectorAll("[data-filter]")];

    function apply() {
      const free = asked.find((one) => one.type === "checkbox").checked;
      let [shown, rows] = [0, 0];
      for (const board of boards) {
        let left = 0;
        for (const row of board.querySelectorAll("tr[data-kind]")) {
          row.hidden = free && row.dataset.kind !== "training-free";
          left += !row.hidden;
        }
        board.hidden = !left || asked.some((one) => one.type !== "checkbox" && one.value && board.dataset[one.dataset.filter] !== one.value);
        if (!board.hidden) [shown, rows] = [shown + 1, rows + left];
      }
      const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
      said.textContent = `${plural(rows, "row")} on ${plural(shown, "board")}` + (free ? "; places are among all rows of a board" : "");
    }

    function remember() {
      const words = new URLSearchParams();
      for (const one of asked) {
        if (one.type === "checkbox" ? one.checked : one.value) words.set(one.dataset.filter, one.type === "checkbox" ? "1" : one.value);
      }
      history.replaceState(null, "", `#${words}`);
      apply();
    }

    function recall() {
      const hash = location.hash.slice(1);
      if (hash && !hash.includes("=")) return apply(); // a place on the page, and no filter
      const words = new URLSearchParams(hash);
      for (const one of asked) {
        const value = words.get(one.dataset.filter) || "";
        if (one.type === "checkbox") one.checked = value === "1";
        else one.value = [...one.options].some((option) => option.value === value) ? value : "";
      }
      apply();
    }

    filter.addEventListener("change", remember);
    document.getElementById("clear").addEventListener("click", () => {
      for (const one of asked) { one.checked = false; one.value = ""; }
      remember();
    });
    window.addEventListener("hashchange", recall);
    filter.hidden = false;
    recall();
  }

  // --- copying -----------------------------------------------------------------------------------------------------
  for (const button of document.querySelectorAll("button.copy")) {
    const text = button.parentElement.querySelector("code");
    const word = button.firstChild;
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        word.data = "Copied";
      } catch {
        getSelection().selectAllChildren(text); // no clipboard here: what is selected can be copied by hand
        word.data = "Selected";
      }
      setTimeout(() => { word.data = "Copy"; }, 2000);
    });
  }
})();
