"""The 4D page in a real browser: it opens from disk, plays, asks for nothing, and can be used by mouse, touch and keys."""

# pyright: reportOptionalMemberAccess=false, reportOptionalSubscript=false, reportArgumentType=false, reportCallIssue=false
# Lists and wider numbers are given on purpose: the nouns convert them.

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from toolkit.scene import Cameras, Scene, Tracks3D, Video
from toolkit.views.page import write_page
from toolkit.views.page_display import page_frame

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
SOFTWARE_WEBGL = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
NO_WEBGL = ["--disable-gpu", "--disable-software-rasterizer", "--disable-3d-apis"]


def chromium() -> str:
    """Where a Chromium is, or a skip that says how to get one."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("No Chromium was found: install one (Debian: apt-get install chromium) or name it in CHROMIUM.")
    return found


@pytest.fixture(scope="module")
def browsers():
    with playwright.sync_playwright() as driver:
        launch = driver.chromium.launch
        common = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"]
        found = {
            name: launch(executable_path=chromium(), args=[*common, *args])
            for name, args in (("webgl", SOFTWARE_WEBGL), ("canvas", NO_WEBGL))
        }
        yield found
        for browser in found.values():
            browser.close()


@pytest.fixture(scope="module")
def page_file(room, tmp_path_factory) -> Path:
    return write_page(room, tmp_path_factory.mktemp("page") / "scene.html")


@contextmanager
def opened(browser: Any, path: Path, *, size: tuple[int, int] = (700, 480), address: str = "", **options: Any) -> Iterator[Any]:
    """The page, ready; on leaving, it must have asked for nothing but itself and complained about nothing."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce", **options)
    page, asked, complaints = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
    page.goto(path.as_uri() + address)
    page.wait_for_selector("html[data-ready]", timeout=60_000)
    yield page
    context.close()
    assert [url.split("#")[0] for url in asked if not url.startswith(("blob:", "data:"))] == [path.as_uri()]
    # Reading back its own drawing is slow for a graphics card, which a screenshot does: Chromium says so.
    assert [c for c in complaints if "ReadPixels" not in c and "GPU stall" not in c] == []


