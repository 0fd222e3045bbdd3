// The scene as it was packed: what is in it, positions over time, pictures.

const meta = JSON.parse(document.getElementById("meta").textContent);

function bytesOf(id) {
  const text = atob(document.getElementById(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

// Undoes differences that were stored as low bytes and then high bytes. `run` values in a row belong together, `stride` apart.
function unpacked(bytes, rows, stride, columns = 1) {
  const count = bytes.length / 2, values = new Uint16Array(count);
  for (let i = 0; i < count; i++) {
    const z = bytes[i] | (bytes[count + i] << 8);
    values[i] = (z >>> 1) ^ -(z & 1);
  }
  if (columns === 1) for (let i = stride; i < count; i++) values[i] += values[i - stride];
  else for (let row = 0; row < rows; row++) for (let c = 1, i = row * columns + 1; c < columns; c++, i++) values[i] += values[i - 1];
  return values;
}

async function unpackScene() {
  const stream = new Blob([bytesOf("numbers")]).stream().pipeThrough(new DecompressionStream("deflate"));
  const all = new Uint8Array(await new Response(stream).arrayBuffer());
  const part = (name) => { const at = meta.arrays[name]; return at ? all.subarray(at[0], at[0] + at[1]) : null; };
  const counts = meta.counts, scene = { counts, frames: counts.frames };

  if (counts.tracks) {
    const n = counts.tracks, total = n * counts.frames, doubtful = counts.doubtful;
    const steps = unpacked(part("track_xyz"), 0, n * 3), known = part("track_known"), pace = part("track_pace");
    // x, y, z and 0 for unknown, 1 for known, 1 + pace where a speed is known: one texel each, padded to whole rows.
    const samples = new Uint16Array(Math.ceil(total / 2048) * 2048 * 4), speed = new Uint8Array(doubtful);
    for (let t = 0, i = 0; t < counts.frames; t++)
      for (let k = 0; k < n; k++, i++) {
        if (k < doubtful) speed[k] += pace[t * doubtful + k];
        if (!((known[i >> 3] >> (7 - (i & 7))) & 1)) continue;
        samples[4 * i] = steps[3 * i]; samples[4 * i + 1] = steps[3 * i + 1]; samples[4 * i + 2] = steps[3 * i + 2];
        samples[4 * i + 3] = 1 + (k < doubtful ? speed[k] : 0);
      }
    scene.tracks = { samples, rgb: part("track_rgb"), level: part("track_level"), count: n, doubtful };
  }
  if (counts.cloud) scene.cloud = { xyz: unpacked(part("cloud_xyz"), 0, 3), rgb: part("cloud_rgb"), count: counts.cloud };
  if (meta.surface) {
    const [width, height] = meta.surface.size;
    scene.surface = { steps: unpacked(part("surface"), counts.frames * height, 1, width), width, height };
  }
  if (meta.pictures.length) scene.pictures = new Pictures(bytesOf("pictures"), meta.pictures);
  return scene;
}

// Which tracks move where all above a motion level do: how many, and those of them that draw a trail.
function movingAbove(tracks, threshold) {
  const trails = [];
  let count = 0;
  for (let k = 0; k < tracks.doubtful; k++) if (tracks.level[k] > 255 * threshold && count++ < meta.most_trails) trails.push(k);
  return { count, trails: new Uint16Array(trails) };
}

// The frames' pictures, decoded when they are needed and a little ahead of that.
class Pictures {
  constructor(bytes, lengths) {
    this.ready = new Map();
    this.pending = new Set();
    this.blobs = [];
    let start = 0;
    for (const length of lengths) {
      this.blobs.push(new Blob([bytes.subarray(start, start + length)], { type: "image/jpeg" }));
      start += length;
    }
  }
  // The picture of a frame, or null until it is decoded; `changed` is called then.
  get(frame, changed) {
    for (let ahead = 0; ahead < 4; ahead++) this.decode((frame + ahead) % this.blobs.length, changed);
    return this.ready.get(frame) || null;
  }
  decode(frame, changed) {
    if (this.ready.has(frame) || this.pending.has(frame)) return;
    this.pending.add(frame);
    createImageBitmap(this.blobs[frame]).then((picture) => {
      this.pending.delete(frame);
      this.ready.set(frame, picture);
      if (this.ready.size > 160) {
        const oldest = this.ready.keys().next().value;
        this.ready.get(oldest).close();
        this.ready.delete(oldest);
      }
      changed();
    });
  }
}
