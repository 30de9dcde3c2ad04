"""An SSH server on loopback that lets one key in and runs what it is told, for tests of pushes over ssh.

``python ssh_server.py FOLDER``: FOLDER has ``authorized_keys``; the server writes its ``host_key.pub`` there, a line
for every login and command into ``log``, and prints its port.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncssh


class Server(asyncssh.SSHServer):
    def __init__(self, log: Path) -> None:
        self._log = log

    def auth_completed(self) -> None:
        with self._log.open("a") as log:
            log.write("login\n")


async def serve(folder: Path) -> None:
    log = folder / "log"

    async def run(process: asyncssh.SSHServerProcess[bytes]) -> None:
        with log.open("a") as told:
            told.write(f"{process.command}\n")
        child = await asyncio.create_subprocess_shell(
            process.command or "true", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        await process.redirect(stdin=child.stdin, stdout=child.stdout)
        process.exit(await child.wait())

    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_public_key(folder / "host_key.pub")
    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[key],
        authorized_client_keys=str(folder / "authorized_keys"),
        server_factory=lambda: Server(log),
        process_factory=run,
        encoding=None,
    )
    print(listener.get_port(), flush=True)
    await listener.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
