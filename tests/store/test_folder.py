"""Stored responses in a folder: what outlives a restart, and that a bad disk does no harm."""

import logging
import os
import time
from math import inf
from pathlib import Path

import pytest

from proxy.policy.stored_response import StoredResponse
from proxy.policy.stored_responses import key_of
from proxy.store import folder as module
from proxy.store.folder import BLOCK_BYTES, SUBFOLDER, WRITE_AGAIN_AFTER, Folder

Found = dict[bytes, bytes]


def key(number: int) -> bytes:
    return key_of([b"%d" % number])


def response(body: bytes = b"body", arrived_at: float | None = None) -> StoredResponse:
    at = time.monotonic() if arrived_at is None else arrived_at
    return StoredResponse(200, b"head\r\n", body, arrived_at=at, age=0.0, fresh_for=inf)


class Kept:
    """A folder that is opened, told and closed, and what it has restored."""

    def __init__(self, path: Path, most_bytes: int = 1 << 20, longest: float = 3600.0) -> None:
        self.found: Found = {}
        self.order: list[bytes] = []
        self.now = 0.0
        self.folder = Folder(path, most_bytes, longest, self._restore)

    def _restore(self, key: bytes, full_key: bytes, response: StoredResponse) -> None:
        self.found[full_key] = response.body
        self.order.append(response.body)

    def __enter__(self) -> Folder:
        self.folder.start()
        return self.folder

    def __exit__(self, *_: object) -> None:
        self.folder.leave()
        self.folder._thread.join(5.0)
        assert not self.folder._thread.is_alive()


def restored(path: Path, most_bytes: int = 1 << 20, longest: float = 3600.0) -> Found:
    """What is there for a process that begins now."""
    kept = Kept(path, most_bytes, longest)
    with kept:
        pass
    return kept.found


def files(path: Path) -> list[Path]:
    return sorted((path / SUBFOLDER).iterdir())


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    with Kept(tmp_path / "a" / "b") as folder:
        folder.put(key(1), key(1), response(b"one"))
        folder.put(key(2), key(3), response(b"two"))
    assert restored(tmp_path / "a" / "b") == {key(1): b"one", key(3): b"two"}
    assert folder.errors == 0


def test_what_was_dropped_is_not(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response())
        folder.drop(key(1))
        folder.drop(key(2))
    assert restored(tmp_path) == {}
    assert files(tmp_path) == []


def test_what_never_was_there_is_not_dropped_in_the_place_of_others(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        for _ in range(500):
            if folder._is_read:
                break
            time.sleep(0.01)
        for number in range(2 * module.MOST_WAITING):
            folder.drop(key(number))
        folder.put(key(2), key(2), response(b"two"))
    assert folder.errors == 0
    assert restored(tmp_path) == {key(2): b"two"}


def test_what_was_there_before_a_restart_can_be_dropped(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response())
    with Kept(tmp_path) as again:
        again.drop(key(1))
    assert files(tmp_path) == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response())
    assert (tmp_path / SUBFOLDER).stat().st_mode & 0o777 == 0o700
    assert files(tmp_path)[0].stat().st_mode & 0o777 == 0o600


def test_a_response_is_written_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    folder = Folder(tmp_path, 1 << 20, 3600.0, lambda *_: None, clock=lambda: now)
    written: list[bytes] = []
    monkeypatch.setattr(folder, "_enter", lambda job: written.append(job[1].body))
    for now, body in ((1.0, b"a"), (1.0 + WRITE_AGAIN_AFTER / 2, b"b"), (20.0, b"c")):
        folder.put(key(1), key(1), response(body, now))
        folder.put(key(2), key(2), response(body, now))
    assert written == [b"a", b"a", b"c", b"c"]


def test_it_takes_so_much_of_the_disk_and_the_oldest_goes(tmp_path: Path) -> None:
    with Kept(tmp_path, most_bytes=4 * BLOCK_BYTES) as folder:
        for number in range(10):
            folder.put(key(number), key(number), response(b"%d" % number))
        folder.put(key(99), key(99), response(bytes(5 * BLOCK_BYTES)))
    assert len(files(tmp_path)) <= 4
    assert key(99) not in restored(tmp_path)


