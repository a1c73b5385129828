"""A data folder belongs to one server at a time, and a server that was killed leaves it free."""

import subprocess
import sys
from pathlib import Path

import pytest

from rostra.config import ConfigError
from rostra.folder import LOCK, claimed

HOLD = """
import sys
from pathlib import Path
from rostra.folder import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_in_use_is_refused_with_its_name_until_the_other_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError) as error, claimed(folder):
            raise AssertionError
        assert str(error.value) == (
            f"--data: another Rostra (process {other.pid}) uses the folder {folder}: "
            "stop it, or choose another folder with --data"
        )
        other.kill()
    assert (folder / LOCK).read_text() == f"{other.pid}\n"
    for _ in range(2):
        with claimed(folder):
            pass


def test_a_child_that_outlives_its_server_does_not_keep_the_folder(tmp_path: Path) -> None:
    with claimed(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with claimed(tmp_path):
        pass
    child.communicate(timeout=30)


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = f"--data: cannot use the folder {tmp_path}/file/data: Not a directory"
    with pytest.raises(ConfigError, match=text), claimed(tmp_path / "file" / "data"):
        raise AssertionError
