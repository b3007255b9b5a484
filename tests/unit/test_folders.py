import errno
import fcntl
import os
from pathlib import Path

import pytest

from wsplatform import folders
from wsplatform.errors import StartError
from wsplatform.folders import temporary_folder


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(folders, "_LONGEST_SOCKET", 1000)


def test_a_temporary_folder_is_short_enough_for_sockets(tmp_path: Path) -> None:
    with temporary_folder(1000 - len(str(tmp_path)) - len("/wsplatform-12345678/")) as path:
        assert path.parent == tmp_path
    with temporary_folder(1001 - len(str(tmp_path)) - len("/wsplatform-12345678/")) as path:
        assert path.parent == Path("/tmp")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StartError, match="TMPDIR") as caught, temporary_folder(1):
        pass
    assert caught.value.code == "no_temporary_folder"


def test_a_disk_that_is_full_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    monkeypatch.setattr(folders, "open_lock", full)
    with pytest.raises(StartError, match=r"No space left on device.*TMPDIR") as caught, temporary_folder(1):
        pass
    assert caught.value.code == "no_temporary_folder"
    assert list(tmp_path.iterdir()) == []


def test_the_temporary_folder_goes_with_all_in_it(tmp_path: Path) -> None:
    with temporary_folder(1) as path:
        (path / "registry.db").write_text("x")
        assert path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_runs_stays(tmp_path: Path) -> None:
    left = tmp_path / "wsplatform-left"
    left.mkdir()
    (left / "lock").write_text("")
    (left / "registry.db").write_text("x")
    foreign = tmp_path / "wsplatform-foreign"
    foreign.mkdir()
    (foreign / "file").write_text("x")
    target = tmp_path / "elsewhere"
    target.mkdir()
    (target / "lock").write_text("")
    (tmp_path / "wsplatform-link").symlink_to(target)
    with temporary_folder(1) as running, temporary_folder(1) as other:
        assert not left.exists()
        assert (foreign / "file").exists()
        assert (target / "lock").exists()
        assert running.exists()
        assert other.exists()


def test_a_lock_held_elsewhere_protects_a_folder(tmp_path: Path) -> None:
    held = tmp_path / "wsplatform-held"
    held.mkdir()
    descriptor = os.open(held / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with temporary_folder(1):
            assert held.exists()
    finally:
        os.close(descriptor)
