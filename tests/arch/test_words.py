"""What no file of the repository may contain: registry host names, and paths of one developer's machine."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".git", ".venv", "build", "dist", "node_modules"}

# In parts, so that this file passes its own test.
HOSTS = [
    ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"), ("yarnpkg", "com"),
    ("crates", "io"), ("golang", "org"), ("rubygems", "org"), ("maven", "org"), ("packagist", "org"),
    ("docker", "io"), ("ghcr", "io"), ("quay", "io"), ("debian", "org"), ("anaconda", "org"),
]  # fmt: skip
PATTERNS = {
    "registry host": re.compile("|".join(rf"\b{name}\.{end}\b" for name, end in HOSTS), re.IGNORECASE),
    "path of one machine": re.compile(r"(?<![\w.}])/(?:work|opt)/(?:main|shared|gv)\b|(?<![\w.}>])/ro{2}t/\w"),
    "credential that looks real": re.compile(r"\b(?:AKIA(?!.{0,12}EXAMPLE)[0-9A-Z]{16}|ghp_[A-Za-z0-9]{36})\b"),
}


def findings(text: str) -> list[str]:
    return [f"{what}: {match.group()}" for what, pattern in PATTERNS.items() for match in pattern.finditer(text)]


def test_no_file_contains_a_forbidden_word() -> None:
    found: dict[str, list[str]] = {}
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if not path.is_file() or path.is_symlink() or any(part in SKIPPED or part.endswith("_cache") for part in parts):
            continue
        if "__pycache__" in parts or parts[0].startswith((".venv", ".hypothesis")):
            continue
        hits = findings(path.read_bytes().decode("utf-8", "replace"))
        if hits:
            found["/".join(parts)] = hits
    assert found == {}


def test_the_patterns_find_what_they_look_for() -> None:
    for name, end in HOSTS:
        assert findings(f"index = https://some.{name}.{end}/simple")
    assert findings("see /" + "work/main/x") and findings("run /" + "opt/gv/bin/python") and findings(" /" + "root/x")
    assert not findings("/proc/self/root/etc/passwd")
    assert findings("key AKIA" + "QWERTYUIOPASDFGH") and not findings("AKIA" + "IOSFODNN7EXAMPLE")
