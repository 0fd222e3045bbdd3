"""The shell's `evaluate`: how good a result is beside a truth, or our non-rigid factorisation on a data set of its own."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from toolkit.errors import UserError
from toolkit.media.writing import replacing


def evaluate_command(
    path: Annotated[
        Path, typer.Argument(help="A result: its folder, scene.npz, or an .npz of arrays. Or non-rigid data (.npz or folder).")
    ],
    truth: Annotated[Path | None, typer.Argument(help="What is true: a scene.npz, a released Stereo4D .npz, or an .npz of arrays.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the scores as JSON to this file.")] = None,
) -> None:
    """Compares a result with a truth, part by part; or reconstructs deforming bodies of a data set and tells their e3D."""
    _check_out(out)
    for given in (path, truth):
        if given is not None and not given.exists():
            raise UserError(f"There is no file or folder {given}.")
    shapes = _shape_files(path if truth is None else truth)
    if truth is None and not shapes:
        raise UserError(f"{path} is no non-rigid data set, so a truth to compare it with is needed: evaluate {path.name} TRUTH.")
    if not shapes:
        assert truth is not None
        told = _compare(path, truth)
    elif truth is None:
        told = _reconstruct(shapes)
    elif len(shapes) == 1:
        told = _compare_shapes(path, truth)
    else:
        raise UserError(f"{truth} holds {len(shapes)} sequences, but one is needed to compare {path.name} with.")
    if out is not None:
        with replacing(out) as partial:
            partial.write_text(json.dumps(_plain(told), indent=2) + "\n")
        print(f"wrote {out}")


def _check_out(out: Path | None) -> None:
    if out is not None and (out.is_dir() or not out.parent.is_dir() or not os.access(out.parent, os.W_OK)):
        raise UserError(f"{out} can't be written: a file in a folder that exists and can be written to is needed.")


def _shape_files(path: Path) -> list[Path]:
    """The non-rigid sequences at a path; none for anything else."""
    from toolkit.media.npz import NpzReader
    from toolkit.media.shape_npz import is_shape_npz

    def holds(file: Path) -> bool:
        with NpzReader(file) as reader:
            return is_shape_npz(reader)

    if path.is_dir():
        if (path / "scene.npz").is_file():
            return []
        return [file for file in sorted(path.glob("*.npz")) if holds(file)]
    return [path] if path.suffix.lower() == ".npz" and holds(path) else []


def _compare(path: Path, truth: Path) -> dict[str, Any]:
    from toolkit.evaluation.scenes import compare_scenes
    from toolkit.media.truth_npz import load_truth

    scores, notes = compare_scenes(load_truth(path), load_truth(truth))
    for part, values in scores.items():
        print(part)
        width = max(len(name) for name in values)
        for name, value in values.items():
            print(f"  {name:<{width}}  {_number(value)}")
    for note in notes:
        print(f"note: {note}")
    return {"result": str(path), "truth": str(truth), "scores": scores, "notes": notes}


def _reconstruct(files: list[Path]) -> dict[str, Any]:
    """Our factorisation of every sequence, beside a rigid body."""
    from toolkit.evaluation.nonrigid import nonrigid
    from toolkit.media.shape_npz import load_shape_npz
    from toolkit.sfm.nonrigid import nonrigid_shapes, rigid_shapes

    header = f"{'sequence':<20}{'frames':>7}{'points':>7}{'e3D':>9}{'spread':>9}{'rigid':>9}{'CPU s':>7}"
    print(header)
    rows: dict[str, Any] = {}
    notes: list[str] = []
    for file in files:
        found = load_shape_npz(file)
        points, frames = found.xy.shape[:2]
        if found.xyz is None:
            if len(files) == 1:
                raise UserError(f"{file.name} holds no true points (S), so its e3D can't be told.")
            notes.append(f"{file.name} holds no true points: left out")
            continue
        begun = time.process_time()
        made = nonrigid_shapes(found.xy, report=_bar(file.stem))
        seconds = time.process_time() - begun
        fit = not found.same_unit
        scores = nonrigid(made.xyz, found.xyz, scale=fit)
        rigid = nonrigid(rigid_shapes(found.xy), found.xyz, scale=fit)
        rows[file.stem] = scores | {"points": points, "rigid_e3D": rigid["e3D"], "rigid_e3D_spread": rigid["e3D_spread"], "cpu_s": seconds}
        print(
            f"{file.stem:<20.20}{frames:>7}{points:>7}{scores['e3D']:>9.4f}{scores['e3D_spread']:>9.4f}{rigid['e3D']:>9.4f}{seconds:>7.1f}",
            flush=True,
        )
        notes += [f"{file.name}: {warning}" for warning in made.report["warnings"]]
        if found.note:
            notes.append(f"{file.name} is {found.note}")
    print("e3D: mean over frames of |estimate - truth| / |truth|, each frame turned onto its truth, never scaled or mirrored alone")
    print("spread: mean distance of a point by the standard deviation of the truth per axis; rigid: e3D of the best rigid body")
    for note in notes:
        print(f"note: {note}")
    return {"sequences": rows, "notes": notes}


def _compare_shapes(path: Path, truth: Path) -> dict[str, Any]:
    """An estimate that somebody made of one sequence."""
    from toolkit.evaluation.nonrigid import nonrigid
    from toolkit.media.shape_npz import load_shape_npz
    from toolkit.media.truth_npz import load_truth

    true = load_shape_npz(truth)
    if true.xyz is None:
        raise UserError(f"{truth.name} holds no true points (S), so nothing can be compared with it.")
    made = load_shape_npz(path).xyz if _shape_files(path) else None
    if made is None:
        tracks = load_truth(path).tracks_3d
        if tracks is None:
            raise UserError(f"{path.name} holds no points in 3D; xyz (N, T, 3) or S (3T, N) is needed.")
        made = tracks.xyz.astype(np.float64)
    scores = nonrigid(made, true.xyz, scale=not true.same_unit)
    width = max(len(name) for name in scores)
    for name, value in scores.items():
        print(f"  {name:<{width}}  {_number(value)}")
    return {"result": str(path), "truth": str(truth), "scores": {"nonrigid": scores}}


def _bar(name: str) -> Any:
    """Progress of one sequence on a terminal, told on one line that is wiped at the end."""
    if not sys.stderr.isatty():
        return lambda done, total: None

    def tell(done: int, total: int) -> None:
        print(f"\r{name} {100 * done // max(total, 1)} %" if done < total else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    return tell


def _number(value: float) -> str:
    return (
        "not known" if not math.isfinite(value) else f"{value:.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.4f}"
    )  # noqa: PLR2004


def _plain(value: Any) -> Any:
    """What JSON can hold: NaN becomes null."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
