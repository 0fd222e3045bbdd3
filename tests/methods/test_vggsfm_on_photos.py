"""The method on real photos with laser-measured cameras, beside COLMAP's own mapping in the same run."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# The method fills every part that is looked at here.

import json

import numpy as np
import pytest

import toolkit as tk
from toolkit.evaluation.cameras import cameras as score
from toolkit.sfm.colmap import load_pycolmap
from toolkit.sfm.registration import poses


@pytest.fixture(scope="module")
def fountain(data):
    folder = data / "sfm_strecha" / "fountain-P11"
    known = json.loads((folder / "cameras_quarter_res.json").read_text())
    names = sorted(known)
    T_wc = np.tile(np.eye(4), (len(names), 1, 1))
    for t, name in enumerate(names):
        T_wc[t, :3, :3] = np.array(known[name]["R_w2c"]).T
        T_wc[t, :3, 3] = known[name]["C_world"]
    # The file counts from the centre of the first pixel.
    K = np.array(known[names[0]]["K"]) + [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    return folder / "images", tk.Cameras.from_poses(K, T_wc, (768, 512))


def _colmap(images, truth, K, place):
    colmap = load_pycolmap()
    reading, mapping = colmap.ImageReaderOptions(), colmap.IncrementalPipelineOptions()
    if K is not None:
        reading.camera_model = "PINHOLE"
        reading.camera_params = ",".join(str(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2]))
        mapping.ba_refine_focal_length = mapping.ba_refine_extra_params = False
    db = place / "database.db"
    colmap.extract_features(db, images, camera_mode=colmap.CameraMode.SINGLE, reader_options=reading, device=colmap.Device.cpu)
    colmap.match_exhaustive(db, device=colmap.Device.cpu)
    model = colmap.incremental_mapping(db, images, place, mapping)[0]
    by_name = {model.image(i).name: i for i in model.reg_image_ids()}
    T_cw = poses(model, max(by_name.values()))[[by_name[p.name] - 1 for p in sorted(images.iterdir())]]
    return score(tk.Cameras.from_poses(truth.K[0], np.linalg.inv(T_cw), (768, 512)), truth)


@pytest.mark.data
@pytest.mark.parametrize("known", [True, False])
def test_the_fountain_is_placed_at_least_as_well_as_by_colmap_alone(fountain, tmp_path, known):
    images, truth = fountain
    K = truth.K[0] if known else None
    ours = score(tk.reconstruct(images, K=K).cameras, truth)
    theirs = _colmap(images, truth, K, tmp_path)
    print("known lens" if known else "unknown lens", ours["auc_5"], ours["ate_extent"], "COLMAP", theirs["auc_5"], theirs["ate_extent"])
    assert ours["registered"] == 1
    assert ours["auc_5"] >= theirs["auc_5"]
    assert ours["ate_extent"] <= (0.0002 if known else 0.0004)
