// The page: layers and legend, time, hands and keys.

const element = (id) => document.getElementById(id);
const metric = meta.unit === "metre";
const number = (n) => n.toLocaleString("en-US");
const rounded = (v) => String(Number(v.toPrecision(3)));

const LAYERS = [
  ["moving", "Moving points", meta.counts.moving, "#ff9a3c", ""],
  ["trails", "Trails", meta.counts.trails, "#ff7a2e", "line"],
  ["still", "Still points", meta.counts.tracks - meta.counts.moving, `rgb(${meta.still})`, ""],
  ["surface", "Surface now", meta.counts.surface && `~${number(meta.counts.surface)}`, "#8fa3b8", "face"],
  ["cloud", "Static cloud", meta.counts.cloud, "#6f7d8c", "face"],
  ["camera", "Camera path", meta.cameras.some(Boolean) && "", "#78dca0", "line"],
  ["picture", "Picture", meta.cameras.some(Boolean) && meta.pictures.length > 0 && "", "#78dca0", "face"],
];

const look = { moment: 0, frame: 0, colour: "speed", threshold: 0.5, moving: { count: 0, trails: [] }, layers: {}, frustum: 0.16, cloudGain: 0.6 };
const state = { playing: false, rate: 1, dirty: true };
const times_s = meta.times_s, length = times_s.length > 1 ? times_s[times_s.length - 1] + (times_s[times_s.length - 1] - times_s[times_s.length - 2]) : 0;

const WITHOUT_WEBGL = "This browser has no WebGL: the scene is drawn more coarsely.";

function note(words) {
  const line = document.createElement("li");
  line.textContent = words;
  element("notes").append(line);
}

function legend() {
  element("what").textContent = metric ? "4D scene in metres" : "4D scene, relative scale";
  for (const [key, name, amount, colour, kind] of LAYERS) {
    // Which points move is up to a threshold.
    const mayBe = { moving: meta.counts.doubtful, trails: meta.counts.doubtful && meta.most_trails, still: meta.counts.tracks };
    const there = key in mayBe ? mayBe[key] > 0 : amount !== false && amount !== 0;
    // Where the surface and the cloud show what stands still, points on it would hide them.
    look.layers[key] = there && !(key === "still" && (meta.counts.cloud || meta.counts.surface));
    if (!there) continue;
    const row = document.createElement("label");
    row.className = "layer";
    row.innerHTML = `<input type="checkbox" id="layer-${key}"${look.layers[key] ? " checked" : ""}><i class="${kind}" style="color:${colour}"></i><span>${name}</span><b id="count-${key}">${typeof amount === "number" ? number(amount) : amount}</b>`;
    row.firstChild.addEventListener("change", (e) => { look.layers[key] = e.target.checked; state.dirty = true; });
    element("layers").append(row);
  }
  if (meta.counts.doubtful) {
    element("pace").hidden = element("levels").hidden = false;
    element("level-means").textContent = `0 fits a point that stands still, 1 moves. ${meta.level_means}`.trim();
    colourBar();
  }
  element("unit").textContent = metric ? "Lengths are in metres." : "Lengths are relative: the scale is not known.";
  meta.notes.forEach(note);
  element("panel").open = innerWidth > 900;
}

// What the colours of points mean.
function colourBar() {
  const bySpeed = look.colour === "speed", stops = bySpeed ? meta.warm : meta.levels;
  element("ramp").hidden = element("ticks").hidden = look.colour === "own";
  const ramp = element("ramp").getContext("2d"), bar = ramp.createLinearGradient(0, 0, 256, 0);
  stops.forEach((rgb, i) => bar.addColorStop(i / (stops.length - 1), `rgb(${rgb})`));
  ramp.fillStyle = bar;
  ramp.fillRect(0, 0, 256, 1);
  const words = bySpeed ? [0, 0.5, 1].map((s) => rounded(meta.fastest * s)) : ["0 still", "0.5", "1 moves"];
  if (bySpeed) words[2] += metric ? " m/s" : " units/s";
  element("ticks").replaceChildren(...words.map((word) => { const tick = document.createElement("span"); tick.textContent = word; return tick; }));
}

// A person says which points count as moving: all above a motion level.
function setThreshold(scene, threshold) {
  look.threshold = threshold;
  if (!scene.tracks) return;
  look.moving = movingAbove(scene.tracks, threshold);
  element("level").textContent = threshold.toFixed(2);
  const told = { moving: look.moving.count, trails: look.moving.trails.length, still: scene.tracks.count - look.moving.count };
  for (const [key, count] of Object.entries(told)) if (element(`count-${key}`)) element(`count-${key}`).textContent = number(count);
  state.dirty = true;
}

function setColour(name) {
  const levels = name === "level" || look.colour === "level";
  look.colour = name;
  colourBar();
  state.dirty = true;
  if (!levels) return;
  // Levels are of all points: what stands still belongs to the picture, and a cloud would hide it.
  const wanted = name === "level" ? { still: true, cloud: false } : { still: !(meta.counts.cloud || meta.counts.surface), cloud: true };
  for (const [key, on] of Object.entries(wanted)) {
    const box = element(`layer-${key}`);
    if (box && box.checked !== on) box.click();
  }
  state.dirty = true;
}

