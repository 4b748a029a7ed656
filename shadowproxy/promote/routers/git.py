"""Steers by commits, for Argo CD and Flux: weights, or an image, model or prompt version, in a YAML file of a repository.

One commit changes the file and writes the record with the verdict document to ``record_file``, so that neither is ever there without the
other. A push that is not a fast-forward is a conflict: the branch is read again. Works in a bare repository of its own, by plumbing;
nobody's working tree is touched. The repository may be a URL or a path. Credentials are git's business: its SSH agent or credential helper.
"""

from __future__ import annotations

import asyncio
import difflib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from shadowproxy.errors import RouterBusy, RouterConflict, RouterRefused
from shadowproxy.promote.json_patch import FIELD_MANAGER
from shadowproxy.promote.present import Present
from shadowproxy.promote.routers.edits import Edits, Values
from shadowproxy.promote.routers.manifest import Manifest
from shadowproxy.promote.routers.port import Change, Note

#: A fetch or a push of one commit over a slow line.
_TIMEOUT_S = 60.0

#: What git says where somebody else's commit came first.
_FASTER = ("[rejected]", "stale info", "cannot lock ref", "failed to update ref", "incorrect old value")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit that is not made yet, on top of ``parent``. Its text is a patch for ``git apply``."""

    parent: str
    message: str
    files: Mapping[str, str]
    before: Mapping[str, str]

    def __str__(self) -> str:
        return "".join(self._diff(path, text) for path, text in self.files.items())

    def _diff(self, path: str, text: str) -> str:
        before = self.before.get(path)
        source = f"a/{path}" if before is not None else "/dev/null"
        return "".join(difflib.unified_diff(_lines(before or ""), _lines(text), source, f"b/{path}"))


def _lines(text: str) -> list[str]:
    """Lines as ``git apply`` wants them, with its remark where the last one does not end."""
    *lines, last = text.split("\n")
    unended = [f"{last}\n\\ No newline at end of file\n"] if last else []
    return [f"{line}\n" for line in lines] + unended


@dataclass(frozen=True, slots=True)
class _Tip:
    """What was read: the commit, and the texts of our files in it."""

    commit: str
    files: Mapping[str, str]


class _Record(msgspec.Struct):
    """``record_file``: where the rollout stands, and the verdict document behind it."""

    rollout: msgspec.Raw
    verdict: Any = None


class GitRouter:
    """A :class:`~shadowproxy.promote.routers.port.Router`. ``base`` is where ``branch`` begins if it is not there yet."""

    carries_memory = True

    def __init__(self, repository: str, branch: str, file: str, record_file: str, edits: Edits, folder: Path, *, base: str = "") -> None:
        """``folder``: where our own bare repository is kept; made if it is not there."""
        self._repository = repository if "://" in repository or "@" in repository else str(Path(repository).absolute())
        self._branch = branch
        self._base = base
        self._file = file
        self._record_file = record_file
        self._edits = edits
        self._folder = folder

    def __str__(self) -> str:
        return f"{self._file} on {self._branch} of {self._repository}"

    async def read(self) -> Present:
        tip = await self._tip()
        if self._file not in tip.files:
            raise RouterRefused(f"{self} is not there", "correct the path of the file")
        seen = self._edits.present(tip.files[self._file])
        memory = _record_of(tip.files[self._record_file], self._record_file) if self._record_file in tip.files else None
        return Present(seen.shares, seen.found, memory=memory, source=tip)

    def weigh(self, present: Present, percent: int, note: Note) -> tuple[Change, ...]:
        return self._commit(present, self._edits.weigh(present.source.files[self._file], percent), note)

    def restore(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self._commit(present, self._edits.restore(present.source.files[self._file], note.progress.found), note)

    def remember(self, present: Present, note: Note) -> tuple[Change, ...]:
        return self._commit(present, {}, note)

    def disown(self, present: Present) -> tuple[Change, ...]:
        return ()

    async def make(self, change: Change) -> None:
        assert isinstance(change, Commit)
        commit = await self._made(change)
        target = f"{commit}:refs/heads/{self._branch}"
        status, said = await self._try("push", "--porcelain", "--end-of-options", self._repository, target)
        if status == 0:
            return
        if any(words in said for words in _FASTER):
            raise RouterConflict(f"{self._branch} moved on meanwhile")
        if "[remote rejected]" in said:
            raise RouterRefused(f"{self._repository} refuses a push to {self._branch}: {said}", "allow it, or name another branch")
        raise RouterBusy(f"{self._repository} did not take a push: {said}", 30.0)

    async def close(self) -> None:
        """Nothing is open."""

    def _commit(self, present: Present, values: Values, note: Note) -> tuple[Change, ...]:
        tip: _Tip = present.source
        text = Manifest(tip.files[self._file]).replaced(values)
        record = msgspec.json.format(msgspec.json.encode({"rollout": msgspec.Raw(note.record.encode()), "verdict": note.verdict})).decode()
        progress = note.progress
        message = f"{progress.candidate}: {progress.phase}, {progress.percent} %\n\n{progress.because}\n\nRollout: {progress.rollout}\n"
        return (Commit(tip.commit, message, {self._file: text, self._record_file: record + "\n"}, tip.files),)

    # --- git --------------------------------------------------------------------------------------------------------

    async def _tip(self) -> _Tip:
        if not (self._folder / "HEAD").exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            await self._git("init", "--quiet", "--bare")
        commit = await self._fetched()
        listed = await self._git("ls-tree", "--name-only", "-z", commit, "--", self._file, self._record_file)
        return _Tip(commit, {path: await self._git("cat-file", "blob", f"{commit}:{path}") for path in listed.split("\0") if path})

    async def _fetched(self) -> str:
        """The newest commit of the branch, or of the base where there is no branch yet."""
        for branch in filter(None, (self._branch, self._base)):
            source = f"refs/heads/{branch}"
            status, said = await self._try("fetch", "--quiet", "--no-tags", "--depth=1", "--end-of-options", self._repository, source)
            if status == 0:
                return (await self._git("rev-parse", "FETCH_HEAD")).strip()
            if "couldn't find remote ref" not in said:
                raise RouterBusy(f"{self._repository} cannot be read: {said}", 30.0)
        raise RouterRefused(f"{self._repository} has no branch {self._branch}", "create it, or name the base to begin it from")

    async def _made(self, change: Commit) -> str:
        """The commit, made in our repository and known to nobody else."""
        with tempfile.TemporaryDirectory() as private:
            index = {"GIT_INDEX_FILE": str(Path(private) / "index")}
            await self._git("read-tree", change.parent, **index)
            for path, text in change.files.items():
                blob = (await self._git("hash-object", "-w", "--stdin", given=text)).strip()
                await self._git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", **index)
            tree = (await self._git("write-tree", **index)).strip()
        return (await self._git("commit-tree", tree, "-p", change.parent, "-F", "-", given=change.message)).strip()

    async def _git(self, *words: str, given: str = "", **environ: str) -> str:
        """The output of a git command that only fails where the repository is broken."""
        status, said = await self._try(*words, given=given, **environ)
        if status:
            raise RouterRefused(f"git {words[0]} failed: {said}", f"remove {self._folder}; it is made anew")
        return said

    async def _try(self, *words: str, given: str = "", **environ: str) -> tuple[int, str]:
        """Exit status, and the output; with the errors where it failed."""
        who = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _IDENTITY.items()}
        settings = {**os.environ, "GIT_DIR": str(self._folder), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **who, **environ}
        pipe = asyncio.subprocess.PIPE
        source = pipe if given else asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec("git", *words, env=settings, stdin=source, stdout=pipe, stderr=pipe)
        except OSError as exc:
            raise RouterRefused(f"git cannot be run ({exc.strerror})", "install git") from exc
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                output, errors = await process.communicate(given.encode("utf-8", "surrogateescape") or None)
        except TimeoutError as exc:
            raise RouterBusy(f"git {words[0]} took more than {_TIMEOUT_S:g} s") from exc
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = process.returncode or 0
        # Bytes that are no UTF-8 come back as they were; such a file is refused as YAML, and a message shows them escaped.
        return status, (output + errors if status else output).decode("utf-8", "surrogateescape")


_IDENTITY = {"NAME": FIELD_MANAGER, "EMAIL": f"{FIELD_MANAGER}@localhost"}


def _record_of(text: str, path: str) -> str:
    try:
        return bytes(msgspec.json.decode(text, type=_Record).rollout).decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RouterRefused(f"{path} does not decode ({exc})", "remove it to begin anew") from exc
