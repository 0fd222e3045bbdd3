"""The page: bring a clip, see what it is, run, look, measure, take the files away."""

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

import json
import logging
from pathlib import Path
from typing import Any

import gradio as gr

from toolkit.page import texts
from toolkit.page.endpoints import Endpoints
from toolkit.page.frames import FILES_HTML, SCENE_HTML, SCENE_JS
from toolkit.page.handlers import Handlers
from toolkit.page.scratch import IDLE_S, LEFT_S, Scratch
from toolkit.page.stages import line
from toolkit.page.studio import Studio

MAX_FILE = "300 MB"
COMPUTE: dict[str, Any] = {"concurrency_id": "compute", "concurrency_limit": 1, "show_progress": "hidden"}
LIGHT: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private", "show_progress": "hidden"}
SYSTEM_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]
THEME = gr.themes.Soft(primary_hue="indigo", font=SYSTEM_FONTS, font_mono=["ui-monospace", "monospace"])
LOOK = Path(texts.__file__).with_name("look.css")
WAITING_JS = f"() => {json.dumps(line(texts.WAITING))}"


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio: layout, and which handler answers what."""
    do = Handlers(studio)
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, int(IDLE_S))) as page:
        gr.Markdown(texts.WELCOME)
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                gr.Markdown(texts.BRING)
                upload = gr.File(label=texts.UPLOAD.format(size=MAX_FILE), file_count="multiple", height=130, elem_id="upload")
                examples = gr.Gallery(
                    do.posters(),
                    label=texts.EXAMPLES,
                    columns=2,
                    height="auto",
                    allow_preview=False,
                    object_fit="cover",
                    elem_id="examples",
                )
                found = gr.HTML(do.nothing_yet(), elem_id="found")
                pair = gr.Image(label=texts.PAIR, visible=False, interactive=False, buttons=["fullscreen"])
                gr.Markdown(texts.CHOOSE)
                kind = gr.Radio([(title, name) for name, (title, _) in texts.KINDS.items()], value="found", label=texts.KIND)
                method = gr.Radio(do.method_choices([]), label=texts.METHOD, visible=False)
                preset = gr.Radio(do.preset_choices({}), value="normal", label=texts.PRESET, info=texts.PRESET_INFO)
                with gr.Accordion(texts.POINTS, open=False) as picking:
                    gr.Markdown(texts.POINTS_HOW)
                    picture = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="picking")
                    frame = gr.Slider(0, 1, 0, step=1, label=texts.FRAME)
                    with gr.Row():
                        undo, clear = gr.Button(texts.UNDO, size="sm"), gr.Button(texts.CLEAR, size="sm")
                    points = gr.Textbox("", label=texts.PASTE, lines=3, max_lines=8, elem_id="points")
                    paste = gr.Button(texts.PASTE_DO, size="sm")
                with gr.Accordion(texts.ADVANCED, open=False):
                    frames = gr.Number(None, label=texts.FRAMES, info=texts.FRAMES_INFO, precision=0, minimum=1)
                    settings = gr.Textbox("", label=texts.SETTINGS, info=texts.SETTINGS_INFO, lines=2, elem_id="settings")
                    explained = gr.Markdown(elem_classes="l4-small")
                with gr.Row():
                    start = gr.Button(texts.RUN, variant="primary", elem_id="run")
                    cancel = gr.Button(texts.CANCEL, elem_id="cancel")
            with gr.Column(scale=3, min_width=340):
                status = gr.HTML(line(texts.READY), elem_id="status")
                with gr.Tabs():
                    with gr.Tab(texts.TAB_TRACKS):
                        tracks = gr.Video(label=texts.TRACKS, autoplay=True, loop=True, interactive=False, elem_id="tracks")
                        stabilise = gr.Checkbox(False, label=texts.STABILISE)
                    with gr.Tab(texts.TAB_DEPTH):
                        depth = gr.Video(label=texts.DEPTH, autoplay=True, loop=True, interactive=False, elem_id="depth")
                    with gr.Tab(texts.TAB_SCENE):
                        scene = gr.HTML(None, html_template=SCENE_HTML, js_on_load=SCENE_JS, empty=texts.NO_SCENE, elem_id="scene")
                        gr.Markdown(texts.SCENE, elem_classes="l4-small")
                    with gr.Tab(texts.TAB_CAMERAS):
                        cameras = gr.Image(label=texts.CAMERAS, interactive=False, elem_id="cameras", buttons=["fullscreen", "download"])
                        fly = gr.Video(label=texts.FLY, autoplay=True, loop=True, interactive=False, elem_id="fly")
                    with gr.Tab(texts.TAB_QUALITY):
                        quality = gr.Markdown(texts.NOTHING_MEASURED, elem_id="quality")
                    with gr.Tab(texts.TAB_MEASURE) as measuring:
                        gr.Markdown(texts.MEASURE_HOW)
                        mode = gr.Radio([(title, name) for name, title in texts.MEASURE_MODES.items()], value="distance", show_label=False)
                        still = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="measure")
                        moment = gr.Slider(0, 1, 0, step=1, label=texts.FRAME)
                        measured = gr.HTML(line(texts.NO_RESULT), elem_id="measured")
                    with gr.Tab(texts.TAB_FILES):
                        files = gr.HTML(None, html_template=FILES_HTML, js_on_load=None, empty=texts.NO_FILES, elem_id="files")
        gr.Markdown(texts.FOOT.format(left=texts.duration(LEFT_S), idle=texts.duration(IDLE_S)), elem_classes="l4-small")

        clip_parts = dict(
            upload=upload, found=found, pair=pair, kind=kind, method=method, preset=preset, frame=frame, picture=picture, points=points,
            explained=explained, settings=settings, status=status,
        )  # fmt: skip
        result_parts = dict(
            status=status, tracks=tracks, depth=depth, scene=scene, cameras=cameras, fly=fly, quality=quality, files=files,
            moment=moment, still=still, measured=measured, stabilise=stabilise,
        )  # fmt: skip
        do.connect({**clip_parts, **result_parts})
        everything = list({**clip_parts, **result_parts}.values())
        chosen = [kind, method, settings]
        upload.upload(do.bring, [upload], list(clip_parts.values()), **LIGHT)
        examples.select(do.open_example, None, everything, **LIGHT)
        kind.input(do.declare, chosen, list(clip_parts.values()), **LIGHT)
        method.input(do.explain, [method], [explained], **LIGHT)
        picking.expand(do.show_frame, [frame, points, *chosen], [picture, status], **LIGHT)
        frame.release(do.show_frame, [frame, points, *chosen], [picture, status], **LIGHT)
        picked = [picture, points, status]
        picture.select(do.click, [points, frame], picked, **LIGHT)
        undo.click(do.undo, [points, frame], picked, **LIGHT)
        clear.click(do.clear, [frame], picked, **LIGHT)
        paste.click(do.paste, [points, frame], picked, **LIGHT)
        running = start.click(None, None, status, js=WAITING_JS, api_visibility="private").then(
            do.run, [*chosen, preset, points, frames], list(result_parts.values()), api_visibility="private", **COMPUTE
        )
        cancel.click(do.cancel, None, status, cancels=[running], **LIGHT)
        stabilise.input(do.stabilise, [stabilise], [tracks, status], api_visibility="private", **COMPUTE)
        measuring.select(do.show_still, [moment], [still, measured], **LIGHT)
        moment.release(do.show_still, [moment], [still, measured], **LIGHT)
        mode.input(do.measure_anew, None, [measured], **LIGHT)
        still.select(do.measure, [moment, mode], [still, measured], **LIGHT)
        page.unload(do.leave)
        Endpoints(studio).add(COMPUTE)
    return page


def launch(*, port: int | None = None, block: bool = True, place: str | None = None, **scratch: float) -> tuple[gr.Blocks, Studio, str]:
    """Opens the page; returns it, its studio and its address (at once unless `block`)."""
    studio = Studio(Scratch(place, **scratch))
    # Gradio serves what lies below this folder to whoever knows its name, and nothing else.
    os.environ["GRADIO_TEMP_DIR"] = str(studio.scratch.root)
    page = build(studio).queue(max_size=20)
    _, url, _ = page.launch(
        server_port=port,
        prevent_thread_lock=not block,
        quiet=not block,
        css_paths=[LOOK],
        theme=THEME,
        max_file_size=MAX_FILE.replace(" ", "").lower(),
        footer_links=["api"],
        show_error=False,
        ssr_mode=False,
        share=False,
        enable_monitoring=False,
        run_history=False,
        mcp_server=os.environ.get("LIFT4D_MCP") == "1",
    )
    return page, studio, url


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    launch()
