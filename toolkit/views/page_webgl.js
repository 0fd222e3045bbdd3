// Draws the scene with WebGL 2. Positions of all frames lie in one texture; between two frames the shaders glide.

const HEAD = `#version 300 es
precision highp float; precision highp int; precision highp usampler2D;`;

const TRACK_SAMPLES = `
uniform usampler2D samples; uniform int count; uniform int frames;
uvec4 sampleAt(int track, int frame) { int i = frame * count + track; return texelFetch(samples, ivec2(i & 2047, i >> 11), 0); }
// The position in steps at a moment; w is 0 where it is unknown, else 1 plus the speed's share of 254.
vec4 positionAt(int track, float moment) {
  int t = clamp(int(floor(moment)), 0, frames - 1);
  uvec4 a = sampleAt(track, t);
  if (a.w == 0u) return vec4(0.);
  uvec4 b = sampleAt(track, min(t + 1, frames - 1));
  return b.w == 0u ? vec4(a) : mix(vec4(a), vec4(b), moment - float(t));
}
// 0: own colour, 1: by speed, warm where it moves; 2: by motion level. The ramps are the rows of one texture.
uniform sampler2D ramps; uniform int colourBy; uniform vec3 still;
vec3 tintOf(vec3 own, float level, bool moves, float w) {
  if (colourBy == 1 && !moves) return still;
  float share = colourBy == 1 ? max(w - 2., 0.) / 254. : level;
  return colourBy == 0 ? own : texture(ramps, vec2((share * 15. + .5) / 16., colourBy == 1 ? .25 : .75)).rgb;
}`;

// What lies on a surface is drawn a hair in front of it, and the static cloud a hair behind the current surface.
const PLACE = `
uniform mat4 view; uniform mat4 projection;
vec4 placed(vec4 seen, float lead) {
  vec4 p = projection * seen, q = projection * vec4(seen.xyz * lead, 1.);
  return vec4(p.xy, q.z / q.w * p.w, p.w);
}`;

