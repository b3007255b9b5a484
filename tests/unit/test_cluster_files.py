from pathlib import Path

import pytest

from wsplatform.cli.cluster_files import (
    Keys,
    data_folder,
    new_keys,
    read_keys,
    write_keys,
)
from wsplatform.errors import StartError


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
