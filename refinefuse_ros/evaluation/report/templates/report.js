"use strict";
(() => {
  const STEP_MS = 250;
  const BLINK_MS = 600; // well below three flashes a second
  const PRINTED_WIDTH_PX = 700; // A4 between its margins

  const byId = (id) => document.getElementById(id);
  const data = (id) => JSON.parse(byId(id).textContent);
  const uris = data("uris");
  const layerNames = data("layer-names");

  // A method may lack a pair: its place stays empty then.
  function showPicture(image, number, alt) {
    image.alt = number === null ? `${alt}: not scored` : alt;
    if (number === null) image.removeAttribute("src");
    else image.src = uris[number];
  }

  for (const image of document.querySelectorAll("img[data-picture]")) image.src = uris[image.dataset.picture];

  function nameOf(moment) {
    return moment.seconds === null ? moment.name : `${moment.seconds.toFixed(2)} s`;
  }

  // The scrubber: one moment at a time, side by side, blinking or split.
  function startViewer(moments) {
    const stage = byId("stage");
    const frame = byId("frame");
    const scrubber = byId("scrubber");
    const play = byId("play");
    const method = byId("look-method");
    const layerA = byId("layer-a");
    const layerB = byId("layer-b");
    const state = { mode: "side", before: "side", playing: null, blinking: null };

    function draw() {
      const moment = moments[scrubber.value];
      const name = nameOf(moment);
      const fused = 2 + Number(method ? method.value : 0);
      const show = (image, layer) => showPicture(image, moment.layers[layer], `${layerNames[layer]}, ${name}`);
      show(byId("side-thermal"), 0);
      show(byId("side-rgb"), 1);
      show(byId("side-fused"), fused);
      show(byId("compare-a"), layerA.value);
      show(byId("compare-b"), layerB.value);
      byId("side-fused-name").textContent = `fused by ${layerNames[fused]}`;
      byId("badge-a").textContent = layerNames[layerA.value];
      byId("badge-b").textContent = layerNames[layerB.value];
      byId("moment-name").textContent = name;
      byId("moment-name").title = moment.name;
      scrubber.setAttribute("aria-valuetext", name);
    }

    function step(by) {
      scrubber.value = (Number(scrubber.value) + by + moments.length) % moments.length;
      draw();
    }

    function setMode(mode) {
      if (mode !== "blink") state.before = mode;
      state.mode = mode;
      stage.dataset.mode = mode;
      for (const button of document.querySelectorAll("#look [data-mode][aria-pressed]")) {
        button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
      }
      for (const choices of document.querySelectorAll("#look .choices")) {
        choices.hidden = !choices.dataset.for.split(" ").includes(mode);
      }
      clearInterval(state.blinking);
      frame.dataset.shown = "b";
      if (mode === "blink") {
        state.blinking = setInterval(() => {
          frame.dataset.shown = frame.dataset.shown === "a" ? "b" : "a";
        }, BLINK_MS);
      }
    }

    function togglePlay() {
      clearInterval(state.playing);
      state.playing = state.playing === null ? setInterval(() => step(1), STEP_MS) : null;
      play.textContent = state.playing === null ? "play" : "pause";
      play.setAttribute("aria-pressed", String(state.playing !== null));
    }

    function setSplit(percent) {
      const bounded = Math.min(100, Math.max(0, percent));
      byId("split").value = bounded;
      frame.style.setProperty("--split", `${bounded}%`);
    }

    function followPointer(event) {
      if (state.mode !== "split" || !(event.buttons & 1)) return;
      const box = frame.getBoundingClientRect();
      setSplit((100 * (event.clientX - box.left)) / box.width);
    }

    function inView() {
      const box = byId("look").getBoundingClientRect();
      return box.top < window.innerHeight && box.bottom > 0;
    }

    // Keys belong to the page unless the viewer is in sight and the focused control does not use them itself.
    function onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || byId("enlarged")?.open || !inView()) return;
      const tag = event.target.tagName;
      if (tag === "SELECT") return;
      if (event.key === "ArrowLeft" && tag !== "INPUT") step(-1);
      else if (event.key === "ArrowRight" && tag !== "INPUT") step(1);
      else if (event.key === " " && tag !== "BUTTON") togglePlay();
      else if (event.key === "b") setMode(state.mode === "blink" ? state.before : "blink");
      else return;
      event.preventDefault();
    }

    scrubber.addEventListener("input", draw);
    play.addEventListener("click", togglePlay);
    for (const select of [method, layerA, layerB]) select?.addEventListener("change", draw);
    for (const button of document.querySelectorAll("#look button[data-mode]")) {
      button.addEventListener("click", () => setMode(button.dataset.mode));
    }
    byId("split").addEventListener("input", (event) => setSplit(Number(event.target.value)));
    frame.addEventListener("pointerdown", followPointer);
    frame.addEventListener("pointermove", followPointer);
    for (const image of frame.querySelectorAll("img")) image.draggable = false;
    document.addEventListener("keydown", onKey);
    setMode("side");
    draw();
  }

  // The worst pairs: those of one method at a time, each to be enlarged.
  function startWorst() {
    const dialog = byId("enlarged");
    const method = byId("worst-method");

    function choose() {
      for (const group of document.querySelectorAll(".worst-of")) {
        group.hidden = method !== null && group.dataset.method !== method.value;
      }
    }

    function enlarge(button) {
      const figures = JSON.parse(button.dataset.layers).map((number, layer) => {
        const figure = document.createElement("figure");
        const caption = document.createElement("figcaption");
        figure.className = "layer";
        caption.textContent = layerNames[layer];
        const image = document.createElement("img");
        showPicture(image, number, layerNames[layer]);
        figure.append(image, caption);
        return figure;
      });
      byId("enlarged-title").textContent = button.dataset.title;
      byId("enlarged-layers").replaceChildren(...figures);
      dialog.showModal();
    }

    method?.addEventListener("change", choose);
    choose();
    for (const button of document.querySelectorAll(".worst-pair")) {
      button.addEventListener("click", () => enlarge(button));
    }
    byId("close-enlarged").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
  }

  // Charts are drawn one by one, so that the page answers in between.
  async function drawCharts(figures) {
    const drag = window.matchMedia("(pointer: fine)").matches ? "zoom" : false;
    for (const [id, figure] of Object.entries(figures)) {
      await Plotly.newPlot(id, figure.data, { ...figure.layout, dragmode: drag, autosize: true }, {
        responsive: true,
        displayModeBar: false,
      });
      await new Promise((resolve) => setTimeout(resolve));
    }
    document.documentElement.dataset.charts = "drawn";
  }

  function fitChartsTo(width) {
    document.body.style.width = width === null ? "" : `${width}px`;
    for (const plot of document.querySelectorAll(".plot.js-plotly-plot")) Plotly.relayout(plot, { autosize: true });
  }

  if (byId("look")) startViewer(data("moments"));
  if (byId("worst")) startWorst();
  drawCharts(data("figures"));
  window.addEventListener("beforeprint", () => fitChartsTo(PRINTED_WIDTH_PX));
  window.addEventListener("afterprint", () => fitChartsTo(null));
})();
