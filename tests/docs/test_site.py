from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT


def test_the_site_is_built_without_a_warning_and_has_what_is_made_from_the_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rest, settings, client = (_text(tmp_path / "site" / page) for page in ("made/rest.html", "made/settings.html", "reference/client.html"))

    assert "PATCH /v1/members/{member}" in rest
    assert "deadline_ms" in settings
    assert "publish" in client


def _text(page: Path) -> str:
    return re.sub("<[^>]+>", "", page.read_text(encoding="utf-8"))
