"""What is known of a dump's shards: `dump.json`, and beside each shard that is not in it yet, a record of its own.

A record is the same message with one shard. It is renamed into place behind its shard, so a shard without a record was
not finished. When all shards are right, `dump.json` lists them and the records go. The plan stands in every one of
them, so that shards of other plans are found out wherever they were written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

from google.protobuf import json_format

from ganserve.contract.bundle import sha256
from ganserve.contract.errors import ArtifactError, ConfigError, PreconditionError
from ganserve.contract.files import create_file, new_file
from ganserve.contract.text import one_line
from ganserve.v1.dump_pb2 import Dump, DumpShard

from .listing import write_labels
from .plan import Plan

DUMP_FILE: Final = "dump.json"
FORMAT: Final = "ganserve-dump/1"
_MOST_NAMED: Final = 3
_SHARDS: Final = "samples-*-of-*"
_ANEW: Final = "empty the folder, or give another; the same command writes the same samples again"


def read_dump(folder: str | Path) -> Dump:
    """What a folder says of the dump in it. Its shards are all there if it lists `plan.num_shards` of them.

    Raises:
        ArtifactError: it holds no dump, or `dump.json` is torn or altered.
    """
    path = Path(folder) / DUMP_FILE
    try:
        status = path.stat()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}; {folder} holds no dump") from error
    return _read(path, status.st_mtime_ns, status.st_size)


def is_record(path: Path) -> bool:
    """Whether a file is, by its name, the record of a shard."""
    return path.match(f"{_SHARDS}.json")


def begin(plan: Plan, folder: Path) -> None:
    """Makes the folder that a plan is carried out in, or checks that it is that plan's.

    Raises:
        ConfigError: it holds another dump, or anything else.
        PreconditionError: it holds the same dump by something whose pixels may differ.
        ArtifactError: it cannot be written, or its `dump.json` not be read.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder for the dump")
    path = folder / DUMP_FILE
    if not path.exists():
        _refuse_others(plan, folder)
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
        create_file(path, _text(Dump(plan=plan.message)))
    _refuse_other_plan(plan, read_dump(folder), folder)


def find_record(plan: Plan, shard: int, folder: Path) -> DumpShard | None:
    """What is known of a shard; None where it was not finished.

    Raises:
        ArtifactError: the shard is another plan's, or its record cannot be read.
    """
    name = plan.file_name(shard)
    record = _record(folder, name)
    # In this order: what is not in a record any more is in `dump.json` by then.
    dump = _read_record(record) or read_dump(folder)
    if dump.plan != plan.message:
        raise ArtifactError(
            f"{folder / name} is of another plan ({_named(plan, dump)}); remove it and {record.name}, or give another "
            "folder"
        )
    return next((known for known in dump.shards if known.file == name), None)


def record(plan: Plan, shard: DumpShard, folder: Path) -> None:
    """Notes that a shard is there. Raises ArtifactError."""
    path = _record(folder, shard.file)
    with new_file(path) as partial:
        partial.write_bytes(_text(Dump(plan=plan.message, shards=[shard])))
    if _is_finished(folder):  # by another, who did not see the record
        path.unlink(missing_ok=True)


def finish(plan: Plan, shards: Sequence[DumpShard], folder: Path) -> str:
    """Writes that all shards are there, which they have to be, and removes what their writing left behind.

    Returns:
        SHA-256 of `dump.json`, which covers the digests of all shards.

    Raises:
        ArtifactError: it cannot be written.
    """
    text = _text(Dump(plan=plan.message, shards=shards))
    try:
        if plan.form.lists_files and plan.message.class_names:
            write_labels(folder, [folder / shard.file for shard in shards])
        with new_file(folder / DUMP_FILE) as partial:
            partial.write_bytes(text)
    except ArtifactError as error:
        if not (isinstance(error.__cause__, FileNotFoundError) and _is_finished(folder)):
            raise  # nobody else finished the dump meanwhile, and cleared away what was being written here
    for left in (*(_record(folder, shard.file) for shard in shards), *folder.glob(".*.partial")):
        with suppress(OSError):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return sha256(text)


def _is_finished(folder: Path) -> bool:
    dump = read_dump(folder)
    return len(dump.shards) == dump.plan.num_shards


def _refuse_others(plan: Plan, folder: Path) -> None:
    """Raises ConfigError for a folder without `dump.json` that holds anything but shards that came from elsewhere."""
    if not folder.exists() or any(folder.glob(f"samples-*{plan.form.suffix}.json")):
        return
    foreign = next((entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")), None)
    if foreign is None or (folder / DUMP_FILE).exists():  # which others may have begun meanwhile
        return
    if shard := next(folder.glob(_SHARDS), None):
        raise ConfigError(f"{folder} holds {shard.name} and no {DUMP_FILE}, which tells what dump it is of; {_ANEW}")
    raise ConfigError(f"{folder} holds {foreign.name} and no dump; give a folder that is new or empty")


def _refuse_other_plan(plan: Plan, dump: Dump, folder: Path) -> None:
    if dump.plan == plan.message:
        return
    advice = "give the flags that it was begun with, or another folder"
    if any(difference.startswith("provenance.") for difference in plan.differences(dump.plan)):
        raise PreconditionError(
            f"{folder} holds a dump made by something that may differ in a pixel ({_named(plan, dump)}); {advice}"
        )
    raise ConfigError(f"{folder} holds another dump ({_named(plan, dump)}); {advice}")


def _named(plan: Plan, dump: Dump) -> str:
    differences = list(plan.differences(dump.plan))
    more = f" and {len(differences) - _MOST_NAMED} more" if len(differences) > _MOST_NAMED else ""
    return "; ".join(differences[:_MOST_NAMED]) + more


def _record(folder: Path, file_name: str) -> Path:
    return folder / f"{file_name}.json"


def _read_record(path: Path) -> Dump | None:
    try:
        return _parse(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


@lru_cache(maxsize=4)
def _read(path: Path, mtime_ns: int, size: int) -> Dump:  # noqa: ARG001
    try:
        return _parse(path.read_bytes(), path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _parse(data: bytes, path: Path) -> Dump:
    try:
        dump = json_format.Parse(data, Dump())
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise _torn(path, one_line(error)) from error
    if dump.format != FORMAT:
        raise ArtifactError(f"{path} is no {FORMAT}, but {dump.format!r}; give another folder")
    if not dump.plan.num_shards:
        raise _torn(path, "it holds no plan")
    return dump


def _torn(path: Path, reason: str) -> ArtifactError:
    """Of a record or `dump.json`, with what helps: shards of which nothing tells are not gone on with."""
    others = [entry for entry in path.parent.iterdir() if entry != path and not entry.name.startswith(".")]
    advice = f"no shard can be trusted without it: {_ANEW}"
    if path.name != DUMP_FILE or any(map(is_record, others)) or not others:
        advice = "remove it, and the same command goes on"
    return ArtifactError(f"{path} is torn, altered or no {FORMAT}: {reason.rstrip('.')}; {advice}")


def _text(dump: Dump) -> bytes:
    dump.format = FORMAT
    content = json_format.MessageToDict(
        dump, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
