"""A table about many released annotations: how long, how much moves, where the camera goes, what is doubtful; to filter and to sort."""

from __future__ import annotations

import csv
import json
import operator
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.lifting import scene_motion
from toolkit.media.stereo4d_npz import load_dataset_npz
from toolkit.media.writing import replacing
from toolkit.parallel import in_order
from toolkit.progress import Report, silent
from toolkit.scene import Cameras, Scene, Tracks3D

COLUMNS: dict[str, str] = {
    "clip": "name of the file without its ending",
    "path": "the file",
    "video_id": "of the video that it was cut from",
    "start_s": "where in that video it starts",
    "frames": "number of frames",
    "fps": "frames per second",
    "duration_s": "from the first frame to the last",
    "tracks": "number of 3D tracks",
    "track_frames": "frames that half of the tracks are seen in, or more",
    "moving_share": "tracks that move by over 5 px in the picture once the camera's own motion is taken out",
    "motion_px": "how far a tenth of the tracks move in that way, or farther",
    "speed_m_s": "median speed of these moving tracks",
    "depth_m": "median distance of the tracks from the camera",
    "camera_path_m": "length of the camera's way",
    "camera_speed_m_s": "the same by time",
    "camera_turn_deg": "how far it turns, in all",
    "camera_jump_m": "longest step between two frames",
    "flags": "what is doubtful, separated by semicolons",
    "problem": "why the file can't be read; empty where it can",
}
_MOVES_PX = 5.0  # Stereo4D step 5: displacement over 5 px
_SHORT, _FEW, _STILL, _FAR_M = 30, 100, 0.01, 20.0
_JUMP_M, _JUMP_TIMES, _JUMP_DEG = 0.1, 8.0, 8.0  # between two frames, beside the usual step
_RULE = re.compile(r"\s*([a-z_]+)\s*(<=|>=|!=|==|=|<|>)\s*(.+?)\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
FORMATS = (".parquet", ".csv", ".jsonl")


def catalogue(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    where: Iterable[str] = (),
    report: Report = silent,
) -> int:
    """Writes a table about released annotations; see `COLUMNS`.

    Args:
        sources: Files, or folders that are searched for .npz at any depth.
        path: The table, ending with .parquet, .csv or .jsonl.
        where: Rules that a row must meet to be written, such as "moving_share>=0.2" or "problem=".
        report: Called per file.

    Returns:
        Number of rows written.

    Raises:
        UserError: no annotation there, a rule that is none, or a table that can't be written.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise UserError(f"{target.name} must end with one of: {', '.join(FORMATS)}.")
    if target.suffix.lower() == ".parquet":
        _parquet()
    rules = [_rule(text) for text in ([where] if isinstance(where, str) else where)]
    files = _files([sources] if isinstance(sources, str | os.PathLike) else sources)
    rows = []
    for done, row in enumerate(in_order(describe, files), start=1):
        if all(rule(row) for rule in rules):
            rows.append(row)
        report(done, len(files))
    _write(rows, target)
    return len(rows)


def describe(path: Path) -> dict[str, Any]:
    """The row of one annotation."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"clip": path.stem, "path": str(path), "problem": ""}
    try:
        scene = load_dataset_npz(path)
    except UserError as problem:
        return {**row, "problem": str(problem), "flags": "can't be read"}
    cameras, tracks = scene.cameras, scene.tracks_3d
    assert cameras is not None and tracks is not None  # the loader fills both
    stamps = np.asarray(scene.report.get("timestamps_us", []), np.float64) / 1e6
    duration_s = float(stamps[-1] - stamps[0]) if len(stamps) > 1 else None
    fps = (len(stamps) - 1) / duration_s if duration_s else None
    seen = tracks.visible & np.isfinite(tracks.xyz).all(-1)
    row |= {
        "video_id": str(scene.report.get("video_id", "")),
        "start_s": float(stamps[0]) if len(stamps) else None,
        "frames": scene.frames,
        "fps": fps,
        "duration_s": duration_s,
        "tracks": len(tracks),
        "track_frames": float(np.median(seen.sum(1))) if len(tracks) else 0.0,
        **_motion(tracks, cameras, seen, fps),
        **_way(cameras, duration_s),
    }
    return {**row, "flags": "; ".join(_flags(row, scene)), **{k: round(v, 4) for k, v in row.items() if isinstance(v, float)}}


def _motion(tracks: Tracks3D, cameras: Cameras, seen: np.ndarray, fps: float | None) -> dict[str, float | None]:
    if not seen.any():
        return {"moving_share": 0.0, "motion_px": 0.0, "speed_m_s": None, "depth_m": None}
    px = np.nanmax(np.where(np.isfinite(moved := scene_motion(tracks, cameras)), moved, 0.0), axis=1)
    moving = px > _MOVES_PX
    steps = np.linalg.norm(np.diff(tracks.xyz[moving], axis=1), axis=2)
    known = np.isfinite(steps) & seen[moving][:, 1:] & seen[moving][:, :-1]
    centre = cameras.centres[None]
    distance = np.linalg.norm(tracks.xyz - centre, axis=2)[seen]
    return {
        "moving_share": float(moving.mean()),
        "motion_px": float(np.percentile(px, 90)),
        "speed_m_s": float(np.median(steps[known]) * fps) if known.any() and fps else None,
        "depth_m": float(np.median(distance)),
    }


def _way(cameras: Cameras, duration_s: float | None) -> dict[str, float | None]:
    steps = np.linalg.norm(np.diff(cameras.centres, axis=0), axis=1)
    turns = _turns_deg(cameras)
    length = float(np.nansum(steps))
    return {
        "camera_path_m": length,
        "camera_speed_m_s": length / duration_s if duration_s else None,
        "camera_turn_deg": float(np.nansum(turns)),
        "camera_jump_m": float(np.nanmax(steps)) if len(steps) else 0.0,
    }


def _turns_deg(cameras: Cameras) -> np.ndarray:
    """(T-1,) degrees between two frames."""
    R = cameras.T_wc[:, :3, :3]
    cosine = (np.einsum("tij,tij->t", R[1:], R[:-1]) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _flags(row: dict[str, Any], scene: Scene) -> list[str]:
    cameras = scene.cameras
    assert cameras is not None
    steps = np.linalg.norm(np.diff(cameras.centres, axis=0), axis=1)
    usual = float(np.median(steps)) if len(steps) else 0.0
    turns = _turns_deg(cameras)
    jumps = len(steps) and (steps.max() > max(_JUMP_M, _JUMP_TIMES * usual) or turns.max() > max(_JUMP_DEG, _JUMP_TIMES * np.median(turns)))
    told = {
        f"under {_SHORT} frames": row["frames"] < _SHORT,
        f"under {_FEW} tracks": row["tracks"] < _FEW,
        "nothing moves": row["moving_share"] < _STILL,
        f"farther than {_FAR_M:.0f} m": (row["depth_m"] or 0.0) > _FAR_M,
        "the camera jumps": bool(jumps),
        "frames are missing": _gaps(scene),
        "samples are not finite": bool(scene.report.get("warnings")),
    }
    return [flag for flag, so in told.items() if so]


def _gaps(scene: Scene) -> bool:
    stamps = np.asarray(scene.report.get("timestamps_us", []), np.float64)
    steps = np.diff(stamps)
    return bool(len(steps)) and bool(steps.max() > 1.5 * np.median(steps))


def _files(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    found: dict[Path, None] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise UserError(f"There is no file or folder {source}.")
        found |= dict.fromkeys(sorted(source.rglob("*.npz")) if source.is_dir() else [source])
    if not found:
        raise UserError("There are no annotations (.npz) in what was named.")
    return list(found)


def _rule(text: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a row meets a rule such as "frames>=100", "flags=" (none) or "problem!=" (some)."""
    match = _RULE.fullmatch(text if not text.rstrip().endswith("=") else f'{text.rstrip()}""')
    if match is None or match[1] not in COLUMNS:
        raise UserError(f"{text!r} is no rule such as moving_share>=0.2; there are: {', '.join(COLUMNS)}.")
    name, sign, wanted = match[1], match[2], match[3].strip("\"'")
    try:
        value: Any = float(wanted)
    except ValueError:
        if sign not in ("=", "==", "!="):
            raise UserError(f"{text!r} compares with {wanted!r}, but a number is needed.") from None
        value = wanted

    def meets(row: dict[str, Any]) -> bool:
        own = row[name]
        if own is None or isinstance(own, str) != isinstance(value, str):
            return sign == "!="
        return _COMPARE[sign](own, value)

    return meets


def _write(rows: list[dict[str, Any]], target: Path) -> None:
    with replacing(target) as partial:
        if target.suffix.lower() == ".jsonl":
            partial.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        elif target.suffix.lower() == ".csv":
            with partial.open("w", newline="", encoding="utf-8", errors="replace") as file:
                writer = csv.DictWriter(file, list(COLUMNS))
                writer.writeheader()
                writer.writerows(rows)
        else:
            arrow, parquet = _parquet()
            columns = {name: [row[name] for row in rows] for name in COLUMNS}
            parquet.write_table(arrow.table(columns), partial)


def _parquet() -> tuple[Any, Any]:
    try:
        import pyarrow as arrow  # type: ignore[import-not-found]
        import pyarrow.parquet as parquet  # type: ignore[import-not-found]
    except ModuleNotFoundError as problem:
        raise UserError("Parquet needs pyarrow: pip install pyarrow; or name a table that ends with .csv or .jsonl.") from problem
    return arrow, parquet
