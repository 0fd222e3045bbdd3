"""What several cameras saw: the tracks drawn into the video of each, and a file with all cameras that the toolkit reads again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.media.encoding import Encoding
from toolkit.media.video import write_video
from toolkit.scene import Scene
from toolkit.views.overlay import draw_tracks

_DRAWN = Encoding(crf=20, preset="superfast")


def view_names(scene: Scene) -> list[str]:
    """A file name for each view, the scene's own first."""
    told = [view.get("name", "") for view in scene.report.get("views", [])]
    names = [told[v] if v < len(told) else "" for v in range(1 + len(scene.views))]
    plain = [re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or f"view{v}" for v, name in enumerate(names)]
    return [name if plain.count(name) == 1 else f"{name}_{v}" for v, name in enumerate(plain)]


def write_views(scene: Scene, folder: Path, tick: Callable[[], None], seed: int) -> dict[str, Any]:
    """Writes one video a view that has one, and cameras.json.

    Args:
        scene: With further views.
        folder: Made here.
        tick: Called per frame.
        seed: Of the choice of tracks that are drawn.

    Returns:
        Notes for the manifest: the videos.
    """
    folder.mkdir(parents=True)
    entries, videos = [], []
    for name, view in zip(view_names(scene), (replace(scene, views=()), *scene.views), strict=True):
        if view.video is not None:

            def frames(view: Scene = view) -> Any:
                for frame in draw_tracks(view, seed=seed):
                    tick()
                    yield frame

            videos.append(f"{name}.mp4")
            write_video(folder / videos[-1], frames(), view.video.fps, encoding=_DRAWN)
        if view.cameras is not None:
            t = int(view.cameras.registered.argmax())
            moves = bool((view.cameras.T_wc[view.cameras.registered] != view.cameras.T_wc[t]).any())
            file = {"video": f"{name}.mp4"} if view.video is not None else {}
            entry = {"name": name, **file, "size": view.cameras.size[t].tolist(), "K": view.cameras.K[t].tolist()}
            entries.append({**entry, "T_wc": view.cameras.T_wc[t].tolist(), **({"moves": True} if moves else {})})
    axes = "x right, y down, z forward; T_wc maps camera to world; the centre of the top-left pixel is (0.5, 0.5); no distortion"
    (folder / "cameras.json").write_text(json.dumps({"axes": axes, "unit": scene.unit, "cameras": entries}, indent=1))
    return {"views": videos}