def test_of_more_than_there_is_room_for_the_newest_are_restored(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        for number in range(10):
            folder.put(key(number), key(number), response(b"%d" % number))
    for number in range(10):
        file = tmp_path / SUBFOLDER / f"{key(number).hex()}.snapshot"
        os.utime(file, (number, number))
    kept = Kept(tmp_path, most_bytes=3 * BLOCK_BYTES)
    with kept as folder:
        folder.put(key(10), key(10), response(b"10"))
    assert kept.order == [b"9", b"8", b"7"]
    assert set(restored(tmp_path).values()) == {b"8", b"9", b"10"}


def test_what_is_too_old_for_every_rule_is_removed(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response(arrived_at=time.monotonic() - 100.0))
    assert restored(tmp_path, longest=50.0) == {}
    assert files(tmp_path) == []


def test_what_is_not_ours_or_no_longer_whole_is_not_believed(tmp_path: Path) -> None:
    with Kept(tmp_path) as folder:
        for number in range(4):
            folder.put(key(number), key(number), response(b"%d" % number))
    inner = tmp_path / SUBFOLDER
    names = [inner / f"{key(number).hex()}.snapshot" for number in range(4)]
    names[0].write_bytes(names[0].read_bytes()[:-1])
    names[1].write_bytes(b"")
    # Another's content under this name.
    names[2].write_bytes(names[3].read_bytes())
    outside = tmp_path / "outside"
    names[3].rename(outside)
    names[3].symlink_to(outside)
    os.mkfifo(inner / f"{key(5).hex()}.snapshot")
    (inner / f"{key(6).hex()}.snapshot").mkdir()
    (inner / f"{key(7).hex()}.snapshot.unfinished").write_bytes(b"x")
    (inner / "README").write_bytes(b"x")
    assert restored(tmp_path) == {}
    assert outside.exists()
    assert (inner / "README").exists()
    left = [each.name for each in files(tmp_path) if each.is_file() and not each.is_symlink()]
    assert left == ["README"]


def test_a_folder_that_others_may_write_to_is_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SUBFOLDER).mkdir()
    (tmp_path / SUBFOLDER).chmod(0o777)
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response())
    assert files(tmp_path) == []
    assert folder.errors == 2
    assert "is not ours alone" in caplog.text


def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / SUBFOLDER).symlink_to(tmp_path / "other")
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response())
    assert list((tmp_path / "other").iterdir()) == []
    assert folder.errors == 2


def test_a_folder_that_can_t_be_is_told_of_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Kept(tmp_path / "file" / "x") as folder:
        for number in range(5):
            folder.put(key(number), key(number), response())
    assert folder.errors == 6
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING


def test_a_disk_that_fails_is_counted_and_told_of_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Kept(tmp_path) as folder:
        folder.put(key(1), key(1), response(b"first"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with Kept(tmp_path) as folder:
        monkeypatch.setattr(os, "rename", full)
        for number in range(1, 5):
            folder.put(key(number), key(number), response(b"second"))
        folder.leave()
        folder.wait()
        monkeypatch.undo()
    assert folder.errors == 4
    assert [each.getMessage() for each in caplog.records] == [
        f"snapshots can't be kept in {tmp_path}: No space left on device"
    ]
    # What was there is there, and nothing half done beside it.
    assert restored(tmp_path) == {key(1): b"first"}


def test_a_disk_that_stands_still_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 3)
    kept = Kept(tmp_path)
    # Its thread has not begun: as one that waits for a disk.
    for number in range(10):
        kept.folder.put(key(number), key(number), response(b"%d" % number))
    assert kept.folder.errors == 7
    assert "it is too slow" in caplog.text
    with kept:
        pass
    assert len(restored(tmp_path)) == 3
