"""Nothing of govrun's lies in the governed tree, not even for a moment: an observer outside the run watches it. Its
notes and its record are objects and refs of the repository."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.inotify import InotifyObserver

if TYPE_CHECKING:
    from tests.conftest import Govrun

RECORDS = (".git/objects", ".git/refs/notes", ".git/refs/govrun", ".git/logs/refs")
CHANGES = {"created", "deleted", "modified", "moved"}


class Names(FileSystemEventHandler):
    def __init__(self, tree: Path) -> None:
        self.tree, self.seen = tree, set[str]()

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in CHANGES:
            for path in filter(None, (event.src_path, event.dest_path)):
                self.seen.add(str(Path(str(path)).relative_to(self.tree)))


def inner(tree: Path) -> set[str]:
    """All names in git's folder."""
    return {str(path.relative_to(tree)) for path in (tree / ".git").rglob("*")}


@pytest.mark.needs("notify", landlock=2)
def test_a_run_touches_what_its_command_touches(govrun: "Govrun") -> None:
    names = Names(govrun.cwd)
    observer = InotifyObserver()
    # Of git's folder just what lies directly in it: folders of refs come and go faster than watchdog can follow.
    for folder, recursive in ((".", False), ("src", True), (".git", False)):
        observer.schedule(names, str(govrun.cwd / folder), recursive=recursive)
    before = inner(govrun.cwd)
    observer.start()
    try:
        govrun(
            "sh", "-c", "echo 1 >src/new.py; mv src/new.py src/named.py; rm README.md; echo x >.git/hooks/x || true"
        ).ok()
        # The last event of the run is behind this one in the same queue.
        (govrun.cwd / "end").write_text("")
        for _ in range(100):
            if "end" in names.seen:
                break
            observer.join(0.1)
    finally:
        observer.stop()
        observer.join()
    assert names.seen - {".git"} == {"end", ".", "src", "src/new.py", "src/named.py", "README.md"}
    made = inner(govrun.cwd) ^ before
    assert made and all(name.startswith(RECORDS) for name in made)
