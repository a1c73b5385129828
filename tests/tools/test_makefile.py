"""``make`` shows what takes long, and says when OpenSSL is built from source. What it calls are stand-ins."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PIP = """#!/bin/sh
case "$*" in *--quiet*|*-q*) ;; *--verbose*) echo "   Compiling everything";; esac
env | grep ^OPENSSL_ || true
"""
NEEDED = (
    "make",
    "bash",
    "sh",
    "env",
    "find",
    "grep",
    "sed",
    "head",
    "dirname",
    "realpath",
    "touch",
    "printf",
    "sort",
    "expand",
)


def built(folder: Path, **tools: str) -> str:
    """What ``make`` prints while it builds the extension where ``tools``, scripts of a shell, are all there is."""
    for name in ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "pyproject.toml", "requirements.txt", "Makefile"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    stamps, programs = folder / ".venv" / ".stamps", folder / "bin"
    stamps.mkdir(parents=True)
    programs.mkdir()
    (stamps / "python").touch()
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir()
    for path, text in ((python, PIP), *((programs / name, f"#!/bin/sh\n{text}\n") for name, text in tools.items())):
        path.write_text(text)
        path.chmod(0o755)
    command = ["make", ".venv/.stamps/extension"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": str(programs), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


TOOLS = {"cargo": "exit 0", "perl": "exit 0"}
SOURCE = "it is built from source"


def test_the_first_build_shows_its_progress(tmp_path: Path) -> None:
    assert "Compiling everything" in built(tmp_path, **TOOLS, **{"pkg-config": "exit 0"})


def test_openssl_of_the_system_is_taken_with_pkg_config(tmp_path: Path) -> None:
    text = built(tmp_path, **TOOLS, **{"pkg-config": "exit 0"})
    assert SOURCE not in text
    assert "OPENSSL_NO_VENDOR=1\n" in text


def test_openssl_of_the_system_is_taken_without_pkg_config(tmp_path: Path) -> None:
    library = tmp_path / "lib"
    library.mkdir()
    found = f'case "$*" in *-E*) echo \'# 1 "/opt/include/openssl/opensslv.h" 1\';; *) echo {library}/libssl.so;; esac'
    text = built(tmp_path, **TOOLS, cc=f"cat >/dev/null 2>&1 </dev/null; {found}")
    assert SOURCE not in text
    assert f"OPENSSL_LIB_DIR={library}\n" in text
    assert "OPENSSL_INCLUDE_DIR=/opt/include\n" in text


@pytest.mark.parametrize("cc", ["exit 1", 'case "$*" in *-E*) exit 1;; *) echo libssl.so;; esac'])
def test_openssl_is_built_from_source_where_there_is_none_and_that_is_said_before(tmp_path: Path, cc: str) -> None:
    text = built(tmp_path, **TOOLS, cc=cc)
    assert text.index(SOURCE) < text.index("Compiling everything")
    assert "OPENSSL_" not in text
