// The eye that looks at the scene. On the stage, y is up, the recording looks along -z, and lengths are in typical scene distances.

const rad = Math.PI / 180;
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = (a) => { const l = Math.hypot(a[0], a[1], a[2]) || 1; return [a[0] / l, a[1] / l, a[2] / l]; };
const plus = (a, b, s = 1) => [a[0] + s * b[0], a[1] + s * b[1], a[2] + s * b[2]];

// Matrices are column-major, as WebGL wants them.
function times(a, b) {
  const out = new Float32Array(16);
  for (let c = 0; c < 4; c++) for (let r = 0; r < 4; r++)
    out[4 * c + r] = a[r] * b[4 * c] + a[4 + r] * b[4 * c + 1] + a[8 + r] * b[4 * c + 2] + a[12 + r] * b[4 * c + 3];
  return out;
}
const moved = (m, p) => [0, 1, 2].map((r) => m[r] * p[0] + m[4 + r] * p[1] + m[8 + r] * p[2] + m[12 + r]);

const stageFromWorld = (() => {
  const { up, ahead, centre, reach } = meta.view, right = cross(ahead, up);
  const rows = [right, up, ahead.map((v) => -v)].map((row) => row.map((v) => v / reach));
  return new Float32Array([0, 1, 2, 3].flatMap((c) => (c < 3 ? [...rows.map((row) => row[c]), 0] : [...rows.map((row) => -dot(row, centre)), 1])));
})();
const stageFromSteps = (() => {
  const s = meta.box.side / 65534, [x, y, z] = meta.box.low;
  return times(stageFromWorld, new Float32Array([s, 0, 0, 0, 0, s, 0, 0, 0, 0, s, 0, x, y, z, 1]));
})();

// Of each shown frame: stage-from-camera (x right, y down, z ahead), or null without a pose.
const onStage = (camera) => {
  if (!camera) return null;
  const T = camera.T_wc;
  return times(stageFromWorld, new Float32Array([T[0], T[4], T[8], 0, T[1], T[5], T[9], 0, T[2], T[6], T[10], 0, T[3], T[7], T[11], 1]));
};
const poses = meta.cameras.map(onStage);
// The same of further cameras that filmed with this one.
const otherPoses = meta.others.map((cameras) => cameras.map(onStage));

