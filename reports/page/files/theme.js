// Before the first paint: the theme chosen earlier on this machine, or the system's.
"use strict";
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("bench-theme"); } catch { /* no storage: the system's theme */ }
  const root = document.documentElement;
  root.classList.add("js");
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
})();