const SHADERS = {
  cloud: [`${PLACE}
    uniform mat4 model; uniform float size; uniform vec2 limits; in vec3 xyz; in vec3 rgb; out vec3 tint;
    void main() {
      vec4 seen = view * (model * vec4(xyz, 1.));
      gl_Position = placed(seen, 1.03);
      gl_PointSize = clamp(size / gl_Position.w, limits.x, limits.y);
      tint = rgb;
    }`, `
    uniform float gain; in vec3 tint; out vec4 colour;
    void main() { float grey = dot(tint, vec3(.3, .59, .11)); colour = vec4(mix(vec3(grey), tint, .85) * gain, 1.); }`],
  points: [`${TRACK_SAMPLES}${PLACE}
    uniform mat4 model; uniform float moment; uniform float threshold; uniform bool wanted; uniform vec2 sizes; uniform vec4 limits;
    in vec3 rgb; in float level; out vec3 tint; out float edge;
    void main() {
      vec4 p = positionAt(gl_VertexID, moment);
      bool moves = level > threshold;
      if (p.w == 0. || moves != wanted) { gl_Position = vec4(2., 2., 2., 1.); gl_PointSize = 1.; return; }
      vec4 seen = view * (model * vec4(p.xyz, 1.));
      gl_Position = placed(seen, moves ? .985 : .995);
      gl_PointSize = moves ? clamp(sizes.x / gl_Position.w, limits.x, limits.y) : clamp(sizes.y / gl_Position.w, limits.z, limits.w);
      tint = tintOf(rgb, level, moves, p.w);
      edge = gl_PointSize;
    }`, `
    in vec3 tint; in float edge; out vec4 colour;
    void main() {
      float r = length(gl_PointCoord - .5) * edge, half_ = edge * .5;
      float cover = edge < 3. ? 1. : clamp(half_ - r, 0., 1.);
      if (cover <= .01) discard;
      colour = vec4(tint * (r > half_ - 1.2 && edge > 5. ? .55 : 1.), cover);
    }`],
  trails: [`${TRACK_SAMPLES}${PLACE}
    uniform mat4 model; uniform float moment; uniform int steps; uniform vec2 window; uniform float width;
    uniform sampler2D tints; uniform usampler2D drawn; out vec4 tint; out float across;
    void main() {
      // Six corners a segment in one call: drivers that work without a graphics card are slow at many small instances.
      int segment = gl_VertexID / 6, corner = gl_VertexID % 6, nth = segment / steps, k = segment % steps;
      int track = int(texelFetch(drawn, ivec2(nth & 2047, nth >> 11), 0).r);
      corner = corner < 3 ? corner : 6 - corner;
      float newest = floor(moment) - float(k) + 1., oldest = newest - 1.;
      newest = k == 0 ? moment : newest;
      vec4 a = positionAt(track, newest), b = positionAt(track, max(oldest, 0.));
      gl_Position = vec4(2., 2., 2., 1.);
      if (oldest < 0. || a.w == 0. || b.w == 0.) return;
      vec4 p = placed(view * (model * vec4(a.xyz, 1.)), .99), q = placed(view * (model * vec4(b.xyz, 1.)), .99);
      if (p.w < .01 || q.w < .01) return;
      vec2 along = (p.xy / p.w - q.xy / q.w) * window;
      vec2 side = normalize(vec2(-along.y, along.x) + vec2(1e-6, 0.));
      bool end = (corner & 1) == 1; across = (corner & 2) == 2 ? 1. : -1.;
      float age = clamp((moment - (end ? oldest : newest)) / float(steps), 0., 1.);
      vec4 at = end ? q : p;
      gl_Position = at + vec4(side * across * (width * (1. - .6 * age) + 1.) / window * at.w, 0., 0.);
      vec4 own = texelFetch(tints, ivec2(track & 2047, track >> 11), 0);
      tint = vec4(tintOf(own.rgb, own.a, true, a.w), pow(1. - age, 1.3) * .85);
    }`, `
    in vec4 tint; in float across; out vec4 colour;
    void main() { colour = vec4(tint.rgb, tint.a * clamp((1. - abs(across)) * 2.5, 0., 1.)); }`],
  surface: [`${PLACE}
    uniform mat4 model; uniform vec2 grid; uniform vec4 lens; uniform vec3 range; in float step_; out vec2 at;
    void main() {
      int width = int(grid.x);
      at = (vec2(gl_VertexID % width, gl_VertexID / width) + .5) / grid;
      float z = range.x * exp((step_ - 1.) / range.z * log(range.y / range.x));
      gl_Position = placed(view * (model * vec4((at - lens.zw) / lens.xy * z, z, 1.)), 1.);
    }`, `
    uniform sampler2D picture; uniform float gain; in vec2 at; out vec4 colour;
    void main() { colour = vec4(texture(picture, at).rgb * gain, 1.); }`],
  picture: [`${PLACE}
    uniform mat4 model; uniform vec4 lens; uniform float depth; out vec2 at;
    void main() { at = vec2(gl_VertexID & 1, gl_VertexID >> 1); gl_Position = placed(view * (model * vec4((at - lens.zw) / lens.xy * depth, depth, 1.)), 1.); }`, `
    uniform sampler2D picture; in vec2 at; out vec4 colour;
    void main() { colour = vec4(texture(picture, at).rgb, .94); }`],
  lines: [`${PLACE}
    uniform vec2 window; uniform float width; in vec3 from; in vec3 to; in vec4 rgba; out vec4 tint; out float across;
    void main() {
      vec4 p = view * vec4(from, 1.), q = view * vec4(to, 1.);
      float near = -.012;
      gl_Position = vec4(2., 2., 2., 1.);
      if (p.z > near && q.z > near) return;
      if (p.z > near) p = mix(q, p, (near - q.z) / (p.z - q.z));
      if (q.z > near) q = mix(p, q, (near - p.z) / (q.z - p.z));
      p = placed(p, .995); q = placed(q, .995);
      vec2 along = (p.xy / p.w - q.xy / q.w) * window;
      vec2 side = normalize(vec2(-along.y, along.x) + vec2(1e-6, 0.));
      vec4 at = (gl_VertexID & 1) == 1 ? q : p; across = (gl_VertexID & 2) == 2 ? 1. : -1.;
      gl_Position = at + vec4(side * across * (width + 1.) / window * at.w, 0., 0.);
      tint = rgba;
    }`, `
    in vec4 tint; in float across; out vec4 colour;
    void main() { colour = vec4(tint.rgb, tint.a * clamp((1. - abs(across)) * 2.5, 0., 1.)); }`],
};

