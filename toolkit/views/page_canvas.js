// Draws the scene without WebGL, point by point on a plain canvas: coarser, but everywhere. It also finds the point under a finger.

const sampleOfTrack = (scene, track, frame) => 4 * (frame * scene.tracks.count + track);

// The position of a track on the stage at a moment, with its speed's share of 254 plus 2; null where it is unknown.
function trackAt(scene, track, moment) {
  const { samples } = scene.tracks, t = Math.max(0, Math.floor(moment)), a = sampleOfTrack(scene, track, t);
  if (!samples[a + 3]) return null;
  let b = sampleOfTrack(scene, track, Math.min(t + 1, scene.frames - 1));
  if (!samples[b + 3]) b = a;
  const f = moment - t, mixed = [0, 1, 2].map((i) => samples[a + i] * (1 - f) + samples[b + i] * f);
  return [...moved(stageFromSteps, mixed), samples[a + 3] * (1 - f) + samples[b + 3] * f];
}

function rampColour(ramp, share) {
  const at = Math.min(1, Math.max(0, share)) * (ramp.length - 1), i = Math.min(ramp.length - 2, Math.floor(at));
  return [0, 1, 2].map((c) => ramp[i][c] + (at - i) * (ramp[i + 1][c] - ramp[i][c]));
}

// The colour of a track whose sample ends with `w`.
function trackColour(scene, look, track, w, moves) {
  if (look.colour === "level") return rampColour(meta.levels, scene.tracks.level[track] / 255);
  if (look.colour === "speed") return moves ? rampColour(meta.warm, (w - 2) / 254) : meta.still;
  return scene.tracks.rgb.subarray(3 * track, 3 * track + 3);
}

// Calls visit(x, y, z, red, green, blue, side) for all that is shown: positions and sides on the stage.
function visitPoints(scene, look, seen, colours, visit) {
  const { cloud, surface, tracks } = scene, { layers } = look, m = stageFromSteps;
  if (cloud && layers.cloud) {
    const side = 1.5 * meta.spacing / meta.view.reach, g = look.cloudGain, { xyz, rgb } = cloud;
    for (let i = 0; i < 3 * cloud.count; i += 3) {
      const x = xyz[i], y = xyz[i + 1], z = xyz[i + 2];
      visit(m[0] * x + m[4] * y + m[8] * z + m[12], m[1] * x + m[5] * y + m[9] * z + m[13], m[2] * x + m[6] * y + m[10] * z + m[14], rgb[i] * g, rgb[i + 1] * g, rgb[i + 2] * g, side);
    }
  }
  const pose = poses[seen];
  if (surface && layers.surface && pose && colours) {
    const { width, height, steps } = surface, { near, far, levels } = meta.surface, [fx, fy, cx, cy] = meta.cameras[seen].lens;
    const rate = Math.log(far / near) / (levels - 1), start = seen * width * height;
    for (let row = 0, i = 0; row < height; row++) for (let column = 0; column < width; column++, i++) {
      const step = steps[start + i];
      if (!step) continue;
      const z = near * Math.exp((step - 1) * rate), x = ((column + 0.5) / width - cx) / fx * z, y = ((row + 0.5) / height - cy) / fy * z;
      visit(pose[0] * x + pose[4] * y + pose[8] * z + pose[12], pose[1] * x + pose[5] * y + pose[9] * z + pose[13], pose[2] * x + pose[6] * y + pose[10] * z + pose[14],
        colours[4 * i], colours[4 * i + 1], colours[4 * i + 2], 1.3 * z / width / fx / meta.view.reach);
    }
  }
  if (!tracks) return;
  for (let track = 0; track < tracks.count; track++) {
    const moves = tracks.level[track] > 255 * look.threshold, p = (moves ? layers.moving : layers.still) && trackAt(scene, track, look.moment);
    if (!p) continue;
    const [r, g, b] = trackColour(scene, look, track, p[3], moves);
    visit(p[0], p[1], p[2], r, g, b, moves ? -3 : look.colour === "level" ? -2 : -1);
  }
}

// The shown point next to a place in the window, nearer ones first; null where none is within reach of a finger.
function pointUnder(scene, look, eye, place, reach = 16) {
  const m = eye.matrix(), [w, h] = eye.size;
  let best = null, least = Infinity;
  visitPoints(scene, look, look.frame, new Uint8Array(4 * (scene.surface ? scene.surface.width * scene.surface.height : 0)), (x, y, z) => {
    const depth = m[3] * x + m[7] * y + m[11] * z + m[15];
    if (depth < 0.02) return;
    const dx = ((m[0] * x + m[4] * y + m[8] * z + m[12]) / depth + 1) * w / 2 - place[0], dy = (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / depth) * h / 2 - place[1];
    const away = Math.hypot(dx, dy), cost = away + 6 * depth;
    if (away < reach && cost < least) { least = cost; best = [x, y, z]; }
  });
  return best;
}

