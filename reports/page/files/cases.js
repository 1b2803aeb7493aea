// The list of cases: search and filter over all of them, also those on other pages. Without it the plain pages remain.
"use strict";
(() => {
  const data = (window.benchData || {}).cases;
  if (!data) return;
  const get = (id) => document.getElementById(id);
  const [filter, words, category, incomplete, clear] = ["filter", "words", "category", "incomplete", "clear"].map(get);
  const [said, found, listed] = ["said", "found", "listed"].map(get);
  const plain = said.textContent;
  const size = data.per_page;
  const cases = data.rows.map(([page, id, kind, prompt, caption, still, failed, missing]) => ({
    page, id, kind, prompt, still, failed, missing, text: [id, prompt, caption].join("\n").toLowerCase(),
  }));
  let at = 0;

  function make(name, text, classes) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (classes) made.className = classes;
    return made;
  }

  function card(one) {
    const item = make("li", undefined, "card");
    const link = make("a");
    link.href = `cases/${encodeURIComponent(one.page)}`;
    if (one.still) {
      const still = make("img");
      still.loading = "lazy";
      still.alt = "";
      still.width = 288;
      still.height = 96;
      still.src = `clips/${encodeURIComponent(one.still)}`;
      link.append(still);
    } else link.append(make("span", "no frames", "blank"));
    const name = make("strong", one.id);
    name.dir = "auto";
    link.append(name);
    const prompt = make("p", one.prompt);
    prompt.dir = "auto";
    const meta = make("p", one.kind.replaceAll("_", " "), "meta");
    if (one.failed) meta.append(" · ", make("span", `${one.failed} failed`, "bad"));
    if (one.missing) meta.append(` · ${one.missing} missing`);
    item.append(link, prompt, meta);
    return item;
  }

  function pager(pages) {
    const nav = make("nav", undefined, "pager");
    nav.setAttribute("aria-label", "Pages of the cases found");
    const turn = (text, to, there) => {
      const press = make("button", text, "quiet");
      press.type = "button";
      press.disabled = !there;
      press.addEventListener("click", () => { at = to; show(); get("main").focus(); window.scrollTo(0, 0); });
      return press;
    };
    nav.append(turn("← Before", at - 1, at > 0), make("span", `${at + 1} of ${pages}`), turn("Next →", at + 1, at + 1 < pages));
    return nav;
  }

  function show() {
    const wanted = words.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const active = wanted.length > 0 || category.value !== "" || incomplete.checked;
    listed.hidden = active;
    found.hidden = !active;
    found.replaceChildren();
    if (!active) { said.textContent = plain; return; }
    const hits = cases.filter((one) => (category.value === "" || one.kind === category.value)
      && (!incomplete.checked || one.failed + one.missing > 0) && wanted.every((word) => one.text.includes(word)));
    const pages = Math.max(1, Math.ceil(hits.length / size));
    at = Math.min(at, pages - 1);
    const part = hits.slice(at * size, (at + 1) * size);
    said.textContent = hits.length
      ? `${at * size + 1} to ${at * size + part.length} of ${hits.length} found among ${cases.length} cases` : "No case is like that";
    const list = make("ol", undefined, "cards");
    list.start = at * size + 1;
    list.append(...part.map(card));
    found.append(list);
    if (pages > 1) found.append(pager(pages));
  }

  const changed = () => { at = 0; show(); };
  for (const input of [words, category, incomplete]) input.addEventListener("input", changed);
  clear.addEventListener("click", () => { words.value = ""; category.value = ""; incomplete.checked = false; changed(); words.focus(); });
  filter.hidden = false;
  show();
})();