class WebglPainter {
  // null where the browser has no WebGL 2.
  static on(canvas, scene) {
    // Without a graphics card, smooth edges would cost more than all the rest.
    const quick = WebglPainter.hasGraphicsCard();
    const gl = canvas.getContext("webgl2", { antialias: quick });
    return gl ? new WebglPainter(gl, scene, quick) : null;
  }
  // Whether a graphics card draws: some browsers draw in software without calling that a caveat, but tell it by name.
  static hasGraphicsCard() {
    const probe = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
    if (!probe) return false;
    const told = probe.getExtension("WEBGL_debug_renderer_info");
    const name = String(probe.getParameter(told ? told.UNMASKED_RENDERER_WEBGL : probe.RENDERER));
    probe.getExtension("WEBGL_lose_context")?.loseContext();
    return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
  }
  constructor(gl, scene, quick) {
    this.gl = gl;
    this.quick = quick;
    this.scene = scene;
    this.name = "webgl";
    this.programs = {};
    for (const [name, sources] of Object.entries(SHADERS)) this.programs[name] = this.program(name, sources);
    const linear = { min: gl.LINEAR, mag: gl.LINEAR };
    this.ramps = this.texture(linear);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, meta.warm.length, 2, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array([...meta.warm, ...meta.levels].flat()));
    this.picture = this.texture(linear);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 1, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, new Uint8Array([90, 100, 112]));
    const { tracks, cloud, surface } = scene;
    if (tracks) {
      this.samples = this.texture({ min: gl.NEAREST, mag: gl.NEAREST });
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA16UI, 2048, tracks.samples.length / 8192, 0, gl.RGBA_INTEGER, gl.UNSIGNED_SHORT, tracks.samples);
      this.points = this.layout("points", { rgb: [this.buffer(tracks.rgb), 3, gl.UNSIGNED_BYTE, true], level: [this.buffer(tracks.level), 1, gl.UNSIGNED_BYTE, true] });
      const rows = Math.ceil(tracks.count / 2048), tints = new Uint8Array(rows * 2048 * 4);
      for (let k = 0; k < tracks.count; k++) tints.set([tracks.rgb[3 * k], tracks.rgb[3 * k + 1], tracks.rgb[3 * k + 2], tracks.level[k]], 4 * k);
      this.tints = this.texture({ min: gl.NEAREST, mag: gl.NEAREST });
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 2048, rows, 0, gl.RGBA, gl.UNSIGNED_BYTE, tints);
      this.drawn = this.texture({ min: gl.NEAREST, mag: gl.NEAREST });
      this.trails = gl.createVertexArray();
    }
    if (cloud) this.cloud = this.layout("cloud", { xyz: [this.buffer(cloud.xyz), 3, gl.UNSIGNED_SHORT, false], rgb: [this.buffer(cloud.rgb), 3, gl.UNSIGNED_BYTE, true] });
    if (surface) {
      this.steps = this.buffer(new Uint16Array(surface.width * surface.height));
      this.surface = this.layout("surface", { step_: [this.steps, 1, gl.UNSIGNED_SHORT, false] });
      this.corners = gl.createBuffer();
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.corners);
      gl.bindVertexArray(null);
    }
    this.frusta = gl.createVertexArray();
    this.segments = this.buffer(new Float32Array(10));
    const b = this.segments, f = gl.FLOAT;
    this.lines = this.layout("lines", { from: [b, 3, f, false, 1, 40, 0], to: [b, 3, f, false, 1, 40, 12], rgba: [b, 4, f, false, 1, 40, 24] });
    gl.enable(gl.DEPTH_TEST);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.shownSurface = this.shownPicture = -1;
  }
  program(name, [vertex, fragment]) {
    const gl = this.gl, program = gl.createProgram();
    for (const [type, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, HEAD + text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = gl.getAttachedShaders(program).map((s) => gl.getShaderInfoLog(s)).join("\n");
      throw new Error(`The shader "${name}" does not compile: ${logs} ${gl.getProgramInfoLog(program)}`);
    }
    const places = new Map();
    return { program, place: (u) => { if (!places.has(u)) places.set(u, gl.getUniformLocation(program, u)); return places.get(u); } };
  }
  texture({ min, mag }) {
    const gl = this.gl, texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    for (const [key, value] of [[gl.TEXTURE_MIN_FILTER, min], [gl.TEXTURE_MAG_FILTER, mag], [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]])
      gl.texParameteri(gl.TEXTURE_2D, key, value);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    return texture;
  }
  buffer(values) {
    const gl = this.gl, buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    return buffer;
  }
  layout(name, attributes) {
    const gl = this.gl, array = gl.createVertexArray();
    gl.bindVertexArray(array);
    for (const [key, [buffer, size, type, scaled, divisor = 0, stride = 0, offset = 0]] of Object.entries(attributes)) {
      const place = gl.getAttribLocation(this.programs[name].program, key);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, scaled, stride, offset);
      gl.vertexAttribDivisor(place, divisor);
    }
    return array;
  }
  use(name, array, values) {
    const gl = this.gl, { program, place } = this.programs[name];
    gl.useProgram(program);
    gl.bindVertexArray(array);
    gl.uniformMatrix4fv(place("view"), false, this.view);
    gl.uniformMatrix4fv(place("projection"), false, this.projection);
    let unit = 0;
    for (const [key, value] of Object.entries(values)) {
      const at = place(key);
      if (value instanceof Float32Array) gl.uniformMatrix4fv(at, false, value);
      else if (value instanceof WebGLTexture) { gl.activeTexture(gl.TEXTURE0 + unit); gl.bindTexture(gl.TEXTURE_2D, value); gl.uniform1i(at, unit++); }
      else if (Array.isArray(value)) gl[`uniform${value.length}f`](at, ...value);
      else if (value && value.whole !== undefined) gl.uniform1i(at, value.whole);
      else gl.uniform1f(at, value);
    }
  }
  // `look` says what is shown: the moment in frames, and which layers.
  paint(eye, look, size, ratio, changed) {
    const gl = this.gl, { tracks, cloud, surface, pictures } = this.scene, { layers } = look;
    const whole = (n) => ({ whole: Number(n) }), pixel = size[1] * eye.projection()[5] / 2, frame = look.frame;
    this.view = eye.view();
    this.projection = eye.projection();
    gl.viewport(0, 0, size[0], size[1]);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (pictures && this.shownPicture !== frame) {
      const picture = pictures.get(frame, changed);
      if (picture) {
        gl.activeTexture(gl.TEXTURE0);
        gl.bindTexture(gl.TEXTURE_2D, this.picture);
        gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, gl.RGB, gl.UNSIGNED_BYTE, picture);
        this.shownPicture = frame;
      }
    }
    // The surface waits for its picture: both show the same frame.
    const seen = pictures && this.shownPicture >= 0 ? this.shownPicture : frame, pose = poses[seen];
    gl.disable(gl.BLEND);
    if (cloud && layers.cloud) {
      const side = 1.5 * meta.spacing / meta.view.reach * pixel;
      this.use("cloud", this.cloud, { model: stageFromSteps, size: side, limits: [1.2 * ratio, 9 * ratio], gain: look.cloudGain });
      gl.drawArrays(gl.POINTS, 0, cloud.count);
    }
    if (surface && layers.surface && pose && this.shownPicture >= 0) {
      if (this.shownSurface !== seen) this.mesh(seen);
      const { near, far, levels } = meta.surface;
      this.use("surface", this.surface, { model: pose, grid: meta.surface.size, lens: meta.cameras[seen].lens, range: [near, far, levels - 1], gain: 0.95, picture: this.picture });
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.corners);
      gl.drawElements(gl.TRIANGLES, this.cornerCount, gl.UNSIGNED_SHORT, 0);
    }
    gl.enable(gl.BLEND);
    if (pose && layers.picture && pictures && this.shownPicture >= 0 && !eye.through) {
      this.use("picture", this.frusta, { model: pose, lens: meta.cameras[seen].lens, depth: look.frustum * meta.view.reach, picture: this.picture });
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
    if (layers.camera) this.cameraLines(eye, look, seen, size, ratio);
    if (tracks && look.moving.count < tracks.count && layers.still) this.dots(false, look, ratio, pixel);
    if (tracks && look.moving.trails.length && layers.trails) {
      if (this.shownTrails !== look.moving.trails) this.listTrails(look.moving.trails);
      const steps = meta.trail_frames + 1;
      gl.depthMask(false);
      this.use("trails", this.trails, { ...this.ofTracks(look), tints: this.tints, drawn: this.drawn, steps: whole(steps), window: size, width: 1.5 * ratio });
      gl.drawArrays(gl.TRIANGLES, 0, 6 * look.moving.trails.length * steps);
      gl.depthMask(true);
    }
    if (tracks && look.moving.count && layers.moving) this.dots(true, look, ratio, pixel);
  }
  // What shaders of tracks have in common.
  ofTracks(look) {
    const whole = (n) => ({ whole: Number(n) }), { tracks, frames } = this.scene;
    return { samples: this.samples, ramps: this.ramps, count: whole(tracks.count), frames: whole(frames), model: stageFromSteps, moment: look.moment, colourBy: whole(["own", "speed", "level"].indexOf(look.colour)), still: meta.still.map((v) => v / 255) };
  }
  dots(moving, look, ratio, pixel) {
    const gl = this.gl, crowd = Math.min(1, Math.max(0.5, Math.sqrt(1500 / Math.max(1, look.moving.count)))); // many large dots would hide what they sit on
    const still = look.colour === "level" ? 1.6 : 1; // its colour tells something
    const values = { ...this.ofTracks(look), threshold: look.threshold, wanted: { whole: Number(moving) }, sizes: [0.014 * pixel * crowd, 0.0055 * pixel * still], limits: [2.4 * crowd, 9 * crowd, 1.2 * still, 4 * still].map((v) => v * ratio) };
    this.use("points", this.points, values);
    gl.drawArrays(gl.POINTS, 0, moving ? this.scene.tracks.doubtful : this.scene.tracks.count);
  }
  listTrails(tracks) {
    const gl = this.gl, rows = Math.ceil(tracks.length / 2048), list = new Uint16Array(rows * 2048);
    list.set(tracks);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.drawn);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16UI, 2048, rows, 0, gl.RED_INTEGER, gl.UNSIGNED_SHORT, list);
    this.shownTrails = tracks;
  }
  // Joins neighbouring depth pixels to triangles, except across the edge of a surface.
  mesh(frame) {
    const gl = this.gl, { steps, width, height } = this.scene.surface, { near, far, levels } = meta.surface;
    const depth = steps.subarray(frame * width * height, (frame + 1) * width * height);
    // On slanted ground, depth grows faster from pixel to pixel the coarser the grid is.
    const [fx] = meta.cameras[frame].lens, step = Math.min(1.35, 1 + 0.16 * Math.max(1, 150 / (width * fx)));
    const most = Math.log(step) / Math.log(far / near) * (levels - 1);
    this.cornerList = this.cornerList || new Uint16Array(6 * width * height);
    const corners = this.cornerList;
    let n = 0;
    for (let row = 0; row < height - 1; row++) for (let column = 0, i = row * width; column < width - 1; column++, i++) {
      const a = depth[i], b = depth[i + 1], c = depth[i + width], d = depth[i + width + 1];
      if (b && c && Math.abs(b - c) < most) {
        if (a && Math.abs(a - b) < most && Math.abs(a - c) < most) { corners[n++] = i; corners[n++] = i + width; corners[n++] = i + 1; }
        if (d && Math.abs(d - b) < most && Math.abs(d - c) < most) { corners[n++] = i + 1; corners[n++] = i + width; corners[n++] = i + width + 1; }
      }
    }
    gl.bindVertexArray(null);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.steps);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, depth);
    gl.bindVertexArray(this.surface);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.corners);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, corners.subarray(0, n), gl.DYNAMIC_DRAW);
    this.cornerCount = n;
    this.shownSurface = frame;
  }
  cameraLines(eye, look, seen, size, ratio) {
    const gl = this.gl, lines = cameraSegments(look, seen, !eye.through);
    if (!lines.length) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.segments);
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array(lines.flat()), gl.DYNAMIC_DRAW);
    this.use("lines", this.lines, { window: size, width: 1.6 * ratio });
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, lines.length);
  }
}

