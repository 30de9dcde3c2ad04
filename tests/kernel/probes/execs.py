"""exec: results, errors, scripts, arguments, environment, threads and vfork."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import subprocess
import threading

import kit
from kit import AT_EMPTY_PATH, AT_FDCWD, case, names, put, raw, t, text

_PRINT = "/usr/bin/printf"


def _program(path: str, body: str, mode: int = 0o755) -> None:
    put(path, body)
    os.chmod(path, mode)


def _run(path: str | bytes, *args: str | bytes, env: dict[str, str] | None = None) -> object:
    """Output and status of a posix_spawn'ed program, or the errno of the exec."""
    r, w = os.pipe()
    try:
        pid = os.posix_spawn(
            path, [path, *args], os.environ if env is None else env, file_actions=[(os.POSIX_SPAWN_DUP2, w, 1)]
        )
    except OSError as error:
        os.close(w)
        return kit.name(error.errno or 0)
    os.close(w)
    data = b""
    while chunk := os.read(r, 65536):
        data += chunk
    os.close(r)
    return [os.waitpid(pid, 0)[1], data.decode("latin-1")]


@case
def errors() -> object:
    put("plain", "x")
    put("empty", "")
    os.chmod("empty", 0o755)
    _program("noexec", "#!/bin/sh\necho no\n", 0o644)
    _program("text", "echo shell text\n")
    _program("badinterp", "#!/nonexistent/interp\n")
    _program("dirinterp", "#!/etc\n")
    _program("self", f"#!{os.getcwd()}/self\n")
    put("junk", "\x7fELF" + "\0" * 200)
    os.chmod("junk", 0o755)
    os.mkdir("d")
    os.symlink("loop", "loop")
    os.symlink("/bin/true", "link")
    paths = (
        "plain",
        "empty",
        "noexec",
        "text",
        "badinterp",
        "dirinterp",
        "self",
        "junk",
        "d",
        "loop",
        "missing",
        "plain/x",
        "missing/x",
        "d/",
        "link",
        "./",
        "n" * 256,
        "x/" * 2100,
    )
    return {p[:12]: _run(p) for p in paths}


@case
def errors_do_not_cost_the_process() -> object:
    """A failing execve returns; the process goes on and can exec something else."""
    pid = os.fork()
    if pid == 0:
        seen = []
        for path in ("/missing/a", "/etc/passwd", "/", "/missing/b"):
            try:
                os.execv(path, ["x"])
            except OSError as error:
                seen.append(errno.errorcode[error.errno or 0])
        put("seen", ",".join(seen))
        os.execv("/bin/sh", ["sh", "-c", "exit 7"])
    return [os.waitpid(pid, 0)[1] >> 8, text("seen")]


@case
def path_probes() -> object:
    """PATH search: many failing execs before the one that works; EACCES is remembered."""
    for number in range(6):
        os.mkdir(f"bin{number}")
    _program("bin2/tool", "#!/bin/sh\necho wrong\n", 0o644)
    _program("bin4/tool", "#!/bin/sh\necho found $1\n")
    path = ":".join(f"{os.getcwd()}/bin{n}" for n in range(6))
    seen = []
    for line in (
        "tool x",
        "tool y; tool z",
        "absent; echo $?",
        "env tool e",
        "command -v tool >/dev/null && exec tool last",
    ):
        out = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, env={"PATH": path + ":/usr/bin:/bin"}, check=False
        )
        seen.append([out.returncode, out.stdout])
    os.unlink("bin4/tool")
    denied = subprocess.run(["/bin/sh", "-c", "tool"], capture_output=True, env={"PATH": path}, check=False).returncode
    return [seen, denied, t(os.execvpe, "tool", ["tool"], {"PATH": path})]


@case
def scripts() -> object:
    _program("plain.sh", '#!/bin/sh\nprintf \'[%s]\' "$0" "$@"\n')
    _program("flag.sh", "#!/bin/sh -e\nfalse\necho not reached\n")
    _program("env.py", "#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n")
    _program("outer", f"#!{os.getcwd()}/plain.sh middle words\n")
    _program("noeol", "#!/bin/sh")
    _program("spaces", "#! /bin/echo  one two \n")
    _program("crlf", "#!/bin/sh\r\necho x\n")
    _program("long", "#!/" + "x" * 300 + "\n")
    os.symlink("plain.sh", "link.sh")
    here = os.getcwd()
    seen = {
        p: _run("./" + p, "a b", "")
        for p in ("plain.sh", "flag.sh", "env.py", "outer", "noeol", "spaces", "crlf", "long", "link.sh")
    }
    return {k: [v[0], v[1].replace(here, "HERE")] if isinstance(v, list) else v for k, v in seen.items()}


@case
def text_without_a_first_line_is_run_by_shells() -> object:
    _program("script", "echo by the shell $1\n")
    out = subprocess.run(["/bin/sh", "-c", "./script arg"], capture_output=True, text=True, check=False)
    return [out.returncode, out.stdout, t(os.execv, "./script", ["script"])]


