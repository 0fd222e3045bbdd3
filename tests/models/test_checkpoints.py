"""Files of weights: what is read, what is refused and in which words; nothing in them is executed."""

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from toolkit.errors import UserError
from toolkit.models import checkpoints
from toolkit.models.checkpoints import Published, filled, read_published, read_state

SMALL = Published("the small model", "someone/small", "small.bin", "Small is CC BY-NC 4.0.", prefix="small.", revision="0123abc")


class _Dangerous:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.fixture
def weights():
    return {"small.weight": torch.arange(6.0).view(2, 3), "small.bias": torch.zeros(2), "other.weight": torch.ones(4)}


def network():
    with torch.device("meta"):
        return torch.nn.Linear(3, 2)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {f"module.{k}": v for k, v in s.items()}])
def test_a_published_file_gives_the_weights_of_one_model_without_their_prefix(weights, tmp_path, capsys, wrap):
    torch.save(wrap(weights), tmp_path / "small.bin")
    state = read_published(tmp_path / "small.bin", SMALL)
    assert set(state) == {"weight", "bias"}
    assert torch.equal(filled(network(), state, model="small").weight, weights["small.weight"])
    assert capsys.readouterr().err == "Small is CC BY-NC 4.0.\n"


def test_safetensors_a_folder_and_files_of_old_are_read_too(weights, tmp_path):
    save_file(weights, tmp_path / "x.safetensors")
    assert set(read_published(tmp_path / "x.safetensors", SMALL)) == {"weight", "bias"}
    torch.save(weights, tmp_path / "small.bin", _use_new_zipfile_serialization=False)
    assert set(read_published(tmp_path, SMALL)) == {"weight", "bias"}
    (tmp_path / "small.bin").rename(tmp_path / "alone.pt")
    assert set(read_published(tmp_path, replace(SMALL, also=("alone.pt",)))) == {"weight", "bias"}


def test_code_in_a_file_is_not_executed_and_told(tmp_path, capsys):
    torch.save({"small.weight": _Dangerous()}, tmp_path / "evil.bin")
    with pytest.raises(UserError, match="evil.bin holds Python objects .* nothing of it was loaded"):
        read_published(tmp_path / "evil.bin", SMALL)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.filterwarnings("error")
def test_a_pickle_that_torch_did_not_write_is_refused_without_a_warning_of_torchs(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"weight": 1}))
    with pytest.raises(UserError, match=r"The file x.pkl .*\.$"):
        read_state(tmp_path / "x.pkl")


SPOILT = [b"", b"not weights at all", b"root:x:0:0:root", b"PK\x03\x04 half a zip", np.random.default_rng(0).bytes(4000)]


@pytest.mark.parametrize("content", SPOILT)
@pytest.mark.parametrize("name", ["x.bin", "x.safetensors"])
def test_other_files_are_refused_in_one_sentence(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"The file {name} .*\.$") as told:
        read_state(tmp_path / name)
    assert "\n" not in str(told.value)


def test_a_file_that_was_cut_short_is_refused(weights, tmp_path):
    torch.save(weights, tmp_path / "whole.bin")
    content = (tmp_path / "whole.bin").read_bytes()
    (tmp_path / "half.bin").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="half.bin is no file of weights, or is incomplete"):
        read_state(tmp_path / "half.bin")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([1, 2, 3], tmp_path / "list.bin")
    with pytest.raises(UserError, match="list.bin does not hold named weights of the model, but a list"):
        read_state(tmp_path / "list.bin")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weight": None}, "incomplete: 1 of 2 are missing, the first is weight"),
        ({"weight": None, "bias": None, "conv": torch.zeros(1)}, "none of its 2 names are there; it holds conv, for instance"),
        ({"extra": torch.zeros(1)}, "it has no extra"),
        ({"weight": torch.zeros(3, 2)}, r"weight has shape \(3, 2\), but \(2, 3\) is needed"),
        ({"bias": torch.tensor([0, torch.nan])}, "bias holds numbers that are not finite"),
    ],
)
def test_what_does_not_fit_is_named(change, sentence):
    state = {"weight": np.zeros((2, 3), np.float32), "bias": torch.zeros(2)} | change
    with pytest.raises(UserError, match=sentence):
        filled(network(), {name: value for name, value in state.items() if value is not None}, model="the small model")


def test_half_precision_weights_become_single_and_are_copies(weights):
    state = {"weight": weights["small.weight"].half(), "bias": weights["small.bias"]}
    module = filled(network(), state, model="small")
    state["bias"] += 1
    assert module.weight.dtype == torch.float32 and float(module.bias.sum()) == 0
    assert not module.training and not module.weight.requires_grad


def test_the_hub_is_asked_only_by_name_and_for_a_pinned_revision(weights, tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(checkpoints, "_reach", lambda address: None)

    torch.save(weights, tmp_path / "fetched.bin")
    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append((a, k)) or str(tmp_path / "fetched.bin"))
    read_published("someone/small", SMALL)
    read_published("someone/small", SMALL, revision="v2")
    assert asked == [(("someone/small", "small.bin"), {"revision": "0123abc"}), (("someone/small", "small.bin"), {"revision": "v2"})]
    with pytest.raises(UserError, match="There is no file 'someone/large'; give the path of small.bin or the name 'someone/small'"):
        read_published("someone/large", SMALL)
    assert len(asked) == 2


def test_a_fetched_file_that_is_not_the_published_one_is_not_opened(weights, tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(checkpoints, "_reach", lambda address: None)
    torch.save(weights, tmp_path / "small.bin")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: str(tmp_path / "small.bin"))
    own = hashlib.sha256((tmp_path / "small.bin").read_bytes()).hexdigest()
    assert set(read_published("someone/small", replace(SMALL, sha256=own))) == {"weight", "bias"}
    with pytest.raises(UserError, match="is not the file that was published there"):
        read_published("someone/small", replace(SMALL, sha256="0" * 64))
    read_published("someone/small", replace(SMALL, sha256="0" * 64), revision="v2")  # another commit has other bytes


def test_what_is_fetched_without_a_pinned_revision_is_told(weights, tmp_path, monkeypatch, capsys):
    import huggingface_hub

    monkeypatch.setattr(checkpoints, "_reach", lambda address: None)

    (tmp_path / "45ad").mkdir()
    torch.save(weights, tmp_path / "45ad" / "small.bin")
    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append(k) or str(tmp_path / "45ad" / "small.bin"))
    read_published("someone/small", replace(SMALL, revision=""))
    assert asked == [{"revision": None}]
    assert "the small model was fetched at revision '45ad'" in capsys.readouterr().err


def test_a_hub_that_does_not_answer_is_told_in_one_sentence(monkeypatch):
    import huggingface_hub

    def no_network(*args, **options):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(checkpoints, "_reach", lambda address: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", no_network)
    with pytest.raises(UserError, match=r"small.bin could not be fetched from someone/small \(no route to host\); give the path"):
        read_published("someone/small", SMALL)


def test_without_a_network_that_is_told_at_once_and_the_hubs_client_is_not_asked(monkeypatch):
    import huggingface_hub

    def nobody(address, timeout):
        raise OSError(f"nobody at {address[0]} within {timeout} s")

    monkeypatch.setattr(checkpoints, "getproxies", dict)
    monkeypatch.setattr(checkpoints.socket, "create_connection", nobody)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: pytest.fail("it would try again and again"))
    with pytest.raises(UserError, match=r"small.bin could not be fetched from someone/small \(nobody at .* within 5.0 s\); give the path"):
        read_published("someone/small", SMALL)
