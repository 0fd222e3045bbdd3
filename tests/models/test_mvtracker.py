"""MVTracker against outputs of the published implementation."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.models.mvtracker_weights import arrays, network, state_of, views
from toolkit.errors import UserError
from toolkit.models.checkpoints import count_of
from toolkit.models.mvtracker import MVTracker
from toolkit.models.mvtracker_cloud import WIDE, FeatureCloud, View, in_unit_range
from toolkit.models.mvtracker_published import published_predictor, published_resized
from toolkit.models.mvtracker_update import MOVED, place_encoding, time_encoding

# Ten times the published code's own difference between float32 and float64: places, chances.
TOLERANCE = {"a": (1e-3, 2e-2), "b": (1e-5, 1e-4), "c": (1e-5, 1e-5), "d": (1e-5, 1e-4)}
INSIDE = 1e-4


@pytest.fixture(scope="module")
def published(golden):
    return network(golden, True)


def apart(found, wanted):
    assert found.shape == wanted.shape
    return float(np.abs(np.asarray(found, np.float64) - wanted).max())


def test_the_seeded_weights_are_those_of_the_golden_outputs(golden):
    digest = hashlib.sha256(b"".join(array.tobytes() for array in state_of(golden).values()))
    assert digest.hexdigest() == "1d14beb26964d4bf3bc6c78282b00aeda4384abe2fa3b517c91fd1e3c897339d"


def test_names_and_shapes_of_the_weights_are_the_published_ones(golden, published):
    assert {name: tuple(value.shape) for name, value in published.state_dict().items()} == {
        name: value.shape for name, value in state_of(golden).items()
    }
    assert count_of(published) == 22_607_356


@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_places_and_chances_are_as_published(golden, published, case):
    given, wanted = arrays(golden, f"case_{case}_inputs"), arrays(golden, f"case_{case}_outputs")
    xyz, chance = published.track(*views(given), given["query_points"], iters=int(given["iters"]))
    places, chances = TOLERANCE[case]
    assert apart(xyz, wanted["traj_exactknn"]) <= places
    assert apart(chance, wanted["vis_exactknn"]) <= chances


def test_what_passes_through_both_windows_is_as_published(golden, published, monkeypatch):
    given, wanted = arrays(golden, "case_a_inputs"), arrays(golden, "case_a_iters1_tokens")
    # The published sort leaves queries of one frame in any order.
    ours = np.argsort(given["query_points"][:, 0], kind="stable")
    order = [int(np.flatnonzero(ours == i)[0]) for i in wanted["sort_inds"]]
    refine, found = type(published).refine, []

    def refine_from_there(self, clouds, xyz, features, visible, asked, **options):
        """The second window starts where the published one did: the embedding turns its last digits into visible numbers."""
        w, rows = len(found), order[: len(xyz)]
        start = torch.from_numpy(wanted[f"coords_init_w{w}"]).transpose(0, 1)[np.argsort(rows)]
        assert apart(xyz.numpy(), start.numpy()) <= INSIDE and apart(visible.T[:, rows].numpy(), wanted[f"vis_init_w{w}"]) <= INSIDE
        assert apart(asked.T[:, rows].numpy(), wanted[f"mask_w{w}"]) == 0
        result = refine(self, clouds, start, features, visible, asked, **options)
        place = place_encoding(start[:, :1]) + time_encoding(len(clouds))
        found.append((tokens[w][rows].numpy(), place[rows].numpy(), result.steps[-1][rows].numpy(), result.visible[rows].numpy()))
        return result

    tokens = []
    monkeypatch.setattr(type(published), "refine", refine_from_there)
    hook = published.updateformer.register_forward_hook(lambda module, inputs, output: tokens.append(inputs[0]))
    try:
        xyz, chance = published.track(*views(given), given["query_points"], iters=1)
    finally:
        hook.remove()
    assert [len(into) for into in tokens] == wanted["p_idx_end_list"].tolist()
    for w, (into, place, places, logits) in enumerate(found):
        assert apart(ties_swapped(into - place, wanted[f"uf_in_w{w}"] - place), wanted[f"uf_in_w{w}"] - place) <= INSIDE
        with torch.inference_mode():
            out = published.updateformer(torch.from_numpy(wanted[f"uf_in_w{w}"]))
        assert apart(out.numpy(), wanted[f"uf_out_w{w}"]) <= INSIDE
        assert apart(places.transpose(1, 0, 2), wanted[f"coords_w{w}"]) <= INSIDE
        assert apart(logits.T, wanted[f"vis_logits_w{w}"]) <= 1e-3  # one swap below reaches all tracks
    assert apart(xyz, wanted["traj"]) <= INSIDE and apart(chance, wanted["vis"]) <= INSIDE


def ties_swapped(into, wanted):
    """Tokens whose neighbours of the same distance to seven digits come in the published order; there is one such pair."""
    into, swaps = into.copy(), 0
    for track, slot in np.argwhere((np.abs(into - wanted) > INSIDE).any(-1)):
        near = into[track, slot, MOVED : MOVED + WIDE].reshape(-1, 4)
        first = int(np.flatnonzero(np.abs(near - wanted[track, slot, MOVED : MOVED + WIDE].reshape(-1, 4)).max(1) > INSIDE)[0])
        distance = np.linalg.norm(near[first : first + 2, 1:].astype(np.float64), axis=1)
        assert abs(distance[0] - distance[1]) < 1e-6
        near[[first, first + 1]] = near[[first + 1, first]]
        swaps += 1
    assert swaps <= 1
    return into


def test_the_encoder_the_clouds_and_the_neighbourhoods_are_as_published(golden, published):
    given, wanted = arrays(golden, "case_c_inputs"), arrays(golden, "case_c_intermediates")
    images, depths, intrs, extrs = views(given)
    moments = [[View(images[v, t], depths[v, t, 0], intrs[v, t], extrs[v, t]) for v in range(2)] for t in range(12)]
    asked = given["query_points"][np.argsort(given["query_points"][:, 0], kind="stable")]
    with torch.inference_mode():
        assert apart(in_unit_range(moments[0][0], published.fnet).numpy(), wanted["fnet_in"]) <= 1e-6
        for i, (v, t) in enumerate(((0, 0), (0, 11), (1, 0))):
            assert apart(published.fnet(in_unit_range(moments[t][v], published.fnet))[0].numpy(), wanted["fnet_out"][i]) <= INSIDE
        clouds = [FeatureCloud(published.fnet, moment, published=True) for moment in moments]
        for level in range(4):
            for i, t in enumerate((0, 11)):
                points = clouds[t].levels[level]
                assert points is not None and apart(points.xyz.numpy(), wanted[f"pc_xyz_l{level}"][i]) <= INSIDE
        features = torch.stack([clouds[int(q[0])].feature_at(torch.from_numpy(q[None, 1:]))[0] for q in asked])
        assert apart(features.numpy(), wanted["feat_init"][0, 0]) <= INSIDE
        for t, cloud in enumerate(clouds):
            around = cloud.around(torch.from_numpy(asked[:, 1:]), features).view(16, 4, 16, 4)
            for level in range(4):
                assert apart(around[:, level].numpy(), wanted[f"corr_l{level}"][t]) <= INSIDE


def test_the_published_predictor_is_met(golden, published):
    given, wanted = arrays(golden, "case_d_predictor_inputs"), arrays(golden, "case_d_predictor_outputs")
    images, depth, K = published_resized(given["rgbs"], given["depths"], given["intrs"], (128, 96))
    assert images.shape == (3, 9, 3, 96, 128)
    assert apart(K, wanted["model_intrs"]) <= 1e-4 and apart(depth[:, 0], wanted["model_depths0"]) == 0
    xyz, visible, chance = published_predictor(published, *views(given), given["query_points"], size=(128, 96), iters=2)
    places, chances = TOLERANCE["d"]
    assert apart(xyz, wanted["traj_exactknn"]) <= places and apart(chance, wanted["visprob_exactknn"]) <= chances
    assert np.array_equal(visible, wanted["vis_exactknn"])


def test_a_published_checkpoint_is_read_and_its_licence_told(golden, published, tmp_path, capsys):
    weights = {f"model.{name}": value for name, value in published.state_dict().items()}
    torch.save({"model": weights, "total_steps": 200000}, tmp_path / "mvtracker_200000_june2025.pth")
    loaded = MVTracker.from_pretrained(tmp_path)
    assert not loaded.parity and torch.equal(
        loaded.state_dict()["vis_predictor.0.weight"], published.state_dict()["vis_predictor.0.weight"]
    )
    assert "Apache-2.0" in capsys.readouterr().err
    weights.pop("model.ffeats_norm.bias")
    save_file({name: value.clone() for name, value in weights.items()}, tmp_path / "part.safetensors")
    with pytest.raises(UserError, match="weights of MVTracker are incomplete: 1 of 323 are missing, the first is ffeats_norm.bias"):
        MVTracker.from_pretrained(tmp_path / "part.safetensors")
    with pytest.raises(
        UserError, match="no file 'mv.pth'; give the path of mvtracker_200000_june2025.pth or the name 'ethz-vlg/mvtracker'"
    ):
        MVTracker.from_pretrained("mv.pth")


def test_images_in_0_to_1_and_other_shapes_are_refused(golden, published):
    images, depths, intrs, extrs = views(arrays(golden, "case_c_inputs"))
    with pytest.raises(UserError, match="numbers up to 0.97, but 0 to 255 is needed"):
        published.track(images / np.float32(255), depths, intrs, extrs, [[0, 0, 0, 1]])
    with pytest.raises(UserError, match=r"depths have shape \(2, 12, 96, 128\), but \(2, 12, 1, 96, 128\) is needed"):
        published.track(images, depths[:, :, 0], intrs, extrs, [[0, 0, 0, 1]])
    with pytest.raises(UserError, match=r"extrinsics have shape \(2, 12, 3, 3\)"):
        published.track(images, depths, intrs, extrs[..., :3], [[0, 0, 0, 1]])


def test_the_checkpoint_that_is_fetched_by_name_is_pinned_and_known_to_the_bit():
    assert len(MVTracker.published.revision) == 40 and len(MVTracker.published.sha256) == 64
    assert "Apache-2.0" in MVTracker.published.licence
