"""Files of weights: found, read without running code from them, checked against a network name by name, their licence told."""

from __future__ import annotations

import hashlib
import math
import pickle
import socket
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

from toolkit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    Network = TypeVar("Network", bound=nn.Module)

State = Mapping[str, Any]
"""Names to tensors or numpy arrays."""

_HARMLESS_PREFIXES = ("module.",)  # of torch.nn.DataParallel
ANSWERS_IN_S = 5.0  # a hub that can be reached at all does so in a tenth of it
_NESTED_UNDER = ("state_dict", "model", "model_state_dict")


@dataclass(frozen=True)
class Published:
    """Weights that somebody published and a person may bring; none of them are part of this product.

    Attributes:
        name: Of the model, for a person.
        repository: On the Hugging Face hub.
        file: Its file there, the one that is fetched.
        licence: Terms of the weights, one sentence.
        prefix: What the names of this model's weights begin with in the published file.
        also: Other files with the same weights, looked for in a folder.
        revision: The commit that is fetched; empty where none is pinned: then the newest is, and which one it was is told.
        sha256: Of the file of that commit, in hexadecimal digits; empty where it is not known.
    """

    name: str
    repository: str
    file: str
    licence: str
    prefix: str = ""
    also: tuple[str, ...] = ()
    revision: str = ""
    sha256: str = ""


class FromPublished:
    """What networks share whose weights somebody published: to be inherited beside `torch.nn.Module`.

    Attributes:
        published: Which weights these are.
        parity: Whether the published code is followed where it is wrong.
    """

    published: ClassVar[Published]
    parity: bool

    @classmethod
    def from_state_dict(cls, state: State, *, parity: bool = False) -> Self:
        """The network with these weights.

        Args:
            state: The published names, with or without `published.prefix`; tensors or arrays.
            parity: Whether the published code is followed where it is wrong; the class says where.

        Raises:
            UserError: if a name or shape differs.
        """
        import torch

        with torch.device("meta"):
            network: Any = cls()
        network.parity = parity
        return filled(network, below(state, cls.published.prefix), model=cls.published.name)

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, revision: str | None = None, parity: bool = False) -> Self:
        """The network with the published weights that a person has, or that are fetched when asked for by name.

        Their licence is told on the standard error stream.

        Args:
            name_or_path: A published checkpoint (`published.file`, or one of `published.also`), a .safetensors file with the same names, a
                folder with one of them, or `published.repository` to fetch it.
            revision: Which commit is fetched; None for the pinned one, or where none is pinned for the newest, which is then told.
            parity: As in `from_state_dict`.

        Raises:
            UserError: if the file is not there, not a file of weights, or of another model.
        """
        return cls.from_state_dict(read_published(name_or_path, cls.published, revision=revision), parity=parity)


def read_published(name_or_path: str | Path, published: Published, *, revision: str | None = None) -> dict[str, Tensor]:
    """The weights of one model out of a file on disk, or from the hub when asked for by the repository's name.

    The licence is told on the standard error stream.

    Args:
        name_or_path: A file, a folder with it, or `published.repository`.
        published: What is expected.
        revision: Commit, tag or branch on the hub; None for the pinned one.

    Raises:
        UserError: no such file, one that is no file of weights or runs code, or a hub that does not answer.
    """
    state = read_state(find_published(name_or_path, published, revision=revision), prefix=published.prefix, model=published.name)
    print(published.licence, file=sys.stderr)
    return state


def find_published(name_or_path: str | Path, published: Published, *, revision: str | None = None) -> Path:
    """The file with the weights of one model, fetched from the hub when asked for by the repository's name; as `read_published`.

    Raises:
        UserError: no such file, or a hub that does not answer.
    """
    path = Path(name_or_path).expanduser()
    if str(name_or_path) == published.repository and not path.is_file():
        path = _fetched(published, revision)
    if path.is_dir():
        path = next((path / name for name in (published.file, *published.also) if (path / name).is_file()), path)
    if not path.is_file():
        raise UserError(
            f"There is no file {str(name_or_path)!r}; give the path of {published.file} or the name {published.repository!r} to fetch it."
        )
    return path


def read_state(path: Path, *, prefix: str = "", model: str = "the model") -> dict[str, Tensor]:
    """Tensors of a .safetensors file or of one that torch.save wrote, those below `prefix` where any are, without it.

    Nothing in the file is executed: torch reads it with `weights_only=True`.

    Raises:
        UserError: if it cannot be read so.
    """
    import torch

    if path.suffix == ".safetensors":
        return _read_safetensors(path, prefix, model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a pickle that torch did not write, before it is refused in our own words
            try:
                found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError as error:  # files of the time before zip cannot be mapped
                if "mmap" not in str(error):
                    raise
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise UserError(
                f"The file {path.name} holds Python objects beside the weights of {model}, which would have to be executed; "
                "nothing of it was loaded: save its state dict alone, or as .safetensors."
            ) from error
        raise UserError(f"The file {path.name} is no file of weights ({_first_line(error)}).") from error
    # Of bytes that are none of torch's, its unpickler takes any for an instruction, which then finds nothing to work on.
    except (RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, AssertionError, OSError) as error:
        raise UserError(f"The file {path.name} is no file of weights, or is incomplete ({_first_line(error)}).") from error
    for name in _NESTED_UNDER:
        if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
            found = found[name]
    if not isinstance(found, Mapping) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in found.items()):
        raise UserError(f"The file {path.name} does not hold named weights of {model}, but a {type(found).__name__} of other things.")
    return below(found, prefix)


