import fcntl
import os
from pathlib import Path

import pytest

from wsplatform.cli import cluster_files
from wsplatform.cli.cluster_files import (
    Keys,
    data_folder,
    new_keys,
    read_keys,
    temporary_folder,
    write_keys,
)
from wsplatform.errors import StartError


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(cluster_files, "_LONGEST_PARENT", 1000)


def test_a_temporary_folder_is_short_enough_for_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_files, "_LONGEST_PARENT", 5)
    with temporary_folder() as path:
        assert path.parent == Path("/tmp")
    assert list(tmp_path.iterdir()) == []


def test_keys_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    assert read_keys(tmp_path) is None
    keys = Keys("c" * 64, "t" * 64, "a" * 64, "wsp_1_2")
    write_keys(tmp_path, new_keys())
    write_keys(tmp_path, keys)
    assert read_keys(tmp_path) == keys
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]


def test_keys_are_new_and_long_each_time() -> None:
    first, second = new_keys(), new_keys()
    texts = {first.cluster_secret, first.token_secret, first.admin_key, second.cluster_secret}
    assert len(texts) == 4
    assert all(len(text) == 64 for text in texts)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[", b'{"cluster_secret": 1}'])
def test_a_damaged_file_of_keys_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)
    with pytest.raises(StartError, match=r"keys\.json cannot be used") as caught:
        read_keys(tmp_path)
    assert caught.value.code == "data_unusable"


def test_a_data_folder_is_made_for_its_owner_and_serves_one_cluster_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with data_folder(path):
        assert path.stat().st_mode & 0o777 == 0o700
        with pytest.raises(StartError) as caught, data_folder(path):
            pass
        assert caught.value.code == "data_in_use"
    with data_folder(path):
        pass


def test_a_data_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(StartError, match="cannot be used") as caught, data_folder(path):
            pass
        assert caught.value.code == "data_unusable"


def test_the_temporary_folder_goes_with_all_in_it(tmp_path: Path) -> None:
    with temporary_folder() as path:
        (path / "registry.db").write_text("x")
        assert path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_cluster_left_goes_and_what_runs_stays(tmp_path: Path) -> None:
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
    with temporary_folder() as running, temporary_folder() as other:
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
        with temporary_folder():
            assert held.exists()
    finally:
        os.close(descriptor)
