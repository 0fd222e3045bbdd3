"""The static cloud as PLY, cloud and moving tracks as GLB."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.scene import U8, PointCloud, Scene
from toolkit.views import colours
from toolkit.views.overlay import choose_indices, moving_tracks

MAX_GLB_POINTS = 100_000  # Viewers on phones stay fluent.
MAX_GLB_TRACKS = 2_000
_POINTS, _LINES = 0, 1
_FLOAT, _UINT = 5126, 5125


def write_ply(cloud: PointCloud, path: Path, *, unit: str) -> dict[str, Any]:
    """Binary PLY with 8-bit sRGB colours: world coordinates, OpenCV axes (x right, y down, z forward)."""
    rows = np.empty(len(cloud), dtype=[("xyz", "<f4", 3), ("rgb", "u1", 3)])
    rows["xyz"], rows["rgb"] = cloud.xyz, cloud.rgb
    names = [f"property float {a}" for a in "xyz"] + [f"property uchar {c}" for c in ("red", "green", "blue")]
    comments = [f"comment unit {unit}", "comment axes x right, y down, z forward"]
    header = ["ply", "format binary_little_endian 1.0", *comments, f"element vertex {len(cloud)}", *names, "end_header"]
    with path.open("wb") as file:
        file.write(("\n".join(header) + "\n").encode())
        rows.tofile(file)
    return {"points": len(cloud), "axes": "world, OpenCV: x right, y down, z forward", "colours": "sRGB, 8 bit"}


def write_glb(scene: Scene, path: Path, *, fps: float, seed: int = 0) -> dict[str, Any]:
    """Cloud as points, moving tracks as lines coloured by speed, camera path as a line, in glTF's axes (y up, z backward).

    glTF takes vertex colours as linear light, so sRGB bytes written as they are look washed out everywhere. They are floats: 8 bits
    would not keep dark colours apart after the conversion, and 16 bits are read wrongly by trimesh (modulo 256).
    """
    shapes: list[tuple[str, int, NDArray, U8, NDArray | None]] = []
    if scene.points is not None and len(scene.points):
        some = np.random.default_rng(seed).permutation(len(scene.points))[:MAX_GLB_POINTS]
        shapes.append(("static cloud", _POINTS, scene.points.xyz[some], scene.points.rgb[some], None))
    drawn = 0
    if scene.tracks_3d is not None:
        which = choose_indices(scene, 3 * MAX_GLB_TRACKS // 2, seed=seed)
        which = which[moving_tracks(scene)[which]][:MAX_GLB_TRACKS]
        xyz = scene.tracks_3d.xyz[which]
        known = np.asarray(np.isfinite(xyz).all(-1))
        number = np.cumsum(known).reshape(known.shape) - 1
        pairs = known[:, :-1] & known[:, 1:]
        lines = np.stack([number[:, :-1][pairs], number[:, 1:][pairs]], axis=1)
        pace = colours.speed(xyz, fps)
        if len(lines):
            spread = colours.speed_spread(None if scene.tracks_3d.sigma is None else scene.tracks_3d.sigma[which])
            rgb = colours.look_up(colours.WARM, pace[known] / colours.typical_top_speed(pace, spread))
            shapes.append(("moving tracks", _LINES, xyz[known], rgb, lines.reshape(-1)))
            drawn = len(which)
    if scene.cameras is not None and scene.cameras.registered.sum() > 1:
        path_w = scene.cameras.centres[scene.cameras.registered]
        steps = np.arange(len(path_w) - 1).repeat(2) + np.tile([0, 1], len(path_w) - 1)  # trimesh passes over line strips
        shapes.append(("camera path", _LINES, path_w, np.full((len(path_w), 3), (120, 220, 160), np.uint8), steps))
    path.write_bytes(_glb(shapes))
    return {"axes": "glTF: x right, y up, z backward (world y and z negated)", "colours": "linear light, float", "moving_tracks": drawn}


def _glb(shapes: list[tuple[str, int, NDArray, U8, NDArray | None]]) -> bytes:
    """A binary glTF 2.0 of unlit primitives (name, mode, world points, sRGB colours, indices)."""
    data, views, accessors, meshes = bytearray(), [], [], []

    def add(array: NDArray, kind: str, component: int, **extra: object) -> int:
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": array.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "count": len(array), "type": kind, **extra})
        data.extend(array.tobytes())
        data.extend(b"\0" * (-len(data) % 4))
        return len(accessors) - 1

    for name, mode, xyz_w, rgb, indices in shapes:
        xyz = (xyz_w * np.array([1, -1, -1])).astype("<f4")
        attributes = {"POSITION": add(xyz, "VEC3", _FLOAT, min=xyz.min(0).tolist(), max=xyz.max(0).tolist())}
        attributes["COLOR_0"] = add(_linear(rgb).astype("<f4"), "VEC3", _FLOAT)
        primitive = {"attributes": attributes, "mode": mode, "material": 0}
        if indices is not None:
            primitive["indices"] = add(indices.astype("<u4"), "SCALAR", _UINT)
        meshes.append({"name": name, "primitives": [primitive]})
    tree = {
        "asset": {"version": "2.0", "generator": "Lift4D"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "materials": [{"pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1}, "extensions": {"KHR_materials_unlit": {}}}],
        "meshes": meshes,
        "nodes": [{"name": m["name"], "mesh": i} for i, m in enumerate(meshes)],
        "scenes": [{"nodes": list(range(len(meshes)))}],
        "scene": 0,
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data)}],
    }
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(data))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + bytes(data)


def _linear(rgb: U8) -> NDArray:
    """SRGB bytes as linear light 0..1 (IEC 61966-2-1)."""
    c = rgb / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
