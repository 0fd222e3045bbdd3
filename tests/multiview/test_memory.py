"""Long clips of several cameras in the memory of short ones."""

import subprocess
import sys

CODE = """
import cv2
import numpy as np

from toolkit.disk_arrays import TOGETHER, large_empty, let_go
from toolkit.memory import peak_mb
from toolkit.multiview.tracking import track_views
from toolkit.scene import Cameras, MultiViewVideo, Video

SIZE = (320, 240)
cv2.setNumThreads(1)
wall = cv2.resize(np.random.default_rng(0).integers(0, 255, (100, 160, 3), np.uint8), (640, 400), interpolation=cv2.INTER_CUBIC)
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def told(frames):
    # A wall at 3 m that goes to and fro, before four cameras half a metre apart: 50 px.
    views, cameras = [], []
    for v in range(4):
        pictures = large_empty((frames, SIZE[1], SIZE[0], 3), np.uint8)
        for t in range(frames):
            x = 150 - abs(t % 24 - 12) + 50 * v
            pictures[t] = wall[80 : 80 + SIZE[1], x : x + SIZE[0]]
            if not t % TOGETHER:
                let_go()
        views.append(Video(pictures, np.arange(frames) / 30))
        T_wc = np.eye(4)
        T_wc[0, 3] = 0.5 * v
        cameras.append(Cameras.from_poses(K, np.tile(T_wc, (frames, 1, 1)), SIZE))
    queries = np.array([[0, 0.4, -0.3, 3], [0, 0.8, 0.1, 3], [0, 1.1, 0.3, 3]], np.float32)
    found = track_views(MultiViewVideo(tuple(views), tuple(cameras)), queries).tracks_3d
    print(np.isfinite(found.xyz[:, -1]).mean(), peak_mb())


told(24)
told({frames})
"""


def test_five_times_the_frames_take_hardly_more_memory():
    done = subprocess.run([sys.executable, "-c", CODE.replace("{frames}", "120")], capture_output=True, text=True, check=True)
    (known, short), (known_long, long) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert known > 0.9 and known_long > 0.9
    assert long - short < 40, "pictures and what is made of them are 190 MB more"
