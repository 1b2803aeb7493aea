// All clips of a page are drawn from pictures of their frames by one clock, so they show the same frame by construction.
"use strict";
(() => {
  const block = document.getElementById("clips");
  if (!block) return;
  const { clips: known, fps } = JSON.parse(block.textContent);
  const get = (id) => document.getElementById(id);
  const [play, scrub, at, speed, seed, overlay] = ["play", "scrub", "at", "speed", "seed", "tracks"].map(get);
  const help = document.querySelector(".help"); // keys act on pages that tell them; elsewhere they scroll
  const BUDGET = 400e6; // bytes of decoded pictures kept at once
  const TAIL = 12; // frames of a track that are drawn behind its point

  const clips = known.filter((clip) => clip.frames > 0).map((clip) => {
    const place = document.querySelector(`figure[data-key="${CSS.escape(clip.key)}"]`);
    const frame = place.querySelector("canvas.frame");
    return {
      ...clip, place, frame, over: place.querySelector("canvas.over"), images: null, loading: null, near: false, used: 0,
      bytes: clip.columns * clip.rows * clip.w * clip.h * 4 * clip.files.length, paths: null, pen: frame.getContext("2d"),
    };
  });
  const count = Math.max(1, ...clips.map((clip) => clip.frames));
  let shown = 0;
  let playing = false;
  let began = 0; // time at which frame `from` was shown
  let from = 0;
  let uses = 0;

  // --- drawing ----------------------------------------------------------------------------------------------------

  function draw(clip) {
    if (!clip.images) return;
    const n = Math.min(shown, clip.frames - 1);
    const each = clip.columns * clip.rows;
    const [file, inside] = [Math.floor(n / each), n % each];
    const [column, row] = [inside % clip.columns, Math.floor(inside / clip.columns)];
    clip.pen.drawImage(clip.images[file], column * clip.w, row * clip.h, clip.w, clip.h, 0, 0, clip.w, clip.h);
    clip.frame.dataset.frame = n;
    drawTracks(clip, n);
    clip.over.dataset.frame = n;
  }

  function drawTracks(clip, n) {
    const on = overlay.checked && clip.paths !== null;
    clip.over.hidden = !on;
    if (!on) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(clip.frame.clientWidth * ratio), Math.round(clip.frame.clientHeight * ratio)];
    if (!width || !height) return;
    if (clip.over.width !== width || clip.over.height !== height) [clip.over.width, clip.over.height] = [width, height];
    const pen = clip.over.getContext("2d");
    pen.clearRect(0, 0, width, height);
    pen.lineWidth = 1.6 * ratio;
    pen.lineCap = "round";
    const { points, width: w, height: h } = clip.paths;
    const [sx, sy] = [width / (10 * w), height / (10 * h)];
    points.forEach((path, number) => {
      const last = Math.min(n, path.length / 2 - 1);
      if (last < n) return; // lost: not drawn any more
      const colour = `hsl(${Math.round((360 * number) / points.length)} 95% 62%)`;
      pen.strokeStyle = colour;
      pen.fillStyle = colour;
      const [x, y] = [(path[2 * last] + 5) * sx, (path[2 * last + 1] + 5) * sy];
      pen.beginPath();
      pen.moveTo(x, y);
      for (let k = last - 1; k >= Math.max(0, last - TAIL); k--) pen.lineTo((path[2 * k] + 5) * sx, (path[2 * k + 1] + 5) * sy);
      pen.stroke();
      pen.beginPath();
      pen.arc(x, y, 2.2 * ratio, 0, 2 * Math.PI);
      pen.fill();
    });
  }

  function show(n) {
    shown = ((n % count) + count) % count;
    scrub.value = shown;
    at.textContent = `${shown + 1} / ${count}`;
    scrub.setAttribute("aria-valuetext", `frame ${shown + 1} of ${count}`);
    for (const clip of clips) draw(clip);
  }

  // --- the clock --------------------------------------------------------------------------------------------------

  function tick(now) {
    if (!playing) return;
    const n = (from + Math.floor(((now - began) / 1000) * fps * Number(speed.value))) % count;
    if (n !== shown) show(n);
    requestAnimationFrame(tick);
  }

  function restart() { [began, from] = [performance.now(), shown]; }

  function setPlaying(on) {
    playing = on;
    play.setAttribute("aria-pressed", String(on));
    play.querySelector("span").textContent = on ? "❚❚" : "▶";
    play.querySelector(".word").textContent = on ? "Pause" : "Play";
    if (on) { restart(); requestAnimationFrame(tick); }
  }

  function go(n) { setPlaying(false); show(n); }

  // --- loading ----------------------------------------------------------------------------------------------------

  function load(clip) {
    clip.used = ++uses;
    if (clip.images || clip.loading) return;
    clip.loading = Promise.all(clip.files.map(async (file) => {
      const image = new Image();
      image.src = file;
      await image.decode();
      return image;
    })).then((images) => {
      clip.images = images;
      clip.place.classList.remove("broken");
      trim();
      draw(clip);
    }, () => clip.place.classList.add("broken")).finally(() => { clip.loading = null; });
    if (overlay.checked) loadTracks(clip);
  }

  // Pictures of clips out of sight go first when all together are too large; they come back when they are near again.
  function trim() {
    const idle = clips.filter((clip) => clip.images && !clip.near).sort((a, b) => a.used - b.used);
    let total = clips.reduce((sum, clip) => sum + (clip.images ? clip.bytes : 0), 0);
    for (const clip of idle) {
      if (total <= BUDGET) return;
      clip.images = null;
      delete clip.frame.dataset.frame;
      delete clip.over.dataset.frame;
      total -= clip.bytes;
    }
  }

  function loadTracks(clip) {
    if (!clip.tracks || clip.paths || clip.asked) return;
    clip.asked = true;
    const script = document.createElement("script");
    script.src = clip.tracks;
    script.addEventListener("load", () => {
      clip.paths = (window.benchData || {})[`tracks:${clip.digest}`] || null;
      draw(clip);
    });
    document.head.append(script);
  }

  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const clip = clips.find((one) => one.place === entry.target);
      clip.near = entry.isIntersecting;
      if (clip.near) load(clip);
    }
  }, { rootMargin: "400px 0px" });

  // --- controls ---------------------------------------------------------------------------------------------------

  play.addEventListener("click", () => setPlaying(!playing));
  get("back").addEventListener("click", () => go(shown - 1));
  get("on").addEventListener("click", () => go(shown + 1));
  scrub.addEventListener("input", () => go(Number(scrub.value)));
  speed.addEventListener("change", restart);
  overlay.addEventListener("change", () => {
    for (const clip of clips) { if (overlay.checked && clip.near) loadTracks(clip); draw(clip); }
  });
  window.addEventListener("resize", () => { if (overlay.checked) show(shown); });

  function faster(by) {
    speed.selectedIndex = Math.min(speed.options.length - 1, Math.max(0, speed.selectedIndex + by));
    restart();
  }

  const keys = {
    " ": () => setPlaying(!playing), ArrowLeft: () => go(shown - 1), ArrowRight: () => go(shown + 1), Home: () => go(0),
    End: () => go(count - 1), "-": () => faster(-1), "+": () => faster(1), "=": () => faster(1),
    t: () => { if (!overlay.closest("label").hidden) overlay.click(); },
  };

  document.addEventListener("keydown", (event) => {
    if (!help || event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const on = event.target.closest("input, select, textarea, button, summary, a, pre, [contenteditable]");
    // A control keeps its own keys; the frame slider keeps none, since the page's do the same and a little more.
    if (on && on !== scrub && (event.key === " " || on.matches("input, select, textarea"))) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  function chooseSeed() {
    const wanted = seed ? seed.value : "all";
    for (const part of document.querySelectorAll("[data-seed]")) part.hidden = wanted !== "all" && part.dataset.seed !== wanted;
    show(shown);
  }

  scrub.max = count - 1;
  if (seed) seed.addEventListener("change", chooseSeed);
  const controls = get("controls");
  controls.hidden = clips.length === 0;
  for (const clip of clips) { clip.over.hidden = true; watch.observe(clip.place); }
  chooseSeed();
  if (controls.hasAttribute("data-plays") && !matchMedia("(prefers-reduced-motion: reduce)").matches) setPlaying(true);
})();
