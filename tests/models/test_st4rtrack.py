"""The published two-view network: its layers and, where all golden files are at hand, whole pairs; files with code in them are refused."""

import argparse
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from tests.models.st4rtrack_weights import listed, seeded_array  # noqa: E402
from toolkit.errors import UserError  # noqa: E402
from toolkit.models.st4rtrack import PublishedPairPointmap, _completed, linear_head, pair_cost  # noqa: E402
from toolkit.models.st4rtrack_blocks import DecoderBlock, EncoderBlock, rotated  # noqa: E402


@pytest.fixture(scope="module")
def shapes(golden):
    return listed(golden / "st4rtrack" / "state_dict.txt")


def _module(module, prefix, shapes):
    state = {name[len(prefix) + 1 :]: shape for name, shape in shapes.items() if name.startswith(prefix + ".")}
    module.load_state_dict({name: torch.from_numpy(seeded_array(f"{prefix}.{name}", shape)) for name, shape in state.items()})
    return module.eval()


def test_every_weight_has_its_published_name_and_shape(shapes):
    with torch.device("meta"):
        network = PublishedPairPointmap()
    mine = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    known, tied = shapes
    assert mine == {name: shape for name, shape in known.items() if name not in tied}
    assert sum(int(np.prod(shape)) for shape in mine.values()) == 571_171_208


def test_either_spelling_of_tied_weights_and_a_missing_second_decoder_are_taken():
    state = {"dec_blocks.0.norm1.weight": 1, "downstream_head1.dpt.scratch.layer_rn.2.weight": 2}
    found = _completed(state)
    assert found["dec_blocks2.0.norm1.weight"] == 1 and found["downstream_head1.dpt.scratch.layer3_rn.weight"] == 2


def test_rotary_positions_equal_the_published_ones(golden):
    with np.load(golden / "st4rtrack" / "net_rope.npz") as f:
        found = rotated(torch.from_numpy(f["tokens"]), torch.from_numpy(f["pos_yx"]))
        assert np.abs(found.numpy() - f["rotated"]).max() <= 2e-6


def test_the_simpler_head_equals_the_published_one(golden):
    with np.load(golden / "st4rtrack" / "net_linear_head.npz") as f:
        for k in (1, 2):
            weight, bias = (
                torch.from_numpy(seeded_array(f"downstream_head{k}.proj.{name}", shape))
                for name, shape in (("weight", (1024, 768)), ("bias", (1024,)))
            )
            points, confidence = linear_head(torch.from_numpy(f[f"tokens_{k}"]), weight, bias, 3, 4)
            assert np.allclose(points.numpy(), f[f"pts3d_{k}"], rtol=2e-5, atol=2e-5)
            assert np.allclose(confidence.numpy(), f[f"conf_{k}"], rtol=2e-5, atol=2e-5)


def test_blocks_equal_the_published_ones_where_the_smallest_number_of_a_norm_decides(golden, shapes):
    with np.load(golden / "st4rtrack" / "net_units.npz") as f, torch.inference_mode():
        positions = torch.from_numpy(f["pos_yx"])
        block = _module(EncoderBlock(1024), "enc_blocks.7", shapes[0])
        found = block(torch.from_numpy(f["enc_blocks.7/x"]), positions)
        assert np.abs(found.numpy() - f["enc_blocks.7/out"]).max() <= 2e-5
        for name in ("dec_blocks.3", "dec_blocks2.3"):
            block = _module(DecoderBlock(768), name, shapes[0])
            found = block(torch.from_numpy(f[f"{name}/x"]), torch.from_numpy(f[f"{name}/memory"]), positions, positions)
            assert np.abs(found.numpy() - f[f"{name}/out"]).max() <= 2e-5


class _Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/never",))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (lambda path: torch.save({"model": {}, "args": _Evil()}, path), "would have to be executed; nothing of it was loaded"),
        (lambda path: path.write_bytes(pickle.dumps({"a": 1})), "would have to be executed|no file of weights"),
        (lambda path: torch.save({"model": {"a.weight": torch.ones(2)}, "args": argparse.Namespace(model="X()")}, path), "none of its"),
        (lambda path: path.write_text("hello"), "no file of weights"),
    ],
)
def test_files_with_code_or_of_another_model_are_refused(tmp_path, content, told):
    path = tmp_path / "checkpoint.pth"
    content(path)
    with pytest.raises(UserError, match=told):
        PublishedPairPointmap.from_pretrained(path)


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        PublishedPairPointmap.from_pretrained(tmp_path / "none.pth")
    with torch.device("meta"):
        network = PublishedPairPointmap()
    with pytest.raises(UserError, match="multiples of 16"):
        network(torch.zeros(1, 3, 40, 48), torch.zeros(1, 3, 48, 48))


def test_the_estimate_follows_the_counted_operations():
    assert pair_cost((256, 256), 10).seconds == pytest.approx(10 * 551 / 90, rel=0.05)
    assert pair_cost((512, 288), 1).seconds == pytest.approx(1240 / 90, rel=0.05)


def _all_files():
    folder = Path(os.environ.get("LIFT4D_GOLDEN", "")) / "st4rtrack_net"
    if not (folder / "case_a.npz").is_file():
        pytest.skip("LIFT4D_GOLDEN does not name the folder of all golden files")
    return folder


@pytest.mark.data
def test_whole_pairs_equal_the_published_ones(shapes):
    """2.3 GB of seeded weights; half a minute."""
    folder = _all_files()
    with torch.device("meta"):
        network = PublishedPairPointmap(parity=True)
    network.load_state_dict({name: torch.from_numpy(seeded_array(name, shapes[0][name])) for name in network.state_dict()}, assign=True)
    network.eval()
    for case in "abcde":
        with np.load(folder / f"case_{case}.npz") as f, torch.inference_mode():
            step = 4 if case == "e" else 1
            if case == "e":
                images = [
                    torch.from_numpy(
                        ((f[k].astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)).transpose(0, 3, 1, 2).copy()
                    )
                    for k in ("img1_u8", "img2_u8")
                ]
            else:
                images = [torch.from_numpy(f[k]) for k in ("img1", "img2")]
            shapes_of = [torch.from_numpy(f[k]) if k in f.files else None for k in ("true_shape1", "true_shape2")]
            found = network(*images, *shapes_of, landscape=case == "d")
            for name in ("pts3d_1", "conf_1", "pts3d_2", "conf_2"):
                want = f[f"out/{name}" + ("[:, ::4, ::4]" if case == "e" else "")]
                assert np.allclose(found[name].numpy()[:, ::step, ::step], want, rtol=2e-5, atol=2e-5), (case, name)
            if case == "d":  # as it is used, a portrait picture gets its own grid's positions
                network.parity = False
                right = network(*images, *shapes_of, landscape=True)
                network.parity = True
                for name in ("pts3d_1", "conf_1"):
                    native = f[f"pair1_native_{name}"] if f"pair1_native_{name}" in f.files else None
                    if native is not None:
                        mine = right[name][1].numpy()
                        mine = mine if mine.shape == native[0].shape else np.swapaxes(mine, 0, 1)
                        assert np.allclose(mine, native[0], rtol=2e-5, atol=2e-5)