def below(state: State, prefix: str) -> dict[str, Any]:
    """The entries whose names begin with `prefix`, without it; all of them where none does."""
    for wrapper in _HARMLESS_PREFIXES:
        if state and all(name.startswith(wrapper) for name in state):
            state = {name[len(wrapper) :]: value for name, value in state.items()}
    if prefix and any(name.startswith(prefix) for name in state):
        return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    return dict(state)


def filled(network: Network, state: State, *, model: str) -> Network:
    """A network made on torch's "meta" device, given its weights as float32, ready to infer.

    Args:
        network: Without weights yet.
        state: Exactly its names and shapes; numpy arrays or tensors.
        model: Its name, for a person.

    Raises:
        UserError: with the first name that is missing, unknown, of another shape, or not finite.
    """
    import torch

    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    _check_names(expected, state, model)
    tensors = {}
    for name, shape in expected.items():
        value = torch.as_tensor(state[name])
        if tuple(value.shape) != shape:
            raise UserError(f"These are not the weights of {model}: {name} has shape {tuple(value.shape)}, but {shape} is needed.")
        tensors[name] = value.to(torch.float32, copy=True)  # a copy: the file is not kept open, the caller's arrays stay theirs
        if not bool(torch.isfinite(tensors[name]).all()):
            raise UserError(f"The weights of {model} are damaged: {name} holds numbers that are not finite.")
    network.load_state_dict(tensors, assign=True)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    return network.eval()


def count_of(network: nn.Module) -> int:
    """How many numbers the weights of a network are."""
    return sum(math.prod(p.shape) for p in network.parameters())


def _check_names(expected: Iterable[str], state: State, model: str) -> None:
    wanted = set(expected)
    missing, unknown = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if len(missing) == len(wanted):
        holds = f"it holds {unknown[0]}, for instance" if unknown else "it holds nothing"
        raise UserError(f"These are not the weights of {model}: none of its {len(wanted)} names are there; {holds}.")
    if missing:
        raise UserError(f"The weights of {model} are incomplete: {len(missing)} of {len(wanted)} are missing, the first is {missing[0]}.")
    if unknown:
        raise UserError(f"These are not the weights of {model}: it has no {unknown[0]} ({len(unknown)} such names).")


def _read_safetensors(path: Path, prefix: str, model: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            own = [n for n in names if prefix and prefix in n] or names  # what belongs to other models is not read
            return below({name: file.get_tensor(name) for name in own}, prefix)
    except (SafetensorError, OSError) as error:
        raise UserError(f"The file {path.name} holds no weights of {model} in safetensors format ({_first_line(error)}).") from error


def _fetched(published: Published, revision: str | None) -> Path:
    wanted = revision or published.revision
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            f"Fetching {published.repository} needs the package huggingface_hub; install it or give the path of {published.file}."
        ) from error
    try:
        if not isinstance(huggingface_hub.try_to_load_from_cache(published.repository, published.file, revision=wanted or None), str):
            _reach(huggingface_hub.constants.ENDPOINT)
        path = Path(huggingface_hub.hf_hub_download(published.repository, published.file, revision=wanted or None))
    except Exception as error:  # the hub's client passes on whatever the network, the disk or the server raise
        raise UserError(
            f"{published.file} could not be fetched from {published.repository} ({_first_line(error)}); give the path of the file instead."
        ) from error
    if wanted == published.revision and published.sha256 and _sha256(path) != published.sha256:
        raise UserError(
            f"{published.file}, fetched from {published.repository}, is not the file that was published there (its SHA-256 differs), "
            "so nothing of it was loaded; remove it from the hub's cache and fetch it again."
        )
    if not wanted:
        commit = path.parent.name  # the hub's client keeps files in a folder named after their commit
        print(f"{published.name} was fetched at revision {commit!r}; name it as revision to have the same again.", file=sys.stderr)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reach(address: str) -> None:
    """Raises OSError where nothing answers: the hub's client would try for half a minute, and tell each time."""
    parts = urlsplit(address)
    if getproxies().get(parts.scheme) or parts.hostname is None:
        return  # the way there is the proxy's
    socket.create_connection((parts.hostname, parts.port or 443), timeout=ANSWERS_IN_S).close()


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return shorten(lines[0] if lines else type(error).__name__, 160, placeholder=" …").rstrip(".")