def picture(page: Any, name: str = "") -> np.ndarray:
    """What the window shows now, (H, W, 3)."""
    page.wait_for_timeout(400)
    data = page.screenshot()
    if name:
        SCREENSHOTS.mkdir(exist_ok=True)
        (SCREENSHOTS / f"{name}.png").write_bytes(data)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def drawn(image: np.ndarray) -> float:
    """Share of the picture's middle that is neither backdrop nor panel."""
    height, width = image.shape[:2]
    middle = image[height // 8 : -height // 5, int(0.38 * width) :] if width > 600 else image[height // 8 : -height // 5]
    return float((middle.max(-1) > 60).mean())


def pixels_per_metre(page: Any) -> float:
    """By the scale bar."""
    length, unit = page.inner_text("#scale span").split()
    return page.locator("#scale i").bounding_box()["width"] / (float(length) * {"m": 1, "cm": 0.01}[unit])


def moment(page: Any) -> float:
    return float(page.eval_on_selector("#time", "e => e.value"))


@pytest.mark.parametrize("kind", ["webgl", "canvas"])
def test_it_opens_from_disk_shows_the_scene_and_plays(browsers, page_file, kind):
    with opened(browsers[kind], page_file) as page:
        assert page.get_attribute("html", "data-ready") == kind
        assert ("no WebGL" in page.text_content("#notes")) == (kind == "canvas")
        first = picture(page)
        assert drawn(first) > 0.15
        assert moment(page) == 0
        page.click("#play")
        page.wait_for_function("() => Number(document.getElementById('time').value) > 0.1", timeout=30_000)
        page.click("#play")
        # A busy machine may have played to the end and on from the start: a moment that differs from the first one for sure.
        page.eval_on_selector("#time", "e => { e.value = 0.2; e.dispatchEvent(new Event('input')); }")
        later = moment(page)
        end = time.monotonic() + 20  # a busy machine shows a frame some moments after it was drawn
        while np.abs(picture(page).astype(int) - first).max(-1)[:380, 280:].mean() <= 0.5:
            assert time.monotonic() < end, "the picture changed"
        assert moment(page) == later, "paused"


def test_it_plays_when_its_address_says_so_and_stops_at_the_time_bar(browsers, page_file):
    with opened(browsers["canvas"], page_file, address="#play") as page:
        assert page.get_attribute("html", "data-playing") == "yes"
        page.eval_on_selector("#time", "e => { e.value = 0.2; e.dispatchEvent(new Event('input')); }")
        assert page.get_attribute("html", "data-playing") == "no"
        assert page.get_attribute("html", "data-frame") == "5"
        assert "0.20 / 0.40 s" in page.text_content("#clock")
        page.focus("#stage")
        page.keyboard.press("ArrowRight")
        assert page.get_attribute("html", "data-frame") == "6"


def test_the_legend_tells_counts_and_units_and_switches_layers(browsers, page_file, room):
    with opened(browsers["canvas"], page_file, size=(960, 480)) as page:
        words = page.inner_text("#panel")
        assert f"{len(room.points)}" in words and "m/s" in words and "Lengths are in metres." in words
        page.eval_on_selector("#time", "e => { e.value = 0.3; e.dispatchEvent(new Event('input')); }")
        before = picture(page)
        for layer in ("moving", "trails", "surface", "cloud", "camera", "picture"):
            page.uncheck(f"#layer-{layer}")
            after = picture(page)
            assert (after != before)[:, 280:].any(), layer
            before = after
        assert drawn(before) < 0.001
        page.check("#layer-moving")
        shown = picture(page)
        page.select_option("#colour-by", "own")
        assert (picture(page) != shown).any()


@pytest.mark.parametrize("kind", ["webgl", "canvas"])
def test_a_person_says_above_which_motion_level_points_move_and_sees_levels_in_colour(browsers, room, tmp_path, kind):
    """Points on the ball get levels from 0.3 to 0.9; those of the walls stand still for sure."""
    moving = np.flatnonzero(room.tracks_3d.motion > 0.5)
    motion = np.zeros(len(room.tracks_3d), np.float32)
    motion[moving] = np.linspace(0.3, 0.9, len(moving))
    scene = replace(room, tracks_3d=replace(room.tracks_3d, motion=motion), report={"motion_level": "0.5 strays <b>2 px</b>."})

    def told(page: Any) -> tuple[int, int]:
        return int(page.inner_text("#count-moving")), int(page.inner_text("#count-still"))

    with opened(browsers[kind], write_page(scene, tmp_path / "scene.html"), size=(960, 620)) as page:
        assert told(page) == ((motion > 0.5).sum(), (motion <= 0.5).sum())
        assert "0.5 strays <b>2 px</b>." in page.inner_text("#levels")
        for threshold in (0.2, 0.75):
            before = picture(page)
            page.eval_on_selector("#threshold", f"e => {{ e.value = {threshold}; e.dispatchEvent(new Event('input')); }}")
            assert abs(told(page)[0] - (motion > threshold).sum()) <= 1, "levels are told to 1/255"
            assert sum(told(page)) == len(motion) and int(page.inner_text("#count-trails")) == told(page)[0]
            assert page.inner_text("#level") == f"{threshold:.2f}"
            assert (picture(page) != before)[:, 280:].any()
        page.select_option("#colour-by", "level")
        assert "0 still" in page.inner_text("#ticks") and page.is_checked("#layer-still") and not page.is_checked("#layer-cloud")
        for layer in ("surface", "trails", "camera", "picture", "moving"):
            page.uncheck(f"#layer-{layer}")
        blue, _, red = np.moveaxis(picture(page)[:480, 280:].astype(int), -1, 0)
        assert ((blue - red > 40) & (blue > 120)).sum() > 100, "what stands still is cool"
        page.select_option("#colour-by", "speed")
        assert not page.is_checked("#layer-still") and page.is_checked("#layer-cloud")


def test_mouse_turns_moves_and_zooms_and_home_brings_it_back(browsers, page_file):
    with opened(browsers["canvas"], page_file) as page:
        home = picture(page)

        def drag(button: str) -> None:
            page.mouse.move(500, 200)
            page.mouse.down(button=button)
            page.mouse.move(560, 230, steps=3)
            page.mouse.up(button=button)

        acts = {
            "turn": lambda: drag("left"),
            "move": lambda: drag("right"),
            "zoom": lambda: page.mouse.wheel(0, -300),
            "about a point": lambda: page.mouse.dblclick(350, 200),
            "through the camera": lambda: page.click("#through"),
        }
        for name, act in acts.items():
            page.mouse.move(500, 200)
            act()
            assert (picture(page) != home)[:380, 280:].mean() > 0.02, name
            page.click("#reset")
            page.mouse.move(5, 5)
            assert (picture(page) != home)[:380, 280:].mean() < 0.002, name


def test_fingers_turn_and_pinch(browsers, page_file):
    with opened(browsers["canvas"], page_file, size=(390, 700), has_touch=True, is_mobile=True) as page:
        assert not page.eval_on_selector("#panel", "e => e.open"), "a small window is for the scene"
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
        home = picture(page)
        assert drawn(home) > 0.1
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *places: tuple[float, float]) -> None:
            session.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]}
            )

        touch("touchStart", (200, 300))
        touch("touchMove", (240, 320))
        touch("touchEnd")
        turned = picture(page)
        assert (turned != home).mean() > 0.02
        wide = pixels_per_metre(page)
        touch("touchStart", (180, 300), (220, 300))
        touch("touchMove", (120, 300), (280, 300))
        touch("touchEnd")
        picture(page)
        assert pixels_per_metre(page) > 1.5 * wide


