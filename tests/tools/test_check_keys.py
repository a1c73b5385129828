"""``make check`` finds private keys among the tracked files; benches leave none behind."""

import runpy
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "check_keys.py"
DTLS = ROOT / "rust/sfu/src/transport/dtls/tests/data"
FORMS = serialization.PrivateFormat
KEYS = [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)]
WRITTEN = [
    key.private_bytes(encoding, form, serialization.NoEncryption())
    for key in KEYS
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
    for form in (FORMS.TraditionalOpenSSL, FORMS.PKCS8)
] + [
    ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, FORMS.OpenSSH, serialization.NoEncryption()
    )
]


def checked(folder: Path) -> tuple[int, str]:
    done = subprocess.run([sys.executable, SCRIPT], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


def tracked(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-f", name], cwd=folder, check=True)


@pytest.mark.parametrize("content", WRITTEN)
def test_a_tracked_private_key_of_any_form_is_named(tmp_path: Path, content: bytes) -> None:
    tracked(tmp_path, "data.bin", b"# note\n" + content if content.startswith(b"-----") else content)
    code, text = checked(tmp_path)
    assert (code, text.partition(":")[0]) == (1, "data.bin")


def test_a_file_that_is_named_as_a_key_is_named(tmp_path: Path) -> None:
    tracked(tmp_path, "auto.key", b"")
    assert checked(tmp_path)[0] == 1


@pytest.mark.parametrize("name", ["p224", "p384", "p521", "rsa2048"])
def test_certificates_and_texts_about_keys_pass(tmp_path: Path, name: str) -> None:
    tracked(tmp_path, "auto.der", (DTLS / f"{name}.crt.der").read_bytes())
    tracked(tmp_path, "text.md", b"A file begins with `-----BEGIN PRIVATE KEY-----` and a line end.")
    assert checked(tmp_path) == (0, "")


def test_the_repository_tracks_no_private_key_but_those_of_the_tests() -> None:
    code, text = checked(ROOT)
    assert (code, text) in ((0, ""), (0, "no git repository: no files were searched for private keys\n"))


def test_the_bench_lets_mediamtx_write_its_key_into_a_folder_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that does what MediaMTX does at its start: a key into the working directory, then HTTP."""
    program = tmp_path / "bin" / "mediamtx"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        + textwrap.dedent("""
            import http.server, json, pathlib, sys
            pathlib.Path("auto.key").write_text("a key")
            host, port = json.loads(pathlib.Path(sys.argv[1]).read_text())["webrtcAddress"].split(":")
            http.server.HTTPServer((host, int(port)), http.server.BaseHTTPRequestHandler).serve_forever()
        """)
    )
    program.chmod(0o755)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    bench = runpy.run_path(str(ROOT / "bench" / "delay.py"))
    with bench["mediamtx"](Path("../bin/mediamtx")) as way:
        assert way.name == "MediaMTX"
    assert list(here.iterdir()) == []
