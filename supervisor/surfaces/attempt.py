"""What a surface hands to the loop: the event to judge, the act that would carry it out, the handles to close."""

from __future__ import annotations

from typing import NamedTuple

from supervisor.surfaces.paths import Spot
from supervisor.vocabulary.acts import OpenAct, PathAct
from supervisor.vocabulary.events import FsEvent, GitConfigEvent


class Attempt(NamedTuple):
    event: FsEvent | GitConfigEvent
    act: OpenAct | PathAct
    spots: tuple[Spot, ...]

    def close(self) -> None:
        for spot in self.spots:
            spot.close()
