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
import signal
import sys
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from toolkit.page import cards, health, logs, texts
from toolkit.page.bringing import Bringing, preset_choices
from toolkit.page.desk import Desk
from toolkit.page.endpoints import Endpoints
from toolkit.page.frames import FILES_HTML, SCENE_HTML, SCENE_JS
from toolkit.page.measuring import Measuring
from toolkit.page.pointing import Pointing
from toolkit.page.presence import Presence
from toolkit.page.requests import Understood, tell_in_sentences
from toolkit.page.running import Running
from toolkit.page.scratch import IDLE_S, LEFT_S, Scratch
from toolkit.page.showing import Showing
from toolkit.page.stages import line
from toolkit.page.studio import Studio

MAX_FILE = "300 MB"
COMPUTE: dict[str, Any] = {"concurrency_id": "compute", "concurrency_limit": 1, "show_progress": "hidden"}
LIGHT: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private", "show_progress": "hidden"}
FONTS = {"font": ["ui-sans-serif", "system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
LOOK = Path(texts.__file__).with_name("look.css")
# On a phone the results are below all controls; elsewhere they stay beside them.
TO_RESULT_JS = "() => { if (innerWidth < 760) document.querySelector('#status').scrollIntoView({behavior: 'smooth'}) }"
WAITING_JS = f"() => {{ ({TO_RESULT_JS})(); return {json.dumps(line(texts.WAITING))} }}"
# Gradio makes what is in a folded part only when that is unfolded, and then once more writes the first values into it: over those that
# were typed meanwhile. So the parts are made unfolded, out of sight, and folded in the browser once they are there.
FOLD_JS = """() => {
  setTimeout(() => document.body.classList.add('l4-folded'), 300);
  return [{__type__: 'update', open: false}, {__type__: 'update', open: false}];
}"""
SMALL = "l4-small"


def build(studio: Studio) -> gr.Blocks:
    """The page of a studio: its layout, and which handler answers what."""
    desk = Desk(studio)
    bringing, pointing, measuring = Bringing(desk), Pointing(desk), Measuring(desk)
    running, showing = Running(desk, pointing), Showing(desk, bringing)
    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, int(IDLE_S))) as page:
        gr.Markdown(texts.WELCOME)
        with gr.Row():
            with gr.Column(scale=2, min_width=340):
                gr.Markdown(texts.BRING)
                gr.Markdown(texts.UPLOAD.format(size=MAX_FILE), elem_classes=SMALL)
                upload = gr.File(show_label=False, file_count="multiple", height=150, elem_id="upload")
                examples = gr.Gallery(
                    [(str(example.poster), example.title) for example in desk.examples],
                    show_label=False,
                    columns=2,
                    height="auto",
                    allow_preview=False,
                    object_fit="cover",
                    interactive=False,
                    buttons=[],
                    visible=bool(desk.examples),
                    elem_id="examples",
                )
                found = gr.HTML(cards.quiet_card(texts.NOTHING_YET), elem_id="found")
                pair = gr.Image(show_label=False, visible=False, interactive=False, buttons=["fullscreen"], elem_id="pair")
                gr.Markdown(texts.CHOOSE)
                kinds = [(title, name) for name, (title, _) in texts.KINDS.items()]
                kind = gr.Dropdown(kinds, value="found", label=texts.KIND, elem_id="kind")
                method = gr.Radio([], label=texts.METHOD, visible=False, elem_id="method")
                preset = gr.Radio(preset_choices({}), value="normal", label=texts.PRESET, info=texts.PRESET_INFO, elem_id="preset")
                with gr.Accordion(texts.POINTS, elem_id="picks", elem_classes="l4-fold") as picking:
                    gr.Markdown(texts.POINTS_HOW, elem_classes=SMALL)
                    picture = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="picking")
                    frame = gr.Slider(0, 1, 0, step=1, label=texts.FRAME, elem_id="frame")
                    with gr.Row():
                        undo, clear = gr.Button(texts.UNDO, size="sm"), gr.Button(texts.CLEAR, size="sm")
                    points = gr.Textbox("", label=texts.PASTE, lines=3, max_lines=8, elem_id="points")
                    paste = gr.Button(texts.PASTE_DO, size="sm")
                with gr.Accordion(texts.ADVANCED, elem_id="advanced", elem_classes="l4-fold") as advanced:
                    frames = gr.Number(0, label=texts.FRAMES, info=texts.FRAMES_INFO, precision=0, minimum=0, elem_id="frames")
                    settings = gr.Textbox("", label=texts.SETTINGS, info=texts.SETTINGS_INFO, lines=2, elem_id="settings")
                    explained = gr.Markdown(elem_classes=SMALL)
                with gr.Row():
                    start = gr.Button(texts.RUN, variant="primary", elem_id="run")
                    cancel = gr.Button(texts.CANCEL, elem_id="cancel")
            with gr.Column(scale=3, min_width=340, elem_id="results"):
                status = gr.HTML(line(texts.READY), elem_id="status")
                with gr.Tabs(selected="scene", elem_id="tabs"):
                    with gr.Tab(texts.TAB_TRACKS):
                        tracks_told = gr.Markdown(texts.TRACKS, elem_classes=SMALL, elem_id="tracks-told")
                        tracks = _video("tracks")
                        stabilise = gr.Checkbox(False, label=texts.STABILISE, elem_id="stabilise")
                    with gr.Tab(texts.TAB_DEPTH):
                        depth_told = gr.Markdown(texts.DEPTH, elem_classes=SMALL, elem_id="depth-told")
                        depth = _video("depth")
                    with gr.Tab(texts.TAB_SCENE, id="scene"):
                        scene = gr.HTML(None, html_template=SCENE_HTML, js_on_load=SCENE_JS, empty=texts.NO_SCENE, elem_id="scene")
                        with gr.Accordion(texts.FLY, open=False):
                            fly = _video("fly")
                    with gr.Tab(texts.TAB_CAMERAS):
                        cameras_told = gr.Markdown(texts.CAMERAS, elem_classes=SMALL, elem_id="cameras-told")
                        cameras = gr.Image(show_label=False, interactive=False, buttons=["fullscreen", "download"], elem_id="cameras")
                    with gr.Tab(texts.TAB_QUALITY):
                        quality = gr.Markdown(texts.NOTHING_MEASURED, elem_id="quality")
                    with gr.Tab(texts.TAB_MEASURE) as measure:
                        modes = [(title, name) for name, title in texts.MEASURE_MODES.items()]
                        mode = gr.Radio(modes, value="distance", show_label=False, container=False, elem_id="mode")
                        measured = gr.HTML(line(texts.NO_RESULT), elem_id="measured")
                        still = gr.Image(show_label=False, interactive=False, buttons=[], elem_id="measure")
                        moment = gr.Slider(0, 1, 0, step=1, label=texts.FRAME, elem_id="moment")
                    with gr.Tab(texts.TAB_FILES) as take_away:
                        partly = gr.Markdown(texts.WITHOUT_FILES, elem_classes=SMALL, visible=False)
                        files = gr.HTML(None, html_template=FILES_HTML, js_on_load=None, empty=texts.NO_FILES, elem_id="files")
        gr.Markdown(texts.FOOT.format(left=texts.duration(LEFT_S), idle=texts.duration(IDLE_S)), elem_classes=SMALL)

        Endpoints(studio).add(COMPUTE)  # first: names are given to those who come first
        clip_parts = dict(
            upload=upload, found=found, pair=pair, kind=kind, method=method, preset=preset, frame=frame, picture=picture, points=points,
            explained=explained, settings=settings, status=status, picking=picking, advanced=advanced,
        )  # fmt: skip
        view_parts = dict(
            tracks=tracks, depth=depth, scene=scene, cameras=cameras, fly=fly, quality=quality, files=files, partly=partly,
            moment=moment, still=still, measured=measured, stabilise=stabilise,
            tracks_told=tracks_told, depth_told=depth_told, cameras_told=cameras_told,
        )  # fmt: skip
        # A part in a tab that is not in front loses its value with the next event that names it, changed or not. So the views are
        # outputs of one event alone, which follows when this number rises.
        result = gr.State(0)
        desk.parts = {**clip_parts, **view_parts, "result": result}
        result.change(showing.views, None, list(view_parts.values()), **LIGHT)
        take_away.select(showing.offer_all, None, [files, status], **LIGHT)
        chosen = [kind, method, settings]
        upload.upload(bringing.bring, upload, list(clip_parts.values()), **LIGHT)
        page.load(None, None, [picking, advanced], js=FOLD_JS, api_visibility="private")
        page.load(showing.open_first, None, [status, result], **LIGHT).then(showing.describe_example, None, [quality, cameras], **LIGHT)
        opened = examples.select(showing.open_example, None, [status, result, found, pair, settings], **LIGHT)
        opened.then(None, js=TO_RESULT_JS)
        described = opened.then(showing.describe_example, None, [quality, cameras], **LIGHT)
        described.then(showing.look_at_example, None, list(clip_parts.values()), **LIGHT)
        kind.input(bringing.declare, chosen, list(clip_parts.values()), **LIGHT)
        method.input(bringing.explain, method, [explained, preset, frame, found], **LIGHT)
        frames.change(bringing.limit, [frames, method], [preset, found], trigger_mode="always_last", **LIGHT)
        picked = [picture, points, status]
        for shown in (picking.expand, frame.input):
            shown(pointing.show_frame, [frame, points, *chosen], [picture, status], trigger_mode="always_last", **LIGHT)
        picture.select(pointing.click, points, picked, **LIGHT)
        undo.click(pointing.undo, points, picked, **LIGHT)
        clear.click(pointing.clear, None, picked, **LIGHT)
        paste.click(pointing.paste, points, picked, **LIGHT)
        told = start.click(None, None, status, js=WAITING_JS, api_visibility="private")
        asked = [*chosen, preset, points, frames]
        told = told.then(running.asked, None, None, **LIGHT)
        run = told.then(running.run, asked, [status, result, found], api_visibility="private", **COMPUTE)
        run.failure(running.refused, None, status, **LIGHT)
        cancel.click(running.cancel, None, status, cancels=[run], **LIGHT)
        stabilise.input(showing.stabilise, stabilise, [tracks, status], api_visibility="private", **COMPUTE)
        for shown in (measure.select, moment.input):
            shown(measuring.show_still, moment, [still, measured], trigger_mode="always_last", **LIGHT)
        mode.input(measuring.anew, None, measured, **LIGHT)
        still.select(measuring.measure, [moment, mode], [still, measured], **LIGHT)
        page.unload(running.leave)
    return page