@case
def arguments_and_environment() -> object:
    seen: dict[str, object] = {}
    for size in (1000, 100_000, 131_071, 131_072, 200_000):
        seen[f"arg {size}"] = (
            _run("/usr/bin/expr", "length", "x" * (size - 1))
            if size < 131_072
            else _run("/bin/true", "x" * (size - 1 + 1))
        )
    seen["arg 131072 exact"] = _run("/bin/true", "x" * 131_071)
    seen["env big"] = _run("/bin/sh", "-c", "echo ${#BIG}", env={"BIG": "y" * 100_000})
    seen["env too big"] = _run("/bin/true", env={"BIG": "y" * 131_072})
    seen["many"] = _run("/bin/sh", "-c", "echo $#", *["a"] * 20_000)
    seen["total too big"] = _run("/bin/true", *["z" * 100_000] * 40)
    seen["odd bytes"] = _run(_PRINT, "%s|", b"\xff\xfe", "a\nb", "", " ", "\x1b[1m", "-n")
    seen["clean env"] = _run("/usr/bin/env", env={"A": "1", "B": "x=y", "C": ""})
    return seen


@case
def null_and_bad_vectors() -> object:
    """argv NULL runs with an empty argv[0]; bad pointers are EFAULT and cost nothing."""

    def execve(path: bytes, argv: object, envp: object) -> object:
        def inner() -> object:
            return raw("execve", path, argv, envp)

        return kit.child(inner)

    vector = (ctypes.c_char_p * 2)(b"x", None)
    wild = (ctypes.c_void_p * 2)(8, None)
    seen = {
        "path": execve(b"/bin/true", 8, 0),
        "string": execve(b"/bin/true", wild, 0),
        "env": execve(b"/bin/true", vector, 8),
        "env string": execve(b"/bin/true", vector, wild),
        "kernel": execve(b"/bin/true", -4096, 0),
    }
    pid = os.fork()
    if pid == 0:
        raw("execve", b"/bin/true", 0, 0)
        os._exit(99)
    return [seen, os.waitpid(pid, 0)[1]]


@case
def by_descriptor() -> object:
    """execveat: relative to a directory, and the descriptor itself for an ELF file."""
    os.mkdir("d")
    _program("d/s.sh", "#!/bin/sh\necho script $1\n")
    directory = os.open("d", os.O_RDONLY)
    vector = (ctypes.c_char_p * 3)(b"n", b"arg", None)
    environment = (ctypes.c_char_p * 1)(None)

    def at(fd: int, path: bytes, flags: int = 0) -> object:
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(w, 1)
            result = raw("execveat", fd, path, vector, environment, flags)
            os.write(1, str(result).encode())
            os._exit(9)
        os.close(w)
        data = os.read(r, 999).decode()
        return [os.waitpid(pid, 0)[1], data]

    os.symlink("/bin/echo", "d/l")
    return {
        "relative": at(directory, b"s.sh"),
        "absolute": at(999, b"/bin/echo"),
        "bad fd": at(999, b"s.sh"),
        "not a directory": at(os.open("d/s.sh", os.O_RDONLY), b"x"),
        "elf by fd": at(os.open("/bin/echo", os.O_RDONLY), b"", AT_EMPTY_PATH),
        "elf by path fd": at(os.open("/bin/echo", os.O_PATH), b"", AT_EMPTY_PATH),
        "empty": at(directory, b""),
        "nofollow": at(directory, b"l", 0x100),
        "unknown flag": at(directory, b"s.sh", 0x8),
        "cwd": at(AT_FDCWD, b"d/s.sh"),
        "proc": at(AT_FDCWD, b"/proc/self/fd/%d" % os.open("/bin/echo", os.O_RDONLY)),
    }


@case
def from_a_thread() -> object:
    """exec by a thread that is not the leader: the process keeps its pid, the other threads are gone."""
    source = (
        "import os, threading, time\n"
        "print(os.getpid(), flush=True)\n"
        "def go(): os.execv('/bin/sh', ['sh', '-c', 'echo $$; ls /proc/$$/task | wc -l'])\n"
        "[threading.Thread(target=time.sleep, args=(60,), daemon=True).start() for _ in range(3)]\n"
        "threading.Thread(target=go).start()\n"
        "time.sleep(60)\n"
    )
    seen = []
    for _ in range(5):
        out = subprocess.run(
            ["/usr/bin/python3", "-c", source], capture_output=True, text=True, timeout=40, check=False
        )
        lines = out.stdout.split()
        seen.append([out.returncode, len(lines) == 3 and lines[0] == lines[1], lines[-1:]])
    return seen


@case
def failing_exec_in_a_thread() -> object:
    """Threads whose exec fails go on; the process as a whole is not stopped."""
    seen: list[object] = []

    def work() -> None:
        for _ in range(20):
            seen.append(t(os.execv, "/missing/program", ["x"]))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [len(seen), set(seen) == {"!ENOENT"}]