// The camera path, past part bright, and the frustum of the current frame: [from, to, rgba] each, flat.
const pathOnStage = meta.path.map((p) => (p[0] === null ? null : moved(stageFromWorld, p)));
function cameraSegments(look, seen, frustum) {
  const lines = [], now = meta.frame[look.frame], rgb = [0.47, 0.86, 0.63];
  for (let t = 1; t < pathOnStage.length; t++) {
    const a = pathOnStage[t - 1], b = pathOnStage[t];
    if (a && b) lines.push([...a, ...b, ...rgb, t <= now ? 0.9 : 0.3]);
  }
  const draw = (pose, camera, size, strength) => {
    if (!pose) return;
    const [fx, fy, cx, cy] = camera.lens, d = size * look.frustum * meta.view.reach;
    const far = [[0, 0], [1, 0], [1, 1], [0, 1]].map(([u, v]) => moved(pose, [(u - cx) / fx * d, (v - cy) / fy * d, d]));
    const apex = [pose[12], pose[13], pose[14]];
    far.forEach((p, i) => lines.push([...apex, ...p, ...rgb, 0.9 * strength], [...p, ...far[(i + 1) % 4], ...rgb, 0.95 * strength]));
  };
  if (frustum) draw(poses[seen], meta.cameras[seen], 1, 1);
  otherPoses.forEach((cameras, k) => draw(cameras[seen], meta.others[k][seen], 0.6, 0.7));
  return lines;
}