@pytest.mark.parametrize("kind", ["webgl", "canvas"])
def test_the_picture_of_a_camera_that_walks_towards_near_things_hides_few_of_them(browsers, tmp_path, kind):
    """Points 1 to 2 m ahead of a camera that walks 3 m: it begins in front of them, seen from behind it."""
    rng, frames = np.random.default_rng(0), 12
    T_wc = np.tile(np.eye(4), (frames, 1, 1))
    T_wc[:, 2, 3] = np.linspace(0, 3, frames)
    cameras = Cameras.from_poses([[260, 0, 128], [0, 260, 128], [0, 0, 1]], T_wc, (256, 256))
    ahead = rng.uniform([-0.5, -0.5, 1.0], [0.5, 0.5, 2.0], (300, 3))
    paths = ahead[:, None] + T_wc[None, :, :3, 3]
    seen, ones = np.ones(paths.shape[:2], bool), np.ones(300, np.float32)
    tracks = Tracks3D(paths, seen, np.zeros((300, 3), np.uint8), ones)
    scene = Scene(cameras, tracks_3d=tracks, video=Video.from_frames(np.full((frames, 256, 256, 3), 120, np.uint8)))
    with opened(browsers[kind], write_page(scene, tmp_path / "scene.html"), size=(840, 640)) as page:

        def warm() -> int:
            blue, _, red = np.moveaxis(picture(page, f"scene_walk_{kind}").astype(int), -1, 0)
            return int((red - blue > 90)[: -picture(page).shape[0] // 6].sum())

        shown = warm()
        page.eval_on_selector("#layer-picture", "e => { e.checked = false; e.dispatchEvent(new Event('change')); }")
        assert shown > 1000 and shown > 0.85 * warm()


@pytest.mark.parametrize("width", [1440, 390])
def test_screenshots_of_a_desktop_and_a_phone(browsers, page_file, width):
    with opened(browsers["webgl"], page_file, size=(width, 900 if width > 600 else 844)) as page:
        page.eval_on_selector("#time", "e => { e.value = 0.3; e.dispatchEvent(new Event('input')); }")
        assert drawn(picture(page, f"scene_{width}")) > 0.15
        for name in ("#play", "#time", "#rate", "#reset", "#through"):
            box = page.locator(name).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["height"] >= 30, name


def test_a_lost_graphics_card_comes_back(browsers, page_file):
    with opened(browsers["webgl"], page_file, size=(400, 300)) as page:
        before = picture(page)
        page.evaluate("() => { window.lost = document.getElementById('stage').getContext('webgl2').getExtension('WEBGL_lose_context'); }")
        page.evaluate("() => lost.loseContext()")
        page.wait_for_timeout(300)
        page.evaluate("() => lost.restoreContext()")
        page.wait_for_timeout(500)
        assert (picture(page) != before).mean() < 0.01


def test_it_plays_inside_a_frame_that_may_do_nothing_but_run(browsers, page_file, tmp_path):
    outer = tmp_path / "outer.html"
    outer.write_text("<!doctype html><html data-ready='yes'><body>" + page_frame(page_file.read_text(encoding="utf-8")), encoding="utf-8")
    with opened(browsers["canvas"], outer) as page:
        frame = page.frame_locator("iframe")
        frame.locator("html[data-ready='canvas']").wait_for(timeout=60_000)
        frame.locator("#play").click()
        frame.locator("html[data-playing='yes']").wait_for()


def test_scenes_that_lack_parts_are_drawn(browsers, room, tmp_path):
    still = replace(room.tracks_3d, motion=np.zeros(len(room.tracks_3d), np.float32))
    poseless = replace(room.cameras, T_wc=np.full_like(room.cameras.T_wc, np.nan))
    scenes = {
        "tracks alone": Scene(tracks_3d=room.tracks_3d, unit="relative", method="x"),
        "all still": replace(room, tracks_3d=still),
        "a cloud alone": Scene(points=room.points, method="x"),
        "no poses": replace(room, cameras=poseless, tracks_2d=None),
        "cameras alone": Scene(cameras=room.cameras, method="x"),
    }
    for name, scene in scenes.items():
        with opened(browsers["canvas"], write_page(scene, tmp_path / "scene.html")) as page:
            image = picture(page)
            assert (image[:380, 280:].max(-1) > 60).sum() > 50, name
            if name == "tracks alone":
                assert "the scale is not known" in page.text_content("#panel")
            if name == "a cloud alone":
                assert page.is_disabled("#play") and page.is_disabled("#through")