def _video(name: str) -> gr.Video:
    """A place for a result video, which plays by itself, again and again."""
    return gr.Video(show_label=False, autoplay=True, loop=True, interactive=False, buttons=["download"], elem_id=name)


def launch(*, port: int | None = None, block: bool = True, place: str | None = None, **scratch: float) -> tuple[gr.Blocks, Studio, str]:
    """Opens the page; returns it, its studio and its address (at once unless `block`)."""
    studio = Studio(Scratch(place, **scratch))
    # Gradio serves what lies below this folder to whoever knows its name, and nothing else.
    os.environ["GRADIO_TEMP_DIR"] = str(studio.scratch.root)
    page = build(studio).queue(max_size=20)
    tell_in_sentences(page)
    studio.scratch.anybody_waits = lambda: len(page._queue) > 0
    if block:
        studio.crew.warm_up()
    try:
        _, url, _ = page.launch(
            server_port=port,
            prevent_thread_lock=not block,
            quiet=not block,
            css_paths=[LOOK],
            theme=gr.themes.Soft(primary_hue="indigo", **FONTS),  # type: ignore[reportPrivateImportUsage]
            max_file_size=MAX_FILE.replace(" ", "").lower(),
            footer_links=["api"],
            show_error=False,
            ssr_mode=False,
            share=False,
            enable_monitoring=False,
            run_history=False,
            app_kwargs={
                "routes": [health.route(studio, lambda: len(page._queue))],
                "middleware": [Middleware(Understood), Middleware(Presence, scratch=studio.scratch)],
            },
            mcp_server=os.environ.get("LIFT4D_MCP") == "1",
            _frontend=False,  # Gradio's own look at the page would end it where the machine is so busy that it takes three seconds
        )
    finally:
        if block:
            studio.close()
    return page, studio, url


if __name__ == "__main__":
    logs.set_up()
    # A Space is stopped by this signal: what visitors brought goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    launch()