function setTime(seconds) {
  const last = times_s.length - 1;
  let t = 0;
  while (t < last && times_s[t + 1] <= seconds) t++;
  look.moment = t < last ? t + (seconds - times_s[t]) / (times_s[t + 1] - times_s[t]) : last;
  look.moment = Math.max(0, Math.min(last, look.moment));
  look.frame = t;
  state.seconds = seconds;
  element("time").value = seconds;
  element("clock").innerHTML = `<b>${seconds.toFixed(2)}</b> / ${length.toFixed(2)} s<span> · frame ${meta.frame[t] ?? 0}</span>`;
  document.documentElement.dataset.frame = meta.frame[t] ?? 0;
  state.dirty = true;
}

function play(on) {
  state.playing = on && times_s.length > 1;
  document.documentElement.dataset.playing = state.playing ? "yes" : "no";
  element("play").setAttribute("aria-label", state.playing ? "Pause" : "Play");
  state.dirty = true;
}

// Points that the first view should hold: a few of everything.
function sampleOf(scene) {
  const sample = [], add = (x, y, z) => sample.push(moved(stageFromSteps, [x, y, z]));
  const { tracks, cloud } = scene;
  if (cloud) for (let i = 0, step = Math.max(1, Math.floor(cloud.count / 400)); i < cloud.count; i += step) add(...cloud.xyz.subarray(3 * i, 3 * i + 3));
  if (tracks) {
    const total = tracks.count * scene.frames, step = Math.max(1, Math.floor(total / (cloud ? 200 : 500)) | 1);
    for (let i = 0; i < total; i += step) if (tracks.samples[4 * i + 3]) add(...tracks.samples.subarray(4 * i, 4 * i + 3));
  }
  return sample;
}

function hands(canvas, eye, pick) {
  const down = new Map();
  let spread = 0, middle = null;
  const measure = () => {
    const [a, b] = [...down.values()];
    return { spread: Math.hypot(a.x - b.x, a.y - b.y), middle: [(a.x + b.x) / 2, (a.y + b.y) / 2] };
  };
  canvas.addEventListener("pointerdown", (e) => {
    canvas.setPointerCapture(e.pointerId);
    state.held = true;
    down.set(e.pointerId, { x: e.clientX, y: e.clientY, pan: e.button === 2 || e.button === 1 || e.shiftKey || e.ctrlKey });
    if (down.size === 2) ({ spread, middle } = measure());
  });
  canvas.addEventListener("pointermove", (e) => {
    const finger = down.get(e.pointerId);
    if (!finger) return;
    const dx = e.clientX - finger.x, dy = e.clientY - finger.y;
    finger.x = e.clientX; finger.y = e.clientY;
    freed();
    if (down.size === 2) {
      const now = measure();
      eye.move(now.middle[0] - middle[0], now.middle[1] - middle[1]);
      eye.zoom(spread / Math.max(now.spread, 1));
      ({ spread, middle } = now);
    } else if (finger.pan) eye.move(dx, dy);
    else eye.turn(dx, dy);
    state.dirty = true;
  });
  const up = (e) => { down.delete(e.pointerId); state.held = down.size > 0; };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("dblclick", (e) => { const point = pick([e.clientX, e.clientY]); if (point) { freed(); eye.turnAbout(point); state.dirty = true; } });
  canvas.addEventListener("contextmenu", (e) => e.preventDefault());
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); freed(); eye.zoom(Math.exp(e.deltaY * (e.deltaMode ? 0.04 : 0.0012))); state.dirty = true; }, { passive: false });
}

let freed = () => {};

// Dark scenes need their light: the cloud is dimmed only as far as the current surface still stands out.
function cloudGain(cloud) {
  if (!cloud || !meta.surface) return 1;
  let sum = 0;
  for (const value of cloud.rgb) sum += value;
  return Math.min(0.85, Math.max(0.6, 70 / Math.max(1, sum / cloud.rgb.length)));
}

// Pixels at the window's edges that lie under panels.
const covered = () => ({ left: element("panel").open ? 256 : 0, bottom: 70 });

// Draws with WebGL where it works, else on a plain canvas.
function painterOf(scene) {
  let painter = null;
  try {
    painter = WebglPainter.on(element("stage"), scene);
  } catch (problem) {
    console.warn(problem);
  }
  if (painter) return painter;
  // A canvas that once tried WebGL gives no other context.
  element("stage").replaceWith(element("stage").cloneNode());
  painter = CanvasPainter.on(element("stage"), scene);
  if (!painter) throw new Error("this browser draws neither with WebGL nor on a canvas.");
  return painter;
}

