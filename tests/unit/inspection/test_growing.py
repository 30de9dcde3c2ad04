"""What of a half-written text is fixed."""

from __future__ import annotations

import pytest

from supervisor.inspection.growing import fixed_part


@pytest.mark.parametrize(
    ("kind", "content", "fixed"),
    [
        ("python", b"import os\nimport requests", b"import os\nimport "),
        ("python", b"import requests\n", b"import requests\n"),
        ("python", b"import requests.se", b"import "),
        ("python", b"import requests\xc3", b"import "),
        ("python", b"f('requests')", b"f('requests')"),
        ("python", b"", b""),
        ("requirements", b"httpx\nrequests", b"httpx\n"),
        ("requirements", b"requests", b""),
        ("setup.cfg", b"[options]\n  requests", b"[options]\n"),
        ("package.json", b'{"a": 1}', b'{"a": 1}'),
        ("javascript", b'require("lodash")', b'require("lodash")'),
    ],
)
def test_fixed_part(kind: str, content: bytes, fixed: bytes) -> None:
    assert fixed_part(kind, content) == fixed
