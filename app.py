"""The page: bring a clip, see what it is, run, look, take the files away."""

from __future__ import annotations

import os

for _name, _value in {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_WAIT_POLICY": "passive",
    "OPENBLAS_NUM_THREADS": "1",
}.items():
    os.environ.setdefault(_name, _value)

import logging
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

import toolkit as tk
from toolkit.errors import UserError
from toolkit.methods.request import Preset
from toolkit.views.report import quality_markdown
from toolkit.warm_up import warm_up

EXAMPLE = Path(__file__).parent / "toolkit" / "examples" / "street_vr180.mp4"
FORMATS = ["scene.npz", "tracks.mp4", "depth.mp4", "points.ply", "stereo4d.npz", "cameras.tum"]
STAGES = {"rectify": 0.1, "depth": 0.15, "tracks": 0.45, "cameras": 0.1, "world": 0.1, "files": 0.1}  # share of the time
log = logging.getLogger("lift4d")


def told(problem: Exception) -> gr.Error:
    """What a person sees of a problem: its sentence, or the number under which the log holds the rest."""
    if isinstance(problem, UserError):
        return gr.Error(str(problem), title="This clip needs a change", print_exception=False)
    incident = uuid.uuid4().hex[:8]
    log.error("incident %s", incident, exc_info=problem)
    return gr.Error(f"Something went wrong on our side; it is noted as incident {incident}.", title="Our fault", print_exception=False)


def new_scratch() -> str:
    """A folder of one visitor's own."""
    return tempfile.mkdtemp(prefix="lift4d-")


def drop_scratch(folder: str | None) -> None:
    """Deletes a visitor's folder."""
    if folder:
        shutil.rmtree(folder, ignore_errors=True)


def describe(clip: str | None) -> str:
    """What the clip is, in plain words, before anything is computed."""
    if not clip:
        return "Bring a clip, or take the example."
    try:
        source = tk.inspect(clip)
    except Exception as problem:
        raise told(problem) from None
    cost = [f"**{name}**: about {e.seconds:.0f} s, {e.memory_mb / 1000:.1f} GB" for name, e in source.estimate.items()]
    return "\n\n".join([f"### {source}", " · ".join(cost), *(f"⚠ {warning}" for warning in source.warnings)])


def run_clip(clip: str | None, preset: Preset, fov_deg: float | None, scratch: str | None) -> Iterator[tuple[Any, ...]]:
    """Runs the clip; yields (status, tracks video, depth video, quality, files, scratch folder)."""
    if not clip:
        raise gr.Error("Bring a clip first, or take the example.", title="No clip yet", print_exception=False)
    drop_scratch(scratch)
    scratch = new_scratch()
    same = gr.skip()
    before = dict(zip(STAGES, [sum(list(STAGES.values())[:i]) for i in range(len(STAGES))], strict=True))
    try:
        scene = None
        for event in tk.steps(clip, preset=preset, fov_deg=fov_deg or None):
            share = before.get(event.stage, 1.0) + STAGES.get(event.stage, 0.0) * event.fraction
            yield bar(event.message, share), same, same, same, same, scratch
            scene = event.result
        assert scene is not None
        yield bar("Writing the result files", before["files"]), same, same, same, same, scratch
        files = tk.export(scene, Path(scratch) / "result", formats=FORMATS)
    except Exception as problem:
        drop_scratch(scratch)
        raise told(problem) from None
    downloads = [str(path) for path in files.values()]
    yield (
        bar("Done", 1.0),
        str(files["tracks.mp4"]),
        str(files["depth.mp4"]),
        f"**{scene}**\n\n{quality_markdown(scene)}",
        downloads,
        scratch,
    )


def bar(message: str, share: float) -> str:
    """One line with a bar."""
    percent = round(100 * share)
    return f'<div class="lift4d-bar" role="status"><div style="width:{percent}%"></div><span>{message} · {percent} %</span></div>'


CSS = """
.lift4d-bar {position: relative; height: 2rem; border-radius: 6px; background: var(--background-fill-secondary); overflow: hidden}
.lift4d-bar > div {height: 100%; background: var(--color-accent); opacity: .35; transition: width .3s}
.lift4d-bar > span {position: absolute; inset: 0; display: flex; align-items: center; padding-left: .8rem; font-size: .9rem}
"""


def build() -> gr.Blocks:
    """The page."""
    with gr.Blocks(title="Lift4D", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown("# Lift4D\nA VR180 or stereo clip goes in; point tracks, metric depth, the camera path and 3D motion come out.")
        scratch = gr.State(None, time_to_live=3600, delete_callback=drop_scratch)
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                clip = gr.Video(str(EXAMPLE), label="Clip (VR180 or side-by-side stereo)", sources=["upload"], height=280)
                example = gr.Button("Take the example: a street in VR180", size="sm")
                found = gr.Markdown(describe(str(EXAMPLE)))
                preset = gr.Radio(
                    ["draft", "normal", "fine"], value="normal", label="Preset", info="Draft for a quick look, fine for the best depth."
                )
                with gr.Accordion("Advanced", open=False):
                    fov_deg = gr.Number(
                        None, label="Field of view of the result, degrees", info="Empty: 60 for VR180, all of a flat picture."
                    )
                with gr.Row():
                    start = gr.Button("Run", variant="primary")
                    cancel = gr.Button("Cancel")
            with gr.Column(scale=3, min_width=320):
                status = gr.HTML(bar("Ready", 0.0))
                with gr.Tab("Tracks"):
                    tracks = gr.Video(label="Tracks: moving points in warm colours", autoplay=True, loop=True, interactive=False)
                with gr.Tab("Depth"):
                    depth = gr.Video(label="Depth, one colour range for the whole clip", autoplay=True, loop=True, interactive=False)
                with gr.Tab("Quality"):
                    quality = gr.Markdown("Nothing measured yet.")
                files = gr.File(label="Take away", file_count="multiple", interactive=False)
        outputs = [status, tracks, depth, quality, files, scratch]
        clip.change(describe, clip, found, api_name="inspect", concurrency_limit=None)
        example.click(lambda: str(EXAMPLE), None, clip, api_visibility="private")
        running = start.click(
            run_clip,
            [clip, preset, fov_deg, scratch],
            outputs,
            api_name="run",
            concurrency_id="compute",
            concurrency_limit=1,
            show_progress="hidden",
        )
        cancel.click(lambda: bar("Cancelled", 0.0), None, status, cancels=[running], api_visibility="private")
    return page


if __name__ == "__main__":
    # The first visitor should not wait for compiling; a fresh Space has nothing compiled.
    threading.Thread(target=warm_up, name="warm-up", daemon=True).start()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    build().queue(max_size=20).launch(
        css=CSS, show_error=False, ssr_mode=False, share=False, enable_monitoring=False, max_file_size="300mb", run_history=False
    )
