"""What `npm pack` puts into the package of the client library."""

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_package_has_its_licence_its_types_and_how_to_install_it() -> None:
    command = ["npm", "pack", "--workspace", "js", "--dry-run", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    (package,) = json.loads(done.stdout[done.stdout.index("[") :])
    names = {one["path"] for one in package["files"]}
    assert {"LICENSE", "README.md", "package.json", "dist/rostra.js", "dist/index.d.ts"} <= names
    assert (ROOT / "js" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "npm install" in (ROOT / "js" / "README.md").read_text()
