// The questionnaire: shuffles, plays all clips in step, collects three rankings a question, and offers a file at the end.
// Texts of the study are other people's: they are only ever set as textContent. Nothing is sent anywhere.
"use strict";

(() => {
  const study = JSON.parse(document.getElementById("study-data").textContent);
  const $ = (id) => document.getElementById(id);
  const CODE = /^[a-z0-9_-]{2,32}$/;
  const PIXELATED_BELOW = 128; // px; smaller frames are shown enlarged, without smoothing

  const state = { rater: "", at: 0, order: [], answers: {} };

  // --- chance that is the same after every reload ------------------------------------------------------------------

  function hash(text) {
    let h = 2166136261;
    for (let i = 0; i < text.length; i += 1) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
    h = Math.imul(h ^ (h >>> 16), 2246822507);
    h = Math.imul(h ^ (h >>> 13), 3266489909);
    return (h ^ (h >>> 16)) >>> 0;
  }

  function chance(seed) {
    let s = hash(seed);
    return () => {
      s = (s + 0x6d2b79f5) | 0;
      let t = Math.imul(s ^ (s >>> 15), 1 | s);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(list, seed) {
    const next = chance(seed);
    const out = [...list];
    for (let i = out.length - 1; i > 0; i -= 1) {
      const j = Math.floor(next() * (i + 1));
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }

  // --- small helpers -----------------------------------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  const letter = (i) => String.fromCharCode(65 + i);
  const counted = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

  function show(id) {
    for (const main of document.querySelectorAll("main")) main.hidden = main.id !== id;
    window.scrollTo(0, 0);
    $(id).querySelector("h1").focus({ preventScroll: true });
  }

  function criteriaInto(list) {
    list.replaceChildren();
    for (const c of study.criteria) {
      const title = make("dt", {}, c.title);
      title.dataset.criterion = c.id;
      list.append(title, make("dd", {}, c.asks));
    }
  }

  // --- progress, kept in this browser where it allows that ---------------------------------------------------------

  const place = () => `study:${study.study}:${state.rater}`;

  function save() {
    try {
      localStorage.setItem(place(), JSON.stringify({ at: state.at, answers: state.answers }));
    } catch {
      // A browser that stores nothing for pages from disk: the answers last as long as the page is open.
    }
  }

  function load() {
    state.at = 0;
    state.answers = {};
    for (const q of study.questions) {
      state.answers[q.id] = { seconds: 0, ranks: Object.fromEntries(study.criteria.map((c) => [c.id, {}])) };
    }
    try {
      const kept = JSON.parse(localStorage.getItem(place()));
      for (const q of study.questions) restore(q, kept.answers[q.id]);
      if (Number.isInteger(kept.at)) state.at = Math.min(Math.max(kept.at, 0), study.questions.length);
    } catch {
      // Nothing was kept, or it cannot be read.
    }
    const open = state.order.findIndex((q) => missing(q).length > 0);
    if (open >= 0) state.at = Math.min(state.at, open);
  }

  function restore(question, kept) {
    const answer = state.answers[question.id];
    const most = question.clips.length;
    if (!kept) return;
    if (Number.isFinite(kept.seconds) && kept.seconds > 0) answer.seconds = kept.seconds;
    for (const c of study.criteria) {
      const given = new Set();
      for (const clip of question.clips) {
        const rank = (kept.ranks[c.id] || {})[clip.id];
        if (Number.isInteger(rank) && rank >= 1 && rank <= most && (study.ties || !given.has(rank))) {
          given.add(rank);
          answer.ranks[c.id][clip.id] = rank;
        }
      }
    }
  }

  // --- clips: atlases drawn on canvases, all in one pass -----------------------------------------------------------

  const player = { screens: [], count: 0, fps: 1, frame: 0, playing: false, since: 0, from: 0, speed: 1, loaded: 0 };

  function screen(clip, name) {
    const canvas = make("canvas", { width: clip.width, height: clip.height, role: "img", "aria-label": name });
    canvas.classList.toggle("small", clip.width < PIXELATED_BELOW);
    const image = new Image();
    image.src = `${clip.id}.webp`;
    player.screens.push({ clip, canvas, image, pen: canvas.getContext("2d") });
    return canvas;
  }

  async function ready(turn) {
    const results = await Promise.allSettled(player.screens.map((s) => s.image.decode()));
    if (turn !== player.loaded) return; // another question was opened meanwhile
    const lost = results.filter((r) => r.status === "rejected").length;
    document.body.classList.remove("loading");
    if (lost) {
      $("missing").textContent = `${counted(lost, "video")} cannot be loaded: the folder of this page is incomplete.`;
      return;
    }
    document.body.dataset.ready = String(state.at);
    draw(0);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true);
  }

  function draw(frame) {
    player.frame = frame;
    for (const { clip, canvas, image, pen } of player.screens) {
      const own = Math.min(frame, clip.frames - 1);
      const x = (own % clip.columns) * clip.width;
      const y = Math.floor(own / clip.columns) * clip.height;
      pen.drawImage(image, x, y, clip.width, clip.height, 0, 0, clip.width, clip.height);
      canvas.dataset.frame = String(own);
    }
    $("scrub").value = String(frame);
    $("scrub").setAttribute("aria-valuetext", `frame ${frame + 1} of ${player.count}`);
    $("frame").textContent = `${frame + 1} / ${player.count}`;
  }

  function play(on) {
    player.playing = on && document.body.dataset.ready !== undefined;
    player.since = performance.now();
    player.from = player.frame;
    $("play").textContent = player.playing ? "Pause" : "Play";
    $("play").setAttribute("aria-pressed", String(player.playing));
    if (player.playing) requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!player.playing) return;
    const passed = Math.max(0, Math.floor(((now - player.since) / 1000) * player.fps * player.speed));
    const frame = (player.from + passed) % player.count;
    if (frame !== player.frame) draw(frame);
    requestAnimationFrame(tick);
  }

  function seek(frame) {
    play(false);
    if (document.body.dataset.ready !== undefined) draw(((frame % player.count) + player.count) % player.count);
  }

  // --- one question ------------------------------------------------------------------------------------------------

  const question = () => state.order[state.at];

  function missing(q) {
    return study.criteria.filter((c) => Object.keys(state.answers[q.id].ranks[c.id]).length < q.clips.length);
  }

  function ask() {
    const q = question();
    const total = study.questions.length;
    delete document.body.dataset.ready;
    document.body.classList.add("loading");
    play(false);
    player.screens = [];
    player.loaded += 1;
    player.count = Math.max(q.reference.frames, ...q.clips.map((c) => c.frames));
    player.fps = q.fps;
    player.frame = 0;
    $("scrub").max = String(player.count - 1);
    $("asking-title").textContent = `Question ${state.at + 1} of ${total}`;
    $("asking-rater").textContent = state.rater;
    $("done").max = total;
    $("done").value = state.order.filter((o) => missing(o).length === 0).length;
    $("prompt").textContent = q.prompt;
    $("missing").textContent = "";
    $("said").textContent = "";
    $("back").disabled = state.at === 0;
    $("next").textContent = state.at + 1 === total ? "Finish" : "Next";
    $("reference").replaceChildren(screen(q.reference, "Reference video"));
    const shown = shuffled(q.clips, `${study.study}/${state.rater}/${q.id}`);
    $("candidates").replaceChildren(...shown.map((clip, i) => card(clip, letter(i), shown)));
    paint();
    show("asking");
    ready(player.loaded);
    clock();
  }

  function card(clip, name, shown) {
    const box = make("article", { class: "card", "aria-label": `Video ${name}` });
    const frame = make("div", { class: "screen" }, screen(clip, `Video ${name}`), make("span", { class: "letter", "aria-hidden": "true" }, name));
    box.append(make("h3", { class: "visually-hidden" }, `Video ${name}`), frame);
    for (const c of study.criteria) box.append(row(c, clip, name, shown));
    return box;
  }

  function row(criterion, clip, name, shown) {
    const group = make("div", { class: "ranks", role: "group", "aria-label": `${criterion.title}, video ${name}` });
    group.dataset.criterion = criterion.id;
    group.dataset.clip = clip.id;
    const buttons = make("div", { class: "buttons" });
    const choices = study.ties ? [["1", "better"], ["0", "equal"]] : shown.map((_, i) => [String(i + 1), String(i + 1)]);
    for (const [value, text] of choices) {
      const rank = Number(value);
      const name = study.ties ? text : `rank ${text}`;
      const button = make("button", { type: "button", "aria-pressed": "false", "aria-label": name }, text);
      button.dataset.rank = value;
      button.addEventListener("click", () => choose(criterion, clip.id, rank, shown));
      buttons.append(button);
    }
    group.addEventListener("keydown", (event) => rowKey(event, group, criterion, clip, shown));
    group.append(make("span", { class: "name" }, criterion.title), buttons);
    return group;
  }

  function rowKey(event, group, criterion, clip, shown) {
    const buttons = [...group.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step !== undefined) {
      event.preventDefault();
      buttons[(at + step + buttons.length) % buttons.length].focus();
    } else if (/^[0-9]$/.test(event.key) && buttons.some((b) => b.dataset.rank === event.key)) {
      event.preventDefault();
      choose(criterion, clip.id, Number(event.key), shown);
      buttons.find((b) => b.dataset.rank === event.key).focus();
    }
  }

  // A rank is given once: who held it takes the rank this clip had, or none. The same rank again takes it back.
  function choose(criterion, clip, rank, shown) {
    if (study.ties) return prefer(criterion, clip, rank === 1, shown);
    const ranks = state.answers[question().id].ranks[criterion.id];
    const before = ranks[clip];
    const holder = Object.keys(ranks).find((id) => ranks[id] === rank && id !== clip);
    const name = (id) => `video ${letter(shown.findIndex((c) => c.id === id))}`;
    if (before === rank) delete ranks[clip];
    else ranks[clip] = rank;
    let said = `${criterion.title}: ${name(clip)} ${before === rank ? "has no rank" : `has rank ${rank}`}.`;
    if (holder) {
      if (before === undefined) delete ranks[holder];
      else ranks[holder] = before;
      said += ` No ties: ${name(holder)} now has ${before === undefined ? "no rank" : `rank ${before}`}.`;
    }
    $("said").textContent = said;
    $("missing").textContent = holder ? said : "";
    save();
    return paint();
  }

  // Of two videos one is better, or they are equal.
  function prefer(criterion, clip, better, shown) {
    const ranks = state.answers[question().id].ranks[criterion.id];
    for (const other of shown) ranks[other.id] = better && other.id !== clip ? 2 : 1;
    const name = letter(shown.findIndex((c) => c.id === clip));
    $("said").textContent = `${criterion.title}: ${better ? `video ${name} is better` : "both are equal"}.`;
    $("missing").textContent = "";
    save();
    paint();
  }

  function paint() {
    const ranks = state.answers[question().id].ranks;
    const lacking = missing(question());
    for (const group of document.querySelectorAll(".ranks")) {
      const own = ranks[group.dataset.criterion];
      const taken = new Set(Object.values(own));
      const given = own[group.dataset.clip];
      const equal = study.ties && given !== undefined && taken.size === 1;
      const chosen = equal ? 0 : given;
      for (const button of group.querySelectorAll("button")) {
        const rank = Number(button.dataset.rank);
        button.setAttribute("aria-pressed", String(rank === chosen));
        button.classList.toggle("taken", rank !== chosen && !study.ties && taken.has(rank));
        button.tabIndex = rank === (equal ? 0 : study.ties ? 1 : chosen || 1) ? 0 : -1;
      }
      group.classList.toggle("given", chosen !== undefined);
      if (chosen !== undefined) group.classList.remove("wanted");
    }
    for (const title of document.querySelectorAll("#criteria dt")) {
      title.classList.toggle("given", !lacking.some((c) => c.id === title.dataset.criterion));
    }
    $("next").classList.toggle("waiting", lacking.length > 0);
  }

  function forward() {
    const lacking = missing(question());
    if (document.body.dataset.ready === undefined) {
      $("missing").textContent ||= "The videos are not loaded yet.";
      return;
    }
    if (lacking.length) {
      const q = question();
      const open = [...document.querySelectorAll(".ranks:not(.given)")];
      open.forEach((group) => group.classList.add("wanted"));
      const parts = lacking.map((c) => {
        const left = q.clips.length - Object.keys(state.answers[q.id].ranks[c.id]).length;
        return `${c.title} (${counted(left, "video")})`;
      });
      $("missing").textContent = `Still to rank: ${parts.join(", ")}.`;
      open[0].querySelector("button[tabindex='0']").focus();
      return;
    }
    go(state.at + 1);
  }

  function go(to) {
    clock();
    state.at = to;
    save();
    if (to < study.questions.length) return ask();
    play(false);
    timed = null;
    $("end-count").textContent = counted(study.questions.length, "question");
    return show("end");
  }

  // --- how long a question was open, while the page was in sight ---------------------------------------------------

  let timed = null;

  function clock() {
    const now = performance.now();
    if (timed) state.answers[timed.id].seconds += (now - timed.since) / 1000;
    const q = question();
    timed = q && !document.hidden ? { id: q.id, since: now } : null;
  }

  // --- the file ----------------------------------------------------------------------------------------------------

  function answers() {
    return {
      format: study.answers,
      study: study.study,
      rater: state.rater,
      answers: state.order.map((q) => ({
        question: q.id,
        order: shuffled(q.clips, `${study.study}/${state.rater}/${q.id}`).map((c) => c.id),
        seconds: Math.round(state.answers[q.id].seconds * 10) / 10,
        ranks: state.answers[q.id].ranks,
      })),
    };
  }

  function download() {
    const url = URL.createObjectURL(new Blob([JSON.stringify(answers(), null, 1)], { type: "application/json" }));
    const name = `answers-${state.rater}.json`;
    const link = make("a", { href: url, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    $("end-said").textContent = `${name} was handed to your browser's downloads.`;
  }

  // --- start -------------------------------------------------------------------------------------------------------

  function start(event) {
    event.preventDefault();
    const code = $("code").value.trim().toLowerCase();
    if (!CODE.test(code)) {
      $("code-error").textContent = "A rater code has 2 to 32 letters, digits, - and _.";
      $("code").setAttribute("aria-invalid", "true");
      $("code").focus();
      return;
    }
    state.rater = code;
    state.order = shuffled(study.questions, `${study.study}/${code}`);
    load();
    if (state.at < study.questions.length) ask();
    else go(state.at);
  }

  function keys(event) {
    if ($("asking").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, select, button");
    if (event.key === " " && !typing) {
      event.preventDefault();
      play(!player.playing);
    }
    if (event.key === "," || event.key === ".") seek(player.frame + (event.key === "." ? 1 : -1));
  }

  function begin() {
    if (study.format !== "vmt-study/1") {
      $("broken-why").textContent = "Its data is of another version than its page.";
      return show("broken");
    }
    const k = study.questions.map((q) => q.clips.length);
    $("intro-size").textContent = `${counted(study.questions.length, "question")}, ${Math.max(...k)} candidates each`;
    document.body.classList.toggle("pairs", Boolean(study.ties));
    criteriaInto($("intro-criteria"));
    criteriaInto($("criteria"));
    $("start").addEventListener("submit", start);
    $("play").addEventListener("click", () => play(!player.playing));
    $("scrub").addEventListener("input", () => seek(Number($("scrub").value)));
    $("speed").addEventListener("change", () => {
      player.speed = Number($("speed").value);
      play(player.playing);
    });
    $("next").addEventListener("click", forward);
    $("back").addEventListener("click", () => go(state.at - 1));
    $("review").addEventListener("click", () => go(study.questions.length - 1));
    $("download").addEventListener("click", download);
    document.addEventListener("keydown", keys);
    document.addEventListener("visibilitychange", () => {
      if ($("asking").hidden) return;
      clock();
      save();
    });
    show("intro");
    return $("code").focus();
  }

  begin();
})();
