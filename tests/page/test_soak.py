"""Ten runs in a row by three visitors at a time: none lost, none mixed up, memory flat; some minutes long (LIFT4D_SOAK=1)."""

import os
import threading

import pytest
from gradio_client import Client, handle_file

import toolkit as tk
from toolkit.soak.page_process import opened_page, used

RUNS = 10
FLAT_MB = 150


@pytest.mark.skipif(os.environ.get("LIFT4D_SOAK") != "1", reason="ten runs take minutes; LIFT4D_SOAK=1 asks for them")
def test_ten_runs_by_three_visitors_at_a_time(clip, tmp_path):
    frames = tk.read_video(clip).frames
    lock, todo, memory_mb, faults = threading.Lock(), list(range(RUNS)), [], []

    def visit(url: str, count: int) -> None:
        path = tk.write_video(tmp_path / f"{count}" / "clip.mp4", frames[:count], 30)
        client = Client(url, verbose=False)
        while True:
            with lock:
                if not todo:
                    return
                todo.pop()
            job = client.submit([handle_file(path)], "auto", "draft", [], {"grid": [24, 24]}, api_name="/run")
            told, _, files = job.result(timeout=900)
            scene = tk.load(next(name for name in files if name.endswith("scene.npz")))
            with lock:
                memory_mb.append(used(process, place)["memory_mb"])
                if (told["frames"], scene.frames) != (count, count):
                    faults.append((count, told["frames"], scene.frames))

    for count in (4, 5, 6):
        (tmp_path / f"{count}").mkdir()
    place = tmp_path / "page"
    with opened_page(place) as (url, process):
        visitors = [threading.Thread(target=visit, args=(url, count)) for count in (4, 5, 6)]
        for visitor in visitors:
            visitor.start()
        for visitor in visitors:
            visitor.join()
    assert faults == [] and len(memory_mb) == RUNS
    print("memory of the page and its workers after each run, MB:", [round(mb) for mb in memory_mb])
    assert all(abs(mb - memory_mb[1]) < FLAT_MB for mb in memory_mb[2:])
