import json

import cv2
import numpy as np
import pytest

from toolkit import UserError, inspect, run, write_video
from toolkit.geometry.sampling import pixel_centres
from toolkit.media.rig_depth import depth_beside
from toolkit.media.rig_input import opened_rig
from toolkit.media.rig_reading import read_rig
from toolkit.methods import mvtracker_intake
from toolkit.multiview.calibration_check import RigCheck
from toolkit.synthetic.rigs import SyntheticRig, filmed_rig

FRAMES, SIZE = 4, (160, 120)


@pytest.fixture(scope="module")
def rig() -> SyntheticRig:
    return filmed_rig(2, frames=FRAMES, size=SIZE, spread_deg=25.0, points=8)


@pytest.fixture
def folder(rig, tmp_path):
    entries = []
    for v, (video, camera) in enumerate(zip(rig.clip.views, rig.clip.cameras, strict=True)):
        write_video(tmp_path / f"cam{v}.mp4", video.frames, 30.0)
        entries.append({"video": f"cam{v}.mp4", "K": camera.K[0].tolist(), "T_wc": camera.T_wc[0].tolist(), "size": list(SIZE)})
    (tmp_path / "cameras.json").write_text(json.dumps({"cameras": entries}))
    return tmp_path


def millimetres(depth: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(depth), np.clip(1000 * depth, 0, 65535), 0).round().astype(np.uint16)


def true_depth(rig: SyntheticRig, view: int):
    assert rig.clip.depth_m is not None
    return rig.clip.depth_m[view]


def as_npz(rig: SyntheticRig, folder) -> None:
    (folder / "depth").mkdir()
    for v in range(2):
        np.savez_compressed(folder / "depth" / f"cam{v}.npz", depth=true_depth(rig, v))


def as_pictures(rig: SyntheticRig, folder) -> None:
    for v in range(2):
        (folder / f"cam{v}_depth").mkdir()
        for t in range(FRAMES):
            cv2.imwrite(str(folder / f"cam{v}_depth" / f"{t}.png"), millimetres(true_depth(rig, v)[t]))


def as_one_npz_half_as_large(rig: SyntheticRig, folder) -> None:
    half = [millimetres(true_depth(rig, v)[:, None, ::2, ::2]) for v in range(2)]
    np.savez(folder / "depth.npz", cam0=half[0], cam1=half[1])


@pytest.mark.parametrize("written", [as_npz, as_pictures, as_one_npz_half_as_large])
def test_depth_beside_the_views_is_read_in_the_calibrations_unit(rig, folder, written):
    written(rig, folder)
    with opened_rig(folder) as found:
        clip = read_rig(found)
        less = read_rig(found, starts=[1, 1], max_side=80)
    assert clip.depth_m is not None and less.depth_m is not None
    for v in range(2):
        truth = rig.clip.depth_m[v]
        near = np.isfinite(truth) & (truth < 60)
        share = np.nan_to_num(np.abs(clip.depth_m[v][near] / truth[near] - 1), nan=1.0)
        assert np.median(share) < 0.01 and (share < 0.05).mean() > 0.9
        assert less.depth_m[v].shape == (FRAMES - 1, 60, 80)
    source = inspect(folder)
    assert set(source.details["depth"]) == {"cam0", "cam1"} and source.details["depth_fit"] > 0.3
    assert not any("depth" in warning for warning in source.warnings)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda z, K: 1000 * z, "a thousand times smaller than the calibration's"),
        (lambda z, K: z / 1000, "a thousand times larger than the calibration's"),
        (lambda z, K: z * np.sqrt(1 + (((pixel_centres(SIZE) - K[:2, 2]) / K[0, 0]) ** 2).sum(-1)), "the length of the rays"),
    ],
)
def test_depth_in_another_unit_or_along_the_rays_is_told(rig, folder, wrong, told):
    (folder / "depth").mkdir()
    for v in range(2):
        np.savez(folder / "depth" / f"cam{v}.npz", depth=wrong(rig.clip.depth_m[v], rig.clip.cameras[v].K[0]).astype(np.float32))
    assert any(told in warning for warning in inspect(folder).warnings)


def test_a_run_hears_depth_leaves_it_where_that_is_asked_and_tells_what_inspect_would(rig, folder, monkeypatch):
    as_pictures(rig, folder)
    options = {"queries": rig.queries, "progress": lambda event: None, "surroundings": False}
    heard = run(folder, **options)
    assert heard.report["source"]["depth"]["cam1"] == {"file": "cam1_depth", "scale": 0.001}
    monkeypatch.setattr(mvtracker_intake, "check_rig", lambda views: RigCheck(warnings=(f"{views[1].name} does not fit.",)))
    without = run(folder, depth="none", **options).report
    assert "depth" not in without["source"] and "cam1 does not fit." in without["warnings"]
    with pytest.raises(UserError, match="The setting depth is 'maybe', but auto, views or none is needed"):
        run(folder, depth="maybe")


def colours(folder):
    for v in range(2):
        (folder / f"cam{v}_depth").mkdir()
        cv2.imwrite(str(folder / f"cam{v}_depth" / "0.png"), np.zeros((120, 160, 3), np.uint8))


def eight_bits(folder):
    (folder / "cam0_depth").mkdir()
    cv2.imwrite(str(folder / "cam0_depth" / "0.png"), np.zeros((120, 160), np.uint8))


def cut_off(folder):
    (folder / "cam0_depth").mkdir()
    (folder / "cam0_depth" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")


def few(folder):
    np.savez(folder / "cam0_depth.npz", depth=np.ones((FRAMES - 1, 120, 160), np.float32))


def other_shape(folder):
    np.savez(folder / "cam0_depth.npz", depth=np.ones((FRAMES, 120, 120), np.float32))


def flat(folder):
    np.savez(folder / "cam0_depth.npz", depth=np.ones((120, 160), np.float32))


def of_nobody(folder):
    np.savez(folder / "depth.npz", front=np.ones((FRAMES, 120, 160), np.float32))


def empty(folder):
    (folder / "cam0_depth").mkdir()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (colours, "cam0_depth/0.png has 3 channels, but depth has one channel of 16 bits"),
        (eight_bits, "cam0_depth/0.png has 8 bits"),
        (cut_off, "cam0_depth/0.png can't be read; is it cut off"),
        (few, "cam0_depth.npz has 3 frames where its view has 4"),
        (other_shape, "cam0_depth.npz is 120 x 120 px, but its view cam0 is 160 x 120, which is another shape"),
        (flat, r"depth in cam0_depth.npz has shape \(120, 160\)"),
        (of_nobody, r"none of it is named like them \(cam0, cam1\)"),
        (empty, "The folder cam0_depth holds no depth"),
    ],
)
def test_depth_that_can_not_be_used_gets_one_sentence(folder, spoil, told):
    spoil(folder)
    with pytest.raises(UserError, match=told), opened_rig(folder) as found:
        read_rig(found)


def test_depth_of_one_view_alone_is_told(rig, folder):
    np.savez(folder / "cam1_depth.npz", depth=rig.clip.depth_m[1])
    with opened_rig(folder) as found:
        assert "There is depth of some views, but none of cam0." in found.warnings
        clip = read_rig(found)
    assert clip.depth_m is not None and np.isnan(clip.depth_m[0]).all() and np.isfinite(clip.depth_m[1]).any()


def test_a_length_that_is_none_is_refused(folder):
    np.savez(folder / "cam0_depth.npz", depth=np.ones((FRAMES, 120, 160), np.float32))
    with pytest.raises(UserError, match="would be -1 long"):
        depth_beside(folder, ["cam0"], -1.0)