class CanvasPainter {
  static on(canvas, scene) {
    const context = canvas.getContext("2d");
    return context ? new CanvasPainter(context, scene) : null;
  }
  constructor(context, scene) {
    this.context = context;
    this.scene = scene;
    this.name = "canvas";
    this.small = document.createElement("canvas");
    this.thumb = document.createElement("canvas");
    this.shownPicture = -1;
  }
  // The colours of the surface's pixels in the picture of a frame.
  read(picture) {
    const { surface } = this.scene;
    if (!surface) return null;
    this.thumb.width = surface.width;
    this.thumb.height = surface.height;
    const context = this.thumb.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0, surface.width, surface.height);
    return context.getImageData(0, 0, surface.width, surface.height).data;
  }
  paint(eye, look, size, ratio, changed) {
    const { scene, context } = this, { pictures } = scene;
    if (pictures && this.shownPicture !== look.frame) {
      const picture = pictures.get(look.frame, changed);
      if (picture) { this.picture = picture; this.colours = this.read(picture); this.shownPicture = look.frame; }
    }
    const seen = pictures && this.shownPicture >= 0 ? this.shownPicture : look.frame;
    this.m = eye.matrix();
    this.size = size;
    context.clearRect(0, 0, ...size);
    this.splat(eye, look, seen);
    if (look.layers.camera) this.lines(cameraSegments(look, seen, !eye.through), 1.6 * ratio);
    if (look.layers.picture && this.picture && poses[seen] && !eye.through) this.drawPicture(seen, look);
    if (look.layers.trails && scene.tracks) this.trails(look, ratio);
  }
  splat(eye, look, seen) {
    const [w, h] = this.size, shrink = Math.min(1, Math.sqrt(450_000 / (w * h))), width = Math.max(1, Math.round(w * shrink)), height = Math.max(1, Math.round(h * shrink));
    if (this.small.width !== width || this.small.height !== height) { this.small.width = width; this.small.height = height; }
    const context = this.small.getContext("2d"), image = context.createImageData(width, height), pixels = new Uint32Array(image.data.buffer);
    const nearest = new Float32Array(width * height).fill(Infinity), m = this.m, focal = eye.projection()[5] * height / 2;
    visitPoints(this.scene, look, seen, this.colours, (x, y, z, r, g, b, side) => {
      const depth = m[3] * x + m[7] * y + m[11] * z + m[15];
      if (depth < 0.02) return;
      const u = ((m[0] * x + m[4] * y + m[8] * z + m[12]) / depth + 1) * width / 2, v = (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / depth) * height / 2;
      const px = side < 0 ? -side : Math.min(9, Math.max(1, Math.round(side * focal / depth))), front = side < 0 ? depth * 0.97 : depth;
      const left = Math.max(0, Math.round(u - px / 2)), top = Math.max(0, Math.round(v - px / 2)), right = Math.min(width, left + px), bottom = Math.min(height, top + px);
      const colour = 0xff000000 | (b << 16) | (g << 8) | r;
      for (let row = top; row < bottom; row++) for (let i = row * width + left; i < row * width + right; i++) if (front < nearest[i]) { nearest[i] = front; pixels[i] = colour; }
    });
    context.putImageData(image, 0, 0);
    this.context.imageSmoothingEnabled = shrink < 1;
    this.context.drawImage(this.small, 0, 0, w, h);
  }
  // Where a point of the stage lies in the window; null behind the eye.
  place([x, y, z]) {
    const m = this.m, depth = m[3] * x + m[7] * y + m[11] * z + m[15];
    if (depth < 0.012) return null;
    return [((m[0] * x + m[4] * y + m[8] * z + m[12]) / depth + 1) * this.size[0] / 2, (1 - (m[1] * x + m[5] * y + m[9] * z + m[13]) / depth) * this.size[1] / 2];
  }
  lines(segments, width) {
    const { context } = this;
    context.lineWidth = width;
    for (const s of segments) {
      const a = this.place(s.slice(0, 3)), b = this.place(s.slice(3, 6));
      if (!a || !b) continue;
      context.strokeStyle = `rgba(${s.slice(6, 9).map((v) => v * 255)},${s[9]})`;
      context.beginPath(); context.moveTo(...a); context.lineTo(...b); context.stroke();
    }
  }
  drawPicture(seen, look) {
    const [fx, fy, cx, cy] = meta.cameras[seen].lens, d = look.frustum * meta.view.reach, { context } = this;
    const [a, b, c] = [[0, 0], [1, 0], [0, 1]].map(([u, v]) => this.place(moved(poses[seen], [(u - cx) / fx * d, (v - cy) / fy * d, d])));
    if (!a || !b || !c) return;
    const { width: w, height: h } = this.picture;
    context.save();
    context.setTransform((b[0] - a[0]) / w, (b[1] - a[1]) / w, (c[0] - a[0]) / h, (c[1] - a[1]) / h, a[0], a[1]);
    context.drawImage(this.picture, 0, 0);
    context.restore();
  }
  trails(look, ratio) {
    const { scene, context } = this, steps = meta.trail_frames, bands = 3;
    context.lineWidth = 1.3 * ratio;
    for (const track of look.moving.trails) {
      const head = trackAt(scene, track, look.moment);
      if (!head) continue;
      const rgb = trackColour(scene, look, track, head[3], true);
      let from = this.place(head);
      for (let band = 0, moment = Math.floor(look.moment); band < bands; band++) {
        context.strokeStyle = `rgba(${rgb[0] | 0},${rgb[1] | 0},${rgb[2] | 0},${[0.8, 0.45, 0.2][band]})`;
        context.beginPath();
        if (from) context.moveTo(...from);
        for (let k = 0; k < steps / bands && moment >= 0; k++, moment--) {
          const p = trackAt(scene, track, moment), to = p && this.place(p);
          if (to) context[from ? "lineTo" : "moveTo"](...to);
          from = to;
        }
        context.stroke();
      }
    }
  }
}
