"""Write models: weights as safetensors, with the card that describes them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from xrain.atomic import replacing
from xrain.errors import ModelError
from xrain.models.card import ModelCard
from xrain.models.registry import CARD_FILE
from xrain.models.whole_files import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["save_model", "save_tensors"]

WEIGHTS_FILE: Final = "weights.safetensors"


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], *, half: bool = True) -> Path:
    """Write tensors to a safetensors file, such as a trunk that several models share.

    Parameters
    ----------
    path : path
        File to write; its folder is made.
    tensors : mapping of str to Tensor
        Tensors by name.
    half : bool
        Store floating-point numbers as float16.

    Raises
    ------
    ModelError
        If a number is not finite, or too large for float16.
    OutputError
        If the file cannot be written.
    """
    from safetensors.torch import save

    path = Path(path)
    blob: bytes = save({name: _stored(name, t, half) for name, t in tensors.items()})
    with replacing(path) as draft:
        draft.write_bytes(blob)
    return path


def save_model(
    folder: str | Path,
    card: ModelCard,
    tensors: Mapping[str, Tensor],
    *,
    half: bool = True,
    trunk: str | Path | None = None,
) -> ModelCard:
    """Write a model as ``card.json`` and ``weights.safetensors``.

    Parameters
    ----------
    folder : path
        Folder to write to; made if absent.
    card : ModelCard
        The card; its precision and hashes are filled in.
    tensors : mapping of str to Tensor
        The network's state.
    half : bool
        Store floating-point numbers as float16.
    trunk : path, optional
        A file of :func:`save_tensors` that the model shares with others. Tensors that are equal
        there are not stored again.

    Returns
    -------
    ModelCard
        The card as written.

    Raises
    ------
    ModelError
        If a number cannot be stored, or the trunk cannot be read.
    OutputError
        If a file cannot be written.

    See Also
    --------
    xrain.load_model : Read it again.
    xrain.models.publish.package_models : For others.
    """
    folder = Path(folder)
    shared = {} if trunk is None else _read_trunk(Path(trunk))
    stored = {name: _stored(name, t, half) for name, t in tensors.items()}
    own = {n: t for n, t in stored.items() if not _is_same(t, shared.get(n))}
    files = [] if trunk is None else [Path(trunk)]
    if own or not files:
        files.append(save_tensors(folder / WEIGHTS_FILE, own, half=half))
    hashes = {Path(os.path.relpath(f, folder)).as_posix(): sha256_of(f) for f in files}
    card = dataclasses.replace(card, sha256s=hashes, precision="float16" if half else "float32")
    with replacing(folder / CARD_FILE) as draft:
        card.write(draft)
    return ModelCard.read(folder / CARD_FILE)


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.half() if half else tensor.float()
        if not tensor.isfinite().all():
            limit = " or beyond what float16 holds (65504)" if half else ""
            raise ModelError(f"weight {name!r} holds numbers that are not finite{limit}")
    return tensor.contiguous()


def _read_trunk(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the trunk {path} cannot be read: {error}") from error
    return tensors


def _is_same(tensor: Tensor, other: Tensor | None) -> bool:
    import torch

    return other is not None and tensor.dtype == other.dtype and torch.equal(tensor, other)