class Eye {
  constructor(sample, whole) {
    this.sample = sample;
    this.whole = whole;
    this.size = [1, 1];
    this.covered = { left: 0, bottom: 0 };
    this.fov = 45 * rad;
    this.through = null;
    this.touched = false;
    this.home();
  }
  home() {
    this.target = [0, 0, 0];
    this.pitch = Math.min(70, Math.max(8, meta.view.tilt_deg + 13)) * rad;
    this.distance = this.homeDistance = 1.5;
    this.touched = false;
    // From behind the camera at first; further from the side where its picture would lie before what it shows.
    let best = [Infinity, 0];
    for (const yaw of [-16, -28, -40, -54]) {
      this.yaw = yaw * rad;
      this.fit();
      const hidden = this.hidden();
      if (hidden < best[0] - 0.02) best = [hidden, this.yaw];
      if (hidden < 0.1) break;
    }
    this.yaw = best[1];
    this.fit();
    this.homeFrustum = this.frustum();
  }
  // The share of the points that the first frame's picture hides.
  hidden() {
    const first = poses.findIndex(Boolean), m = this.matrix(), depth = this.frustum() * meta.view.reach;
    const place = ([x, y, z]) => { const w = m[3] * x + m[7] * y + m[11] * z + m[15]; return [(m[0] * x + m[4] * y + m[8] * z + m[12]) / w, (m[1] * x + m[5] * y + m[9] * z + m[13]) / w]; };
    if (first < 0 || !this.sample.length) return 0;
    const [fx, fy, cx, cy] = meta.cameras[first].lens;
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([u, v]) => place(moved(poses[first], [(u - cx) / fx * depth, (v - cy) / fy * depth, depth])));
    const [left, right, low, high] = [0, 1].flatMap((axis) => [Math.min(...corners.map((c) => c[axis])), Math.max(...corners.map((c) => c[axis]))]);
    return this.sample.map(place).filter(([x, y]) => x > left && x < right && y > low && y < high).length / this.sample.length;
  }
  resize(width, height) {
    this.size = [width, height];
    if (!this.touched) this.home();
  }
  // Steps back and aside until the bulk of the points and the whole path fill the part of the window that no panel covers.
  fit() {
    if (!this.sample.length && !this.whole.length) return;
    const [w, h] = this.size, P = this.projection(), z = this.back, x = unit(cross([0, 1, 0], z)), y = cross(z, x);
    const free = { x: [0.94 - 2 * this.covered.left / w, 0.94], y: [0.94 - 2 * this.covered.bottom / h, 0.88] };
    // A plane through the eye bounds the view on each side: how far must it move out for the points to lie within?
    const reach = (axis, side, slope) => {
      const beyond = (p) => side * dot(p, axis) + slope * dot(p, z), bulk = this.sample.map(beyond).sort((p, q) => p - q);
      return Math.max(...this.whole.map(beyond), bulk.length ? bulk[Math.floor(0.96 * (bulk.length - 1))] : -Infinity);
    };
    const sides = [[x, P[0], free.x], [y, P[5], free.y]].map(([axis, p, [low, high]]) => {
      const a = reach(axis, 1, high / p), b = reach(axis, -1, low / p);
      return { back: (a + b) / ((low + high) / p), at: (back) => (a - b - ((high - low) / p) * back) / 2 };
    });
    const depths = this.sample.concat(this.whole).map((p) => dot(p, z)).sort((p, q) => p - q), middle = depths[depths.length >> 1];
    // Whoever walks towards the scene begins in front of it: far enough from the eye to leave the view on it free.
    const first = Math.max(...this.whole.map((p) => dot(p, z))), clear = (first - 0.15 * middle) / 0.85;
    const back = Math.max(sides[0].back, sides[1].back, depths[Math.floor(0.96 * (depths.length - 1))] + 0.1, clear);
    this.distance = this.homeDistance = back - middle;
    this.target = plus(plus(plus([0, 0, 0], x, sides[0].at(back)), y, sides[1].at(back)), z, middle);
  }
  // The depth of a frustum that shows its picture and hides little, wherever on the path it is.
  frustum() {
    if (!this.whole.length) return 0.07 * this.homeDistance;
    const eye = plus(this.target, this.back, this.distance), near = Math.min(...this.whole.map((p) => Math.hypot(...plus(eye, p, -1))));
    const widest = Math.max(...meta.cameras.filter(Boolean).map(({ lens: [fx, fy] }) => Math.max(this.projection()[0] / fx, this.projection()[5] / fy)));
    return Math.min(0.07 * this.homeDistance, 0.36 * near / widest);
  }
  get back() {
    return [Math.cos(this.pitch) * Math.sin(this.yaw), Math.sin(this.pitch), Math.cos(this.pitch) * Math.cos(this.yaw)];
  }
  get focal() { return 1 / Math.tan(this.fov / 2); }
  view() {
    if (this.through) return this.through;
    const z = this.back, x = unit(cross([0, 1, 0], z)), y = cross(z, x), eye = plus(this.target, z, this.distance);
    return new Float32Array([x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, -dot(x, eye), -dot(y, eye), -dot(z, eye), 1]);
  }
  projection() {
    const [w, h] = this.size, f = this.lens ? this.lens : this.focal, near = 0.01, far = 300;
    // In a tall window the angle across its width must not grow too small.
    const scale = this.lens ? f : f * Math.min(1, w / h / 0.62);
    return new Float32Array([scale * h / w, 0, 0, 0, 0, scale, 0, 0, 0, 0, (far + near) / (near - far), -1, 0, 0, 2 * far * near / (near - far), 0]);
  }
  matrix() { return times(this.projection(), this.view()); }
  // Looks through the camera of a frame, or freely again for null.
  lookThrough(frame) {
    const pose = frame === null ? null : poses[frame];
    if (!pose) { this.through = this.lens = null; return false; }
    const k = meta.view.reach, column = (c, s) => [0, 1, 2].map((r) => s * k * pose[4 * c + r]);
    const x = column(0, 1), y = column(1, -1), z = column(2, -1), eye = [pose[12], pose[13], pose[14]];
    this.through = new Float32Array([x[0], y[0], z[0], 0, x[1], y[1], z[1], 0, x[2], y[2], z[2], 0, -dot(x, eye), -dot(y, eye), -dot(z, eye), 1]);
    const [fx, fy] = meta.cameras[frame].lens, [w, h] = this.size;
    // The whole picture fits, whichever side is tight.
    this.lens = 1.96 * Math.min(fy, fx * w / h);
    return true;
  }
  turn(dx, dy) {
    this.free();
    this.yaw -= dx * 0.006;
    this.pitch = Math.min(89 * rad, Math.max(-89 * rad, this.pitch + dy * 0.006));
  }
  move(dx, dy) {
    this.free();
    const v = this.view(), s = 2 * this.distance / this.size[1] / this.projection()[5];
    this.target = plus(plus(this.target, [v[0], v[4], v[8]], -dx * s), [v[1], v[5], v[9]], dy * s);
  }
  zoom(factor) {
    this.free();
    this.distance = Math.min(40, Math.max(0.03, this.distance * factor));
  }
  // Turns about a point from now on, from a little closer.
  turnAbout(point) {
    const z = this.back, eye = plus(this.target, z, this.distance);
    this.free();
    this.distance = Math.max(0.05, 0.75 * Math.hypot(...plus(eye, point, -1)));
    this.target = point;
  }
  free() { this.touched = true; this.through = this.lens = null; }
}