async function main() {
  legend();
  await new Promise((done) => setTimeout(done, 0));
  const scene = await unpackScene();
  let painter = painterOf(scene);
  const canvas = element("stage");
  canvas.addEventListener("webglcontextlost", (e) => { e.preventDefault(); painter = null; });
  canvas.addEventListener("webglcontextrestored", () => { painter = WebglPainter.on(canvas, scene); state.dirty = true; });
  if (painter.name === "canvas") {
    note(WITHOUT_WEBGL);
    element("message").className = "low";
    setTimeout(() => { element("message").textContent = ""; }, 8000);
  }
  const eye = new Eye(sampleOf(scene), pathOnStage.filter(Boolean));
  element("message").textContent = painter.name === "canvas" ? WITHOUT_WEBGL : "";
  look.cloudGain = cloudGain(scene.cloud);

  element("time").max = length;
  element("time").addEventListener("input", (e) => { play(false); setTime(Number(e.target.value)); });
  element("play").addEventListener("click", () => play(!state.playing));
  element("rate").addEventListener("change", (e) => { state.rate = Number(e.target.value); });
  element("colour-by").addEventListener("change", (e) => setColour(e.target.value));
  element("threshold").addEventListener("input", (e) => setThreshold(scene, Number(e.target.value)));
  element("reset").addEventListener("click", () => { freed(); eye.lookThrough(null); eye.home(); state.dirty = true; });
  const through = element("through");
  through.disabled = !poses.some(Boolean);
  freed = () => { if (through.getAttribute("aria-pressed") === "true") through.setAttribute("aria-pressed", "false"); };
  through.addEventListener("click", () => { const on = through.getAttribute("aria-pressed") !== "true"; through.setAttribute("aria-pressed", String(on)); if (!on) eye.lookThrough(null); state.dirty = true; });
  addEventListener("keydown", (e) => {
    if (["INPUT", "SELECT", "BUTTON", "SUMMARY"].includes(e.target.tagName)) return;
    if (e.key === " ") { e.preventDefault(); play(!state.playing); }
    if (e.key === "ArrowRight" || e.key === "ArrowLeft") { play(false); const t = look.frame + (e.key === "ArrowRight" ? 1 : -1); if (times_s[t] !== undefined) setTime(times_s[t]); }
  });
  hands(canvas, eye, (place) => pointUnder(scene, look, eye, place));
  addEventListener("resize", () => { state.dirty = true; });
  if (times_s.length < 2) { element("play").disabled = element("time").disabled = element("rate").disabled = true; }

  // A still picture gets all pixels; one in motion so many as can be drawn in time.
  const finest = Math.min(devicePixelRatio || 1, 2);
  let lively = finest, before = 0, slow = 0, window_ = [0, 0], rest = 0;
  const changed = () => { state.dirty = true; };
  const draw = (now) => {
    requestAnimationFrame(draw);
    const passed = Math.min(0.25, (now - before) / 1000), moving = state.playing || state.held;
    before = now;
    if (state.playing) setTime((state.seconds + passed * state.rate) % length);
    rest = moving || state.dirty ? 0 : rest + passed;
    const settled = rest > 0.15 && rest - passed <= 0.15 && lively < finest;
    if ((!state.dirty && !settled) || !painter) return;
    state.dirty = false;
    const ratio = settled || !(moving || rest < 0.15) ? finest : lively;
    const width = Math.max(1, Math.round(innerWidth * ratio)), height = Math.max(1, Math.round(innerHeight * ratio));
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    if (window_[0] !== innerWidth || window_[1] !== innerHeight) {
      window_ = [innerWidth, innerHeight];
      eye.covered = covered();
      eye.resize(...window_);
      look.frustum = eye.homeFrustum;
    }
    if (through.getAttribute("aria-pressed") === "true") eye.lookThrough(look.frame);
    painter.paint(eye, look, [width, height], ratio, changed);
    scaleBar(eye);
    document.documentElement.dataset.ready = painter.name;
    slow = moving && passed > 0.06 ? slow + 1 : 0;
    if (slow > 4 && lively > 0.5) { lively *= 0.8; slow = 0; }
  };
  setTime(0);
  setThreshold(scene, 0.5);
  // It plays at once where drawing costs little; elsewhere it waits to be asked, by the button or by #play in the address.
  play(location.hash === "#play" || (painter.quick && !matchMedia("(prefers-reduced-motion: reduce)").matches));
  requestAnimationFrame(draw);
}

// A round length at the distance of the point that the eye turns about.
function scaleBar(eye) {
  const bar = element("scale");
  bar.hidden = Boolean(eye.through);
  const pixels = innerHeight / 2 * eye.projection()[5] / eye.distance / meta.view.reach;
  const most = Math.min(160, innerWidth * 0.3) / pixels, power = 10 ** Math.floor(Math.log10(most));
  const size = [5, 2, 1].map((m) => m * power).find((v) => v <= most);
  bar.querySelector("i").style.width = `${size * pixels}px`;
  bar.querySelector("span").textContent = metric ? (size < 1 ? `${rounded(size * 100)} cm` : `${rounded(size)} m`) : rounded(size);
}

main().catch((problem) => {
  element("message").textContent = `This scene can't be shown here: ${problem.message}`;
  console.error(problem);
});
