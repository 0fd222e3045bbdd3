"""The page in a real browser: what a person clicks through, from a clip to the files; screenshots of all of it."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import toolkit as tk
from tests.sfm import photo_set
from toolkit.page import texts
from toolkit.page.scratch import Visitor
from toolkit.page.studio import Studio

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
HOW = "a browser: put Chromium on the PATH (Debian: apt-get install chromium fonts-dejavu-core) and pip install -r requirements-dev.txt"
HARMLESS = ("WebGPU", "GPU stall due to ReadPixels", "Method not implemented")
PATIENCE_MS = 120_000
"""Two busy cores that also draw WebGL in software are slow."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    program = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    required = os.environ.get("LIFT4D_BROWSER") == "required"
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        (pytest.fail if required else pytest.skip)(f"These tests need {HOW}.")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


class Person:
    """Somebody at the page; what the browser had to say is kept."""

    def __init__(self, browser, url: str, width: int = 1440, height: int = 1000) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
        self.page.set_default_timeout(PATIENCE_MS)
        self.foreign: list[str] = []
        self.errors: list[str] = []
        own = (url, "data:", "blob:", "about:")
        self.page.on("request", lambda r: None if r.url.startswith(own) else self.foreign.append(r.url))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("response", lambda r: self.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        self.page.goto(url, wait_until="load")
        self.page.locator("#run").wait_for()
        self.page.locator("#scene iframe").wait_for()  # the first example is on show

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def status(self) -> str:
        return self.page.locator("#status").inner_text()

    def until_done(self) -> str:
        self.page.locator("#status .l4-line.good, #status .l4-line.poor").wait_for()
        return self.status()

    def until(self, so: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE_MS / 1000
        while not so():
            assert time.monotonic() < end, f"not in time: {what}"
            self.page.wait_for_timeout(100)

    def run_begun(self, studio: Studio, before: set[Path]) -> Visitor:
        """Presses Run; the visitor whose page this is, with the run in work."""
        self.page.locator("#run").click()

        def mine() -> list[Visitor]:
            return [v for v in list(studio.scratch._visitors.values()) if v.folder not in before and "clip" in v.kept and v.job is not None]

        self.until(lambda: bool(mine()), "the run is in work")
        return mine()[0]

    def shot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.evaluate("() => scrollTo(0, 0)")  # what stays in sight beside the controls would else hang at the bottom
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    def scene(self) -> np.ndarray:
        """The pixels of the 4D view, once there is something in it."""
        from playwright.sync_api import Error as PlaywrightError

        view = self.page.locator("#scene iframe")
        self.page.frame_locator("#scene iframe").locator("canvas").first.wait_for()
        end = time.monotonic() + PATIENCE_MS / 1000
        while True:
            try:
                view.scroll_into_view_if_needed()
                pixels = np.asarray(Image.open(io.BytesIO(view.screenshot())).convert("RGB"))
                if not_blank(pixels) or time.monotonic() > end:
                    return pixels
            except PlaywrightError as error:  # a new scene took the old one's place at that moment
                if "not attached" not in str(error) or time.monotonic() > end:
                    raise
            self.page.wait_for_timeout(250)

    def leave(self) -> None:
        self.page.close()
        assert self.foreign == [], "no request to any other host"
        assert [e for e in self.errors if not any(word in e for word in HARMLESS)] == [], "no error in the console"


@pytest.fixture
def person(browser, served):
    somebody = Person(browser, served.url)
    somebody.page.wait_for_timeout(500)
    yield somebody
    somebody.leave()


def not_blank(pixels: np.ndarray) -> bool:
    """Whether a picture shows more than one thing."""
    return len(np.unique(pixels.reshape(-1, 3) // 16, axis=0)) > 40 and pixels.std() > 8


def test_an_example_is_open_in_the_4d_view_soon_after_the_page(browser, served):
    began = time.monotonic()
    somebody = Person(browser, served.url)
    pixels = somebody.scene()
    took_s = time.monotonic() - began
    somebody.shot("1440-example-4d")
    assert not_blank(pixels)
    assert took_s < 60, "ten seconds on two idle cores"
    view = somebody.page.frame_locator("#scene iframe")
    html = view.locator("html")
    if html.get_attribute("data-playing") == "yes":
        view.locator("#play").click()
    somebody.page.wait_for_timeout(300)
    time_before, stopped = view.locator("#time").input_value(), somebody.scene()
    somebody.page.wait_for_timeout(600)
    assert view.locator("#time").input_value() == time_before, "it stands still"
    view.locator("#play").click()
    somebody.until(lambda: view.locator("#time").input_value() != time_before, "time passes once Play is pressed")
    somebody.until(lambda: bool((somebody.scene() != stopped).mean() > 0.001), "things move once Play is pressed")
    somebody.page.locator("#examples .thumbnail-item").nth(1).click()
    somebody.page.locator("#found", has_text="stereo pair").wait_for()
    somebody.shot("1440-example-room")
    somebody.tab(texts.TAB_MEASURE)
    picture = somebody.page.locator("#measure img")
    picture.wait_for()
    box = picture.bounding_box()
    assert box is not None
    for x, y in ((0.35, 0.8), (0.6, 0.85)):
        picture.click(position={"x": x * box["width"], "y": y * box["height"]})
        somebody.page.locator("#measured").get_by_text(re.compile(f"{texts.MEASURE_FIRST}| m apart")).wait_for()
    somebody.page.locator("#measured", has_text=" m apart").wait_for()
    somebody.shot("1440-example-measure")
    somebody.leave()


def test_a_clip_becomes_files_by_clicks_alone(person, served, clip, tmp_path):
    page = person.page
    person.shot("1440-start")
    person.tab(texts.TAB_TRACKS)
    page.set_input_files("#upload input[type=file]", clip)
    page.locator("#found .l4-meter").wait_for()
    assert "VR180" in page.locator("#found").inner_text()
    assert page.locator("#found .l4-name").inner_text() == clip.name
    page.locator("#pair img").wait_for()
    assert "about" in page.locator("#preset").inner_text(), "seconds and memory are told before the run"
    page.locator("#preset").get_by_text("Draft · ").click()
    page.locator("#advanced button").first.click()
    page.locator("#settings textarea").fill("grid = (32, 32)")
    person.shot("1440-clip")
    page.locator("#run").click()
    page.locator("#status .l4-stage.now").wait_for()
    seen = set()
    while not page.locator("#status .l4-line.good, #status .l4-line.poor").count():
        seen |= {name for name in page.locator("#status .l4-name").all_inner_texts()}
        if len(seen) == 4:
            person.shot("1440-running")
        page.wait_for_timeout(100)
    assert len(seen) >= 4, f"a bar a stage was seen: {seen}"
    assert "Done" in person.status(), person.status()
    page.locator("#tracks video").wait_for()
    page.wait_for_function("() => document.querySelector('#tracks video').readyState >= 2")
    person.shot("1440-tracks")
    person.tab(texts.TAB_DEPTH)
    page.wait_for_function("() => document.querySelector('#depth video')?.readyState >= 2")
    person.shot("1440-depth")
    person.tab(texts.TAB_SCENE)
    assert not_blank(person.scene()), "the 4D view is drawn"
    person.shot("1440-4d")
    person.tab(texts.TAB_CAMERAS)
    page.locator("#cameras img").wait_for()
    person.shot("1440-cameras")
    person.tab(texts.TAB_QUALITY)
    assert "rows of the two eyes" in page.locator("#quality").inner_text()
    person.shot("1440-quality")
    person.tab(texts.TAB_FILES)
    person.shot("1440-files")
    with page.expect_download() as download:
        page.locator("#files a.all").click()
    target = tmp_path / "all.zip"
    download.value.save_as(target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        name = next(name for name in archive.namelist() if name.endswith("scene.npz"))
        archive.extract(name, tmp_path)
    assert tk.load(tmp_path / name).frames == 6


def test_what_is_typed_as_soon_as_a_part_is_unfolded_stays_there_however_busy_the_browser_is(person):
    page = person.page
    page.wait_for_function("() => document.body.classList.contains('l4-folded')")
    slowly = "f => draw(() => setTimeout(() => f(performance.now()), 700))"
    page.evaluate(f"() => {{ const draw = requestAnimationFrame.bind(window); window.requestAnimationFrame = {slowly} }}")
    assert not page.locator("#frames input").is_visible() and not page.locator("#points textarea").is_visible()
    page.locator("#advanced button").first.click()
    page.locator("#frames input").fill("30")
    page.locator("#settings textarea").fill("fov_deg = 70")
    page.wait_for_timeout(1500)
    assert page.locator("#frames input").input_value() == "30"
    assert page.locator("#settings textarea").input_value() == "fov_deg = 70"


def test_a_zip_of_photos_becomes_cameras_and_points_in_the_4d_view(browser, served, tmp_path):
    with zipfile.ZipFile(tmp_path / "corner.zip", "w") as archive:
        for n, photo in enumerate(photo_set.photograph(photo_set.cameras())):
            picture = io.BytesIO()
            Image.fromarray(photo).save(picture, "PNG")
            archive.writestr(f"corner/view{n}.png", picture.getvalue())
    somebody = Person(browser, served.url, 390, 844)
    page = somebody.page
    page.set_input_files("#upload input[type=file]", tmp_path / "corner.zip")
    page.locator("#found .l4-found", has_text="6 photos").wait_for()
    page.locator("#pair img").wait_for()
    assert "vggsfm" in page.locator("#method").inner_text() and "about" in page.locator("#preset").inner_text()
    page.locator("#preset").get_by_text("Draft · ").click()
    page.locator("#advanced button").first.click()
    page.locator("#settings textarea").fill("max_features = 1200\ndense = False")
    page.locator("#run").click()
    assert "Done" in somebody.until_done(), somebody.status()
    somebody.tab(texts.TAB_SCENE)
    assert not_blank(somebody.scene())
    view = page.frame_locator("#scene iframe")
    assert "the scale is not known" in view.locator("#panel").text_content()
    somebody.shot("390-photos-4d")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.wait_for_timeout(500)
    somebody.shot("1440-photos-4d")
    somebody.tab(texts.TAB_TRACKS)
    page.wait_for_function("() => document.querySelector('#tracks video')?.readyState >= 2")
    somebody.shot("1440-photos-tracks")
    somebody.tab(texts.TAB_FILES)
    names = set(page.locator("#files a b").all_inner_texts())
    assert {"reprojections.mp4", "transforms_photos.json", "points.ply", "cameras.tum"} <= names
    with page.expect_download() as download:
        page.locator("#files a.all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {"colmap/sparse/0/cameras.bin", "colmap/undistorted/sparse/0/images.txt"} <= set(archive.namelist())
        archive.extract("scene.npz", tmp_path)
    scene = tk.load(tmp_path / "scene.npz")
    assert scene.cameras is not None and scene.cameras.registered.all() and scene.points is not None and len(scene.points) > 200
    somebody.leave()


def test_points_are_clicked_on_any_frame_taken_back_and_pasted(person, clip):
    page = person.page
    page.set_input_files("#upload input[type=file]", clip)
    page.locator("#found .l4-meter").wait_for()
    page.locator("#picks button").first.click()
    picture, points = page.locator("#picking img"), page.locator("#points textarea")
    picture.wait_for()
    box = picture.bounding_box()
    assert box is not None

    def click_at(x: float, y: float, lines: int) -> None:
        # Nobody clicks on a picture before it is there, and one that is still being fetched has no pixels to click on.
        page.wait_for_function("() => { const i = document.querySelector('#picking img'); return i.complete && i.naturalWidth > 0; }")
        picture.click(position={"x": x * box["width"], "y": y * box["height"]})
        page.wait_for_function(f"() => document.querySelector('#points textarea').value.split('\\n').filter(l => l).length == {lines}")

    click_at(0.25, 0.5, 1)
    t, x, y = (float(v) for v in points.input_value().split(","))
    assert t == 0 and abs(x - 128) < 3 and abs(y - 256) < 3, "pixels of the result's video, whatever the size on screen"
    page.locator("#frame input[type=number]").fill("3")
    before = picture.get_attribute("src")
    page.locator("#frame input[type=number]").press("Enter")
    page.wait_for_function("old => document.querySelector('#picking img').src != old", arg=before)
    click_at(0.5, 0.5, 2)
    assert points.input_value().splitlines()[1].startswith("3,")
    person.shot("1440-points")
    page.get_by_role("button", name=texts.UNDO, exact=True).click()
    page.wait_for_function("() => !document.querySelector('#points textarea').value.includes('\\n')")
    points.fill("t,x,y\n2,10,20\n99,1,1")
    page.get_by_role("button", name=texts.PASTE_DO).click()
    page.locator("#status .l4-line.poor", has_text="frame 99").wait_for()
    page.get_by_role("button", name=texts.CLEAR, exact=True).click()
    page.wait_for_function("() => document.querySelector('#points textarea').value == ''")


def test_cancel_frees_the_place_within_two_seconds(browser, served, clip, wait_for):
    before = {v.folder for v in list(served.studio.scratch._visitors.values())}
    person = Person(browser, served.url)
    page = person.page
    page.set_input_files("#upload input[type=file]", clip)
    page.locator("#found .l4-meter").wait_for()
    page.locator("#preset").get_by_text("Fine · ").click()  # long enough to be still in work
    visitor = person.run_begun(served.studio, before)
    page.locator("#status .l4-stage.now").wait_for()
    worker = visitor.job
    assert worker is not None
    page.locator("#cancel").click()
    wait_for(lambda: visitor.job is None and not worker.alive, 2, "the place is free")
    page.locator("#status", has_text=texts.CANCELLED).wait_for()
    kept = [Path(visitor.kept["result"])]
    wait_for(lambda: list(visitor.folder.glob("run-*")) == kept, 2, "what was shown before is kept, and nothing else")
    person.leave()


def test_a_file_that_cannot_be_used_gets_a_sentence_on_the_page(person, tmp_path):
    (tmp_path / "holiday.mp4").write_text("not a video " * 100)
    person.page.set_input_files("#upload input[type=file]", tmp_path / "holiday.mp4")
    person.page.locator("#found .problem", has_text="holiday.mp4 is not a video").wait_for()
    person.shot("1440-problem")


def test_a_flat_clip_declared_vr180_is_told_so_before_anything_is_computed(person, tmp_path):
    rng = np.random.default_rng(0)
    flat = np.kron(rng.integers(0, 255, (24, 32, 3), np.uint8), np.ones((10, 20, 1), np.uint8))
    tk.write_video(tmp_path / "flat.mp4", np.stack([np.roll(flat, 3 * i, axis=1) for i in range(4)]), 30)
    page = person.page
    page.set_input_files("#upload input[type=file]", tmp_path / "flat.mp4")
    page.locator("#found .l4-found").wait_for()
    page.locator("#kind input").click()
    page.get_by_role("option", name=texts.KINDS["vr180-sbs"][0]).click()
    page.locator("#found .l4-meter.poor, #found .l4-note", has_text="the eyes").first.wait_for()
    card = page.locator("#found").inner_text()
    assert texts.METER_NONE in card or texts.METER_POOR in card, card


def test_run_on_the_page_as_it_opens_runs_the_example_on_show_and_its_status_is_in_sight(browser, served, wait_for):
    before = {v.folder for v in list(served.studio.scratch._visitors.values())}
    somebody = Person(browser, served.url, 1440, 900)
    page = somebody.page
    page.locator("#run").scroll_into_view_if_needed()
    visitor = somebody.run_begun(served.studio, before)
    page.locator("#status .l4-stage.now").wait_for()
    box = page.locator("#status").bounding_box()
    assert box is not None and 0 <= box["y"] and box["y"] + box["height"] <= 900, "where the run is can be seen without scrolling"
    assert "A street in VR180" in page.locator("#found").inner_text()
    somebody.page.screenshot(path=SCREENSHOTS / "1440-run-pressed.png")
    page.locator("#cancel").click()
    page.locator("#status", has_text=texts.CANCELLED).wait_for()
    wait_for(lambda: visitor.job is None, 20, "the place is free")
    somebody.leave()


def controls(page) -> list[str]:
    """What is chosen on the page, and what its card says."""
    preset = page.locator("#preset input:checked").evaluate("input => input.value")
    return [page.locator("#kind input").input_value(), preset, page.locator("#found").inner_text(), page.locator("#status").inner_text()]


def test_no_control_is_emptied_by_a_handler_that_has_nothing_to_say(browser, served):
    somebody = Person(browser, served.url)
    page = somebody.page
    page.locator("#kind input").click()
    page.get_by_role("option", name=texts.KINDS["vr180-sbs"][0]).click()
    page.wait_for_timeout(1500)
    kind, preset, card, status = controls(page)
    assert (kind, preset) == (texts.KINDS["vr180-sbs"][0], "normal") and texts.NOTHING_YET in card and "Opened" in status
    visitor = somebody.run_begun(served.studio, set())
    page.locator("#status .l4-stage.now").wait_for()
    page.locator("#examples .thumbnail-item").nth(1).click()
    page.wait_for_timeout(1500)
    kind, preset, card, _ = controls(page)
    assert (kind, preset) == (texts.KINDS["vr180-sbs"][0], "normal") and "A street in VR180" in card
    for _ in range(3):
        page.locator("#cancel").click()
        page.locator("#status", has_text=texts.CANCELLED).wait_for()
        page.wait_for_timeout(1500)
        assert texts.CANCELLED in somebody.status(), "it says so for good"
        page.locator("#run").click()
        page.locator("#status .l4-stage.now").wait_for()
    page.locator("#cancel").click()
    somebody.until(lambda: visitor.job is None, "the place is free")
    somebody.leave()


def test_the_example_of_four_cameras_says_what_it_is(person):
    person.page.locator("#examples .thumbnail-item").nth(3).click()
    person.page.locator("#found .l4-found", has_text="several cameras").wait_for()
    person.page.locator("#pair img").wait_for()
    card = person.page.locator("#found").inner_text()
    assert texts.SEVERAL not in card and "does not fit" not in card
    assert "not a video" not in card and "layout=" not in card


def test_a_shipped_result_offers_every_file_and_all_of_them_as_one_zip(person, tmp_path):
    person.tab(texts.TAB_FILES)
    person.page.get_by_text(texts.WITHOUT_FILES).wait_for()
    person.page.locator("#files a.all").wait_for()
    names = set(person.page.locator("#files a b").all_inner_texts())
    files = {"scene.npz", "scene.html", "tracks.mp4", "points.ply", "cameras.tum", "transforms.json", "tracks.glb", "tracks.csv"}
    assert files | {"manifest.json"} <= names
    with person.page.expect_download() as download:
        person.page.locator("#files a.all").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None
        told = json.loads(archive.read("manifest.json"))["files"]
        assert files | {"depth", "images", "colmap"} <= set(told)
        for name, notes in told.items():
            hashes = {name: notes["sha256"]} if isinstance(notes["sha256"], str) else {f"{name}/{p}": h for p, h in notes["sha256"].items()}
            assert all(hashlib.sha256(archive.read(part)).hexdigest() == digest for part, digest in hashes.items())
    person.shot("1440-example-files")
    person.tab(texts.TAB_SCENE)
    assert not_blank(person.scene()), "the views stay as they were"


def test_the_page_is_useful_on_a_phone(browser, served):
    somebody = Person(browser, served.url, 390, 844)
    width = somebody.page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= 390, "nothing sticks out sideways"
    assert not_blank(somebody.scene())
    view = somebody.page.frame_locator("#scene iframe")
    bar, slider, home = (view.locator(name).bounding_box() for name in ("#bar", "#time", "#reset"))
    assert bar is not None and slider is not None and home is not None
    assert slider["width"] >= 140 and home["x"] + home["width"] <= bar["x"] + bar["width"]
    somebody.shot("390-4d")
    assert somebody.page.locator("#tabs [role=tablist] [role=tab]").count() == 7, "no tab is behind three dots"
    somebody.tab(texts.TAB_QUALITY)
    assert somebody.page.locator("#quality td").nth(1).bounding_box()["width"] >= 240, "no word of the report is broken"  # type: ignore[index]
    somebody.shot("390-quality")
    somebody.page.locator("#examples .thumbnail-item").first.click()
    somebody.tab(texts.TAB_TRACKS)
    somebody.page.locator("#tracks video").wait_for()
    somebody.page.locator("#found .l4-meter").wait_for()
    somebody.shot("390-tracks")
    somebody.page.locator("#advanced button").first.click()
    somebody.page.locator("#advanced td").nth(2).scroll_into_view_if_needed()
    meaning = somebody.page.locator("#advanced td").nth(2).bounding_box()
    assert meaning is not None and meaning["width"] >= 240, "what a setting means has room for sentences"
    somebody.shot("390-settings")
    assert somebody.page.evaluate("() => document.documentElement.scrollWidth") <= 390
    somebody.leave()


def test_an_example_waits_for_a_run_and_a_closed_tab_frees_its_place_and_its_files(browser, served, clip, wait_for):
    before = {v.folder for v in list(served.studio.scratch._visitors.values())}
    somebody = Person(browser, served.url)
    somebody.page.set_input_files("#upload input[type=file]", clip)
    somebody.page.locator("#found .l4-meter").wait_for()
    somebody.page.locator("#preset").get_by_text("Fine · ").click()
    visitor = somebody.run_begun(served.studio, before)
    if visitor.job is not None:
        visitor.job.process.send_signal(signal.SIGSTOP)  # so that it is still in work below, however quick
    somebody.page.locator("#examples .thumbnail-item").nth(1).click()
    somebody.page.get_by_text(texts.BUSY).wait_for()
    somebody.shot("1440-busy")
    somebody.leave()
    wait_for(lambda: visitor.job is None, 20, "the run stopped")
    wait_for(lambda: not visitor.folder.exists(), 20, "the files are gone")


def test_the_server_is_connected_to_nobody_outside(served):
    """Its sockets, and those of its workers: all ends are on this machine."""
    import psutil

    ends, port = [], int(served.url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a worker may end while it is asked
                ends += [c.raddr.ip for c in process.net_connections("inet") if c.raddr]
    assert ends, "one connection at least is seen"
    local = {"127.0.0.1", "::1", "::ffff:127.0.0.1", socket.gethostbyname(socket.gethostname())}
    assert set(ends) <= local