@case
def many_ways_to_spawn() -> object:
    seen: dict[str, list[object]] = {"fork": [], "spawn": [], "subprocess": [], "system": [], "shell": []}
    for number in range(15):
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/sh", ["sh", "-c", f"exit {number}"])
        seen["fork"].append(os.waitpid(pid, 0)[1] >> 8)
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"exit {number}"], {})
        seen["spawn"].append(os.waitpid(pid, 0)[1] >> 8)
        seen["subprocess"].append(subprocess.run(["/bin/sh", "-c", f"exit {number}"], check=False).returncode)
        seen["system"].append(os.system(f"exit {number}") >> 8)
        seen["shell"].append(subprocess.run(f"/bin/true; (exit {number})", shell=True, check=False).returncode)
    return seen


@case
def spawned_from_many_threads() -> object:
    bad: list[object] = []

    def work(who: int) -> None:
        for number in range(15):
            out = subprocess.run([_PRINT, f"{who}-{number}"], capture_output=True, check=False)
            if (out.returncode, out.stdout) != (0, f"{who}-{number}".encode()):
                bad.append([out.returncode, out.stdout.decode("latin-1")])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bad


@case
def parent_sees_no_stops() -> object:
    """waitpid(WUNTRACED|WCONTINUED) of the real parent reports exits only, and SIGCHLD comes once per child."""
    seen = []
    for _ in range(50):
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/true", ["true"])
        while True:
            _, status = os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)
            seen.append("exit" if os.WIFEXITED(status) else "stop")
            if os.WIFEXITED(status) or os.WIFSIGNALED(status):
                break
    return [len(seen), set(seen) == {"exit"}]


@case
def image_state() -> object:
    """What the new image finds: nobody traces it, signals as they were, pid and parent unchanged."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    keys = "TracerPid|SigBlk|SigIgn|SigCgt|Threads|NoNewPrivs:x|SigPnd|ShdPnd"
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(w, 1)
        os.execv("/bin/grep", ["grep", "-E", keys, "/proc/self/status"])
    os.close(w)
    os.waitpid(pid, 0)
    return os.read(r, 999).decode().split("\n")


@case
def stopped_and_continued_around_exec() -> object:
    """Job control signals work on a freshly executed program."""
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sleep", ["sleep", "60"])
    seen = []
    while not os.readlink(f"/proc/{pid}/exe").endswith("sleep"):
        pass
    for sent in (signal.SIGSTOP, signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT, signal.SIGTERM):
        os.kill(pid, sent)
        _, status = os.waitpid(pid, os.WUNTRACED | os.WCONTINUED)
        seen.append(
            [
                os.WIFSTOPPED(status) and os.WSTOPSIG(status),
                os.WIFCONTINUED(status),
                os.WIFSIGNALED(status) and os.WTERMSIG(status),
            ]
        )
    return seen


@case
def killed_right_after_exec() -> object:
    """SIGKILL at any moment of an exec is seen by the parent as such."""
    seen = set()
    for number in range(60):
        pid = os.fork()
        if pid == 0:
            os.execv("/bin/sleep", ["sleep", "60"])
        for _ in range(number * 40):
            pass
        os.kill(pid, signal.SIGKILL)
        seen.add(os.waitpid(pid, 0)[1])
    return sorted(seen)


@case
def deleted_and_replaced_program() -> object:
    _program("p", "#!/bin/sh\necho one\n")
    first = _run("./p")
    _program("q", "#!/bin/sh\necho two\n")
    os.rename("q", "p")
    second = _run("./p")
    os.unlink("p")
    return [first, second, _run("./p"), names()]


@case
def vfork_parent_is_killed() -> object:
    """The parent dies while its child is on the way into exec: the child still runs, and nothing hangs."""
    source = (
        "import os, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.0DELAY), os.kill(os.getpid(), 9)), daemon=True).start()\n"
        "while True:\n"
        "    os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)\n"
    )
    seen = set()
    for delay in range(10, 40, 3):
        command = ["/usr/bin/python3", "-c", source.replace("DELAY", str(delay))]
        seen.add(subprocess.run(command, timeout=40, check=False).returncode)
    return [sorted(seen), _run("/bin/echo", "fine")]


@case
def exec_races_other_threads_calls() -> object:
    """One thread execs while others are in the middle of mediated calls: the new image starts, alone."""
    source = (
        "import os, threading\n"
        "def churn(n):\n"
        "    while True:\n"
        "        os.close(os.open(f'c{n}', os.O_WRONLY | os.O_CREAT)); os.rename(f'c{n}', f'r{n}')\n"
        "[threading.Thread(target=churn, args=(n,), daemon=True).start() for n in range(4)]\n"
        "while not os.path.exists('r3'): pass\n"
        "os.execv('/bin/sh', ['sh', '-c', 'ls /proc/$$/task | wc -l'])\n"
    )
    seen = []
    for _ in range(8):
        command = ["/usr/bin/python3", "-c", source]
        out = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
        seen.append([out.returncode, out.stdout.strip()])
    return seen


kit.main()
