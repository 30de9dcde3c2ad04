"""argv -> normal form: spellings, wrappers, interpreters, small files, and lines that mean harm."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.commands.normal import commands, continues
from supervisor.commands.toolfiles import names, tool
from supervisor.commands.wrappers import WRAPPERS, interpreter
from supervisor.profile.rulevalues import COMMAND_CLASSES
from supervisor.vocabulary.commands import Command

CONFIG = b'[remote "origin"]\nurl = git@host:org/repo\n[branch "main"]\n\tremote = origin\n\tmerge = refs/heads/main\n'
FILES = {
    b"/home/u/.kube/config": b"current-context: prod-eu\n",
    b"/w/.git/config": CONFIG,
    b"/w/.git/HEAD": b"ref: refs/heads/main\n",
}
HOME = {b"HOME": b"/home/u"}


def asked(
    line: str,
    files: Mapping[bytes, bytes] = FILES,
    variables: Mapping[bytes, bytes] = HOME,
    program: str = "",
    identity: str = "",
    cwd: bytes = b"/w",
) -> tuple[Command, ...]:
    argv = tuple(word.encode() for word in shlex.split(line))
    return commands(argv, program.encode() or argv[0], lambda: variables, cwd, files.get, identity)


def classes(line: str, **more: object) -> set[str]:
    return {name for each in asked(line, **more) for name in each.classes}  # type: ignore[arg-type]


# What the kernel executes in the end for each of the spellings: a shell's words are gone by then.
SPELLINGS = [
    ("git -C . push origin main", "-C"),
    ("git push origin main", r"g\it pu''sh"),
    ("git push origin main", "X=push; git $X"),
    ("git push origin main", "$(echo git) push"),
    ("git push origin main", "cd x && git push"),
    ("git push origin main", "bash -c"),
    ("git push", "echo push | xargs git"),
    ("git push origin main", "python subprocess"),
    ("git push origin main", "eval"),
    ("git push origin main", "printf | sh"),
    ("/usr/bin/git push origin main", "find -exec"),
    ("git push origin main", "awk system()"),
    ("git push origin main", "base64 | bash"),
    ("git push origin main", "make"),
]


@pytest.mark.parametrize(("line", "spelling"), SPELLINGS, ids=[each for _, each in SPELLINGS])
def test_every_spelling_is_a_push(line: str, spelling: str) -> None:
    (found,) = asked(line)
    assert (found.tool, found.verb, found.classes) == ("git", "push", ("vcs-remote",))
    assert found.targets == ("origin", "refs/heads/main")
    assert found.words[:2] == ("git", "push")


@pytest.mark.parametrize(
    "line",
    [
        "bash -c 'git push'",
        "sh script.sh",
        "echo push",
        "awk '{system(\"git push\")}'",
        "make push",
        "git commit -m 'git push'",
    ],
)
def test_what_starts_something_else_or_only_speaks_of_it_has_no_class(line: str) -> None:
    assert classes(line) == set()


# ---------------------------------------------------------------------------------------------------- wrappers

PUSH = "git push origin main"
EARLY = [
    "env FOO=1 git push origin main",
    "env -i HOME=/home/u git push origin main",
    "env -u X -C /w git push origin main",
    "env -S 'git push origin main'",
    "env --split-string='git push' origin main",
    "timeout -k 1 -s KILL 5 git push origin main",
    "nice -n 5 git push origin main",
    "nice -5 git push origin main",
    "ionice -c 2 -n 7 git push origin main",
    "nohup git push origin main",
    "setsid -w git push origin main",
    "stdbuf -oL -e0 git push origin main",
    "time -f %e git push origin main",
    "chrt -r 5 git push origin main",
    "taskset 0x3 git push origin main",
    "flock -w 3 /tmp/l git push origin main",
    "flock /tmp/l -c 'git push origin main'",
    "watch -n 3 git push origin main",
    "script -q -c 'git push origin main' /dev/null",
    "systemd-inhibit --what=sleep git push origin main",
    "timeout 5 nice nohup setsid env A=b stdbuf -oL git push origin main",
]


@pytest.mark.parametrize("line", EARLY)
def test_a_wrapper_whose_command_is_known_is_told_early(line: str) -> None:
    first, *rest = asked(line)
    assert first.classes == ()
    assert first.tool == shlex.split(line)[0]
    assert [(each.tool, each.verb, each.targets) for each in rest] == [("git", "push", ("origin", "refs/heads/main"))]


LATER = [
    "xargs kubectl apply -f",
    "parallel kubectl apply -f {} ::: a b",
    "sudo kubectl apply -f x",
    "doas kubectl apply -f x",
    "su root -c 'kubectl apply -f x'",
    "runuser -u x -- kubectl apply -f x",
    "strace -f kubectl apply -f x",
    "unshare -n kubectl apply -f x",
    "nsenter -t 1 -m kubectl apply -f x",
    "direnv exec . kubectl apply -f x",
    "op run -- kubectl apply -f x",
    "doppler run -- kubectl apply -f x",
    "chamber exec svc -- kubectl apply -f x",
    "aws-vault exec prod -- kubectl apply -f x",
    "find . -name '*.yml' -exec kubectl apply -f {} ;",
    "flock /tmp/l -c 'kubectl apply -f $X'",
    "watch 'kubectl apply -f x | tee y'",
]


@pytest.mark.parametrize("line", LATER)
def test_a_wrapper_that_leaves_something_open_is_not_denied_for_it(line: str) -> None:
    (found,) = asked(line)
    assert found.classes == ()
    assert found.resolved


@pytest.mark.parametrize("line", [*EARLY, *LATER])
def test_every_wrapper_is_there_by_its_own_words(line: str) -> None:
    words = shlex.split(line)
    assert words[0] in WRAPPERS or words[0] == "find"
    assert asked(line)[0].words[0] == words[0]


def test_what_an_open_wrapper_starts_is_told_where_its_line_says_all() -> None:
    assert [each.tool for each in asked("xargs kubectl --context dev apply -f")] == ["xargs", "kubectl"]
    assert asked("sudo kubectl --context dev apply -f x")[1].targets == ("dev",)


def test_variables_of_env_count() -> None:
    assert asked("env AWS_PROFILE=prod aws s3 rb s3://x")[1].targets == ("prod",)
    assert asked("env -u AWS_PROFILE aws s3 rb s3://x", variables={b"AWS_PROFILE": b"prod"})[1].targets == ("default",)
    assert asked("env -i aws s3 rb s3://x", variables={b"AWS_PROFILE": b"prod"})[1].targets == ("default",)


def test_wrappers_in_wrappers_end_somewhere() -> None:
    assert classes("nohup " * 8 + PUSH) == {"vcs-remote"}
    found = asked("nohup " * 20 + PUSH)
    assert found[-1].classes == ()
    assert not found[-1].resolved
    assert asked("env -S '" + "env " * 3000 + "x'")  # no recursion without end


# ------------------------------------------------------------------------------ programs that are another's code

DIRECT = [
    "/lib64/ld-linux-x86-64.so.2 /usr/bin/kubectl apply -f x",
    "/lib64/ld-linux-x86-64.so.2 --library-path /a --preload /b --argv0 z /usr/bin/kubectl apply -f x",
    "/lib/ld-musl-x86_64.so.1 /usr/bin/kubectl apply -f x",
    "ld-linux-aarch64.so.1 --inhibit-cache /usr/bin/kubectl apply -f x",
    "python3 -I /usr/bin/kubectl apply -f x",
    "node --import x /opt/kubectl.js apply -f x",
    "java -Xmx1g -jar /opt/kubectl.jar apply -f x",
    "/lib64/ld-linux-x86-64.so.2 /usr/bin/python3.11 -m kubectl apply -f x",
]


@pytest.mark.parametrize("line", DIRECT)
def test_what_a_loader_or_interpreter_runs_is_what_counts(line: str) -> None:
    (found,) = asked(line)
    assert (found.tool, found.classes, found.targets) == ("kubectl", ("deploy",), ("prod-eu",))
    assert [(each.form, each.name) for each in found.applies] == [("manifests", "x")]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python -m awscli ec2 terminate-instances", "infra-destroy"),
        ("python -sm azure.cli vm delete -n x --subscription s", "infra-destroy"),
        ("python -mtwine upload x", "publish"),
        ("node /usr/lib/node_modules/npm/bin/npm-cli.js publish", "publish"),
        ("node /w/node_modules/vercel/dist/index.js --prod", "deploy"),
        ("node /w/node_modules/netlify-cli/bin/run.js deploy", "deploy"),
        ("ruby -W0 /usr/bin/fastlane deploy", "deploy"),
        ("php artisan migrate", "db-admin"),
        ("busybox nc host 80", "egress"),
        ("python -S /usr/lib/google-cloud-sdk/lib/gcloud.py run deploy x --project p", "deploy"),
        ("npx -y netlify-cli@17 deploy --prod", "deploy"),
        ("uvx --from awscli aws s3 rb s3://x", "infra-destroy"),
        ("pipx run twine upload x", "publish"),
        ("pnpm dlx wrangler deploy", "deploy"),
        ("yarn dlx wrangler deploy", "deploy"),
        ("bunx wrangler deploy", "deploy"),
        ("npm exec -- wrangler deploy", "deploy"),
        ("/usr/lib/git-core/git-push origin main", "vcs-remote"),
        ("/usr/lib/git-core/git-send-pack git@host:x main", "vcs-remote"),
    ],
)
def test_other_ways_to_a_tool(line: str, expected: str) -> None:
    assert expected in classes(line)


def test_a_runner_also_installs() -> None:
    assert classes("npx wrangler deploy") == {"package-install", "deploy"}
    assert classes("ld-linux-x86-64.so.2 /usr/bin/python3 -m pip install x") == {"package-install"}


def test_the_executed_program_counts_more_than_what_it_is_called() -> None:
    assert asked("ls apply -f x", program="/usr/bin/kubectl")[0].tool == "kubectl"
    assert asked("kubectl apply -f x", program="/tmp/x1234")[0].tool == "kubectl"
    assert asked("nc host 80", program="/bin/busybox")[0].classes == ("egress",)
    assert asked("-sh", program="/bin/busybox")[0].tool == "sh"


def test_a_renamed_copy_is_known_by_its_content() -> None:
    assert asked("./g2 push origin main", program="/w/g2")[0].classes == ()
    assert asked("./g2 push origin main", program="/w/g2", identity="git")[0].classes == ("vcs-remote",)
    assert asked("./g2 x", program="/w/g2", identity="unknown-tool")[0].tool == "g2"


@pytest.mark.parametrize("name", ["kubectl-1.29", "kubectl_v1.29.3", "kubectl.exe", "kubectl1.5", "kubectl-15"])
def test_versions_in_names(name: str) -> None:
    assert asked(f"/opt/{name} x")[0].tool == "kubectl"


# --------------------------------------------------------------------------------------------------- normal form


def test_words_are_without_wrappers_and_global_options() -> None:
    found = asked("git -c a=b -C x --git-dir /w/.git push --force origin main")[0]
    assert found.words == ("git", "push", "--force", "origin", "main")
    assert asked("kubectl -n x rollout --context y restart deploy/z")[0].words == (
        *("kubectl", "rollout", "restart", "deploy/z"),
    )
    assert asked("/usr/local/bin/foo a -b")[0] == Command("foo", "", ("foo", "a", "-b"))


def test_only_what_surely_looks_is_harmless() -> None:
    assert classes("kubectl apply --dry-run=client -f x") == set()
    assert classes("kubectl apply --dry-run=server -f x") == set()
    assert classes("kubectl apply --dry-run=none -f x") == {"deploy"}
    assert classes("kubectl apply --dry-run=client --dry-run=false -f x") == {"deploy"}
    assert classes("kubectl apply --unheard-of --dry-run=client -f x") == {"deploy"}
    assert classes("kubectl apply -l --dry-run -f x") == {"deploy"}
    assert classes("kubectl apply -f x -- --dry-run=client") == {"deploy"}
    assert classes("helm upgrade r c --set --help") == {"deploy"}
    assert classes("helm upgrade r c --version 1") == {"deploy"}
    assert classes("git push --dry-run --no-dry origin main") == {"vcs-remote"}
    assert classes("git push -o --dry-run origin main") == {"vcs-remote"}
    assert classes("git push -o -n origin main") == {"vcs-remote"}
    assert classes("git clean -fdn") == set()
    assert classes("git clean -f -e -n") == {"vcs-destroy"}
    assert classes("ansible-playbook -i x -e --check s.yml") == {"deploy"}
    assert classes("psql -c --version") == {"db-admin"}


def test_an_option_nobody_listed_hides_no_verb() -> None:
    assert classes("docker --new-option x push reg/y") == {"publish"}
    assert "publish" in classes("npm --new-option y publish")
    assert classes("npm run publish") == set()


# ------------------------------------------------------------------------------------------------------ targets


def test_a_push_is_told_by_name_and_address() -> None:
    found = asked("git push")[0]
    assert found.targets == ("origin", "refs/heads/main")
    assert found.stands_for == (("origin", "git@host:org/repo"),)
    assert found.source == "/w/.git/config"


@pytest.mark.parametrize(
    "line",
    [
        "git -c remote.origin.url=x push origin main",
        "git -c URL.x.insteadOf=git@host: push origin main",
        "git -c include.path=/tmp/c push origin main",
        "git --config-env remote.origin.url=X push origin main",
        "git push elsewhere main",
        "git push origin :v1",
        "git push origin --delete v1",
    ],
)
def test_a_push_whose_place_cannot_be_told(line: str) -> None:
    found = asked(line)[0]
    assert found.classes == ("vcs-remote",)
    assert not found.resolved


def test_a_push_with_configuration_from_variables_cannot_be_told() -> None:
    for name in (b"GIT_CONFIG_COUNT", b"GIT_CONFIG_PARAMETERS", b"GIT_CONFIG_GLOBAL"):
        assert not asked("git push origin main", variables={**HOME, name: b"1"})[0].resolved


def test_includes_in_the_repository_tell_nothing_for_certain() -> None:
    files = {**FILES, b"/w/.git/config": CONFIG + b"[include]\n\tpath = /tmp/x\n"}
    assert not asked("git push origin main", files)[0].resolved


def test_addresses_as_git_rewrites_them() -> None:
    config = CONFIG + b'[url "https://evil.example/"]\ninsteadOf = git@host:\n[url "ssh://b/"]\npushInsteadOf = g:\n'
    files = {**FILES, b"/w/.git/config": config}
    assert asked("git push origin main", files)[0].stands_for == (("origin", "https://evil.example/org/repo"),)
    assert asked("git push git@host:x main", files)[0].targets[0] == "https://evil.example/x"
    assert asked("git push g:x main", files)[0].targets[0] == "ssh://b/x"


def test_a_push_goes_to_all_addresses() -> None:
    files = {**FILES, b"/w/.git/config": CONFIG + b'[remote "origin"]\n\tpushurl = a:x\n\tpushurl = "b:y"\n'}
    assert [each for _, each in asked("git push", files)[0].stands_for] == ["a:x", "b:y"]


def test_what_a_push_without_words_pushes() -> None:
    def pushed(extra: bytes) -> tuple[str, ...]:
        return asked("git push", {**FILES, b"/w/.git/config": CONFIG + extra})[0].targets[1:]

    assert pushed(b"[push]\n\tdefault = matching\n") == ("refs/heads/*",)
    assert pushed(b'[remote "origin"]\n\tpush = refs/heads/*:refs/x/*\n') == ("refs/x/*",)
    assert pushed(b'[remote "origin"]\n\tmirror = true\n') == ("refs/*",)
    assert pushed(b'[push]\n\tdefault = upstream\n[branch "main"]\n\tmerge = refs/heads/up\n') == ("refs/heads/up",)


def test_tags_are_not_taken_for_branches() -> None:
    tagged = {**FILES, b"/w/.git/packed-refs": b"# pack-refs\n0123 refs/tags/v1\n"}
    assert asked("git push origin v1", tagged)[0].targets[1:] == ("refs/tags/v1",)
    both = {**tagged, b"/w/.git/refs/heads/v1": b"0123\n"}
    assert not asked("git push origin v1", both)[0].resolved
    assert asked("git push origin tags/v1")[0].targets[1:] == ("refs/tags/v1",)


def test_a_linked_work_tree_and_a_bare_repository() -> None:
    files = {
        b"/l/.git": b"gitdir: /w/.git/worktrees/l\n",
        b"/w/.git/worktrees/l/commondir": b"../..\n",
        b"/w/.git/worktrees/l/HEAD": b"ref: refs/heads/topic\n",
        b"/w/.git/config": CONFIG,
        b"/bare/HEAD": b"ref: refs/heads/main\n",
        b"/bare/config": CONFIG,
    }
    assert asked("git push", files, cwd=b"/l/deep")[0].targets == ("origin", "refs/heads/topic")
    assert asked("git push", files, cwd=b"/bare")[0].targets == ("origin", "refs/heads/main")
    assert asked("git -C /l push", files, cwd=b"/")[0].targets == ("origin", "refs/heads/topic")


@pytest.mark.parametrize(
    "text",
    [
        b"current-context: prod\ncurrent-context: dev\n",
        b'current-context: "\\x70rod"\n',
        b"current-context: *name\n",
        b"current-context: !!str dev\n",
        b"current-context: |\n  dev\n",
        b'{"current-context": "dev"}',
        b"current-context: >-\n  dev\n",
        b"current-context:\n",
        b"current-context: dev\n" + b"#" * (1 << 19),
    ],
)
def test_a_kubeconfig_that_is_not_plain_tells_nothing(text: bytes) -> None:
    found = asked("kubectl apply -f x", {b"/home/u/.kube/config": text})[0]
    assert found.classes == ("deploy",)
    assert not found.resolved


def test_contexts_in_order() -> None:
    files = {**FILES, b"/a": b"kind: Config\n", b"/b": b"'current-context': 'dev' # x\n"}
    found = asked("kubectl apply -f x", files, {**HOME, b"KUBECONFIG": b"/none:/a:/b"})[0]
    assert (found.targets, found.source) == (("dev",), "/b")
    assert asked("kubectl --kubeconfig /b apply -f x", files)[0].targets == ("dev",)
    assert asked("kubectl --kubeconfig=/b --context c apply -f x", files)[0].targets == ("c",)
    assert asked("kubectl --cluster k --context c apply -f x", files)[0].targets == ("k",)


def test_no_variables_and_files_are_read_for_what_has_no_class() -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError

    for line in (
        "ls -la",
        "git status",
        "kubectl get pods",
        "aws ec2 describe-instances",
        "npm run build",
        "unknown x",
    ):
        argv = tuple(line.encode().split())
        assert commands(argv, argv[0], forbidden, b"/w", forbidden)[0].classes == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("git push https://user:secret@h.example/o/r main", "https://h.example/o/r"),
        ("git push https://h.example/o/../evil/r main", "https://h.example/evil/r"),
        ("git push https://h.example/o/%2E%2e/evil main", "https://h.example/evil"),
        ("git push git@h:o/../evil main", "git@h:evil"),
        ("terraform -chdir=dev/../prod apply", "prod"),
        ("psql postgres://u:secret@h:5432/db", "h:5432/db"),
        ("psql 'host=h user=u password=secret dbname=db'", "h/db"),
    ],
)
def test_targets_hold_no_password_and_no_way_up(line: str, target: str) -> None:
    found = asked(line)[0]
    assert target in found.targets
    assert all("secret" not in each for each in found.targets)


def test_registries_and_accounts_from_files() -> None:
    files = {
        b"/w/package.json": b'{"publishConfig": {"registry": "https://r.example"}}',
        b"/home/u/.config/gcloud/configurations/config_default": b"[core]\nproject = p1\n",
        b"/home/u/.azure/azureProfile.json": b'{"subscriptions": [{"name": "s1", "isDefault": true}]}',
        b"/home/u/.docker/config.json": b'{"currentContext": "prod"}',
        b"/w/.terraform/environment": b"stage",
    }
    assert asked("npm publish", files)[0].targets == ("https://r.example",)
    assert asked("npm publish", files)[0].source == "/w/package.json"
    assert asked("gcloud run deploy x", files)[0].targets == ("p1",)
    assert asked("az vm delete -n x", files)[0].targets == ("s1",)
    assert asked("docker compose up", files)[0].targets == ("prod",)
    assert asked("terraform apply", files)[0].targets == ("stage",)
    broken = dict.fromkeys(files, b"\xff\x00{" + b"[" * 100_000)
    for line in ("gcloud run deploy x", "az vm delete -n x", "docker compose up"):
        found = asked(line, broken)[0]
        assert found.classes
        assert not found.resolved


# ------------------------------------------------------------------------------------------- programs from stdin


@pytest.mark.parametrize(
    "line",
    [
        *("sh", "bash", "bash -s", "bash -s -- arg", "bash -x", "sh -", "bash /dev/stdin", "zsh -e", "dash -"),
        *("python", "python3.12 -", "python -u", "node", "node -", "perl", "perl -w", "ruby", "ruby -", "php"),
        *("lua", "luajit"),
        *("busybox sh", "bash --norc", "bash -o pipefail", "/lib64/ld-linux-x86-64.so.2 /bin/bash", "sh -s x.sh"),
        *("pwsh",),
    ],
)
def test_interpreters_that_read_their_program(line: str) -> None:
    argv = tuple(word.encode() for word in shlex.split(line))
    assert interpreter(argv, argv[0])


@pytest.mark.parametrize(
    "line",
    [
        *("sh x.sh", "bash -c 'cat'", "bash -ec 'x'", "python x.py", "python -c 'x'", "python -m json.tool"),
        *("node x.js", "sort"),
        *("node -e 1", "perl -e 1", "perl -ne 1", "ruby -e 1", "cat", "grep x", "python --version", "java -jar x"),
        *("busybox cat", "/lib64/ld-linux-x86-64.so.2 /bin/cat", "bash -- x.sh", "perl -pe s/a/b/"),
    ],
)
def test_programs_for_which_standard_input_is_data(line: str) -> None:
    argv = tuple(word.encode() for word in shlex.split(line))
    assert not interpreter(argv, argv[0])


def test_a_called_shell_of_busybox() -> None:
    assert interpreter((b"sh",), b"/bin/busybox")
    assert not interpreter((b"cat",), b"/bin/busybox")
    assert interpreter((), b"/bin/sh")


# ------------------------------------------------------------------------------------------------------ git's own


def test_what_git_starts_to_push_continues_the_push() -> None:
    push = asked("git push origin main")[0]
    ssh = asked("ssh git@host \"git-receive-pack 'org/repo'\"")[0]
    sent = asked("git send-pack --stateless-rpc --helper-status https://h/x --stdin")[0]
    assert continues(push, ssh)
    assert continues(push, sent)
    assert not continues(asked("git fetch")[0], sent)
    assert not continues(push, asked("git push evil main")[0])
    assert not continues(push, asked("ssh git@host rm")[0])


@pytest.mark.parametrize(
    "command",
    ["git-upload-pack 'a'; rm -rf x", "git-upload-pack $(x)", "git-upload-pack 'a' 'b'", "git-upload-packx 'a'"],
)
def test_fetching_over_ssh_says_nothing_else(command: str) -> None:
    argv = (b"ssh", b"git@host", command.encode())
    assert commands(argv, b"ssh", dict, b"/w", FILES.get)[0].classes == ("remote-exec",)


# -------------------------------------------------------------------------------------------------------- hostile


@pytest.mark.parametrize(
    "name", ["git", "kubectl", "aws", "gcloud", "docker", "env", "xargs", "find", "python3", "npm", "psql", "curl"]
)
def test_long_lines(name: str) -> None:
    for filler in (b"-x", b"--unheard-of", b"a", b"--", b"@" * 10, b"A=b", b"-exec", b"push", b"-"):
        argv = (name.encode(), *([filler] * 10_000))
        assert commands(argv, name.encode(), lambda: HOME, b"/w", FILES.get)
    wide = (name.encode(), b"@" * 100_000 + b"/", b"a=" * 50_000, b"(" * 100_000, b"../" * 30_000)
    assert commands(wide, name.encode(), lambda: HOME, b"/w", FILES.get)


def test_hidden_after_ten_thousand_words() -> None:
    assert classes("git " + "-c a=b " * 10_000 + "push origin main") == {"vcs-remote"}


def test_files_that_are_meant_to_take_long() -> None:
    files = {
        b"/w/.git/config": b"[a]\n" + b"x = " + b"\\\n" * 100_000,
        b"/home/u/.kube/config": b"current-context: a" + b" " * 200_000 + b"b\n",
        b"/w/.git/HEAD": b"ref: " + b"x" * 200_000,
    }
    assert not asked("git push", files)[0].resolved
    assert not asked("kubectl apply -f x", files)[0].resolved


def test_no_words_at_all() -> None:
    assert commands((), b"/usr/bin/kubectl", dict, b"/w", FILES.get)[0].tool == "kubectl"
    assert commands((b"",), b"", dict, b"", FILES.get)
    assert commands((b"-",), b"/", dict, b"/", FILES.get)


@given(
    st.sampled_from(
        ["git", "kubectl", "env", "timeout", "npx", "find", "python", "ld-linux.so.2", "docker", "gcloud", "ssh"]
    ),
    st.lists(
        st.one_of(
            st.binary(max_size=12).map(lambda each: each.replace(b"\0", b"")),
            st.sampled_from(
                [b"push", b"--", b"-", b"-c", b"-C", b"origin", b"-exec", b"apply", b"-f", b"env", b"git", b"a:b"]
            ),
        ),
        max_size=12,
    ),
)
def test_any_bytes(name: str, rest: list[bytes]) -> None:
    argv = (name.encode(), *rest)
    found = commands(argv, name.encode(), lambda: HOME, b"/w", FILES.get)
    assert found
    for each in found:
        assert set(each.classes) <= set(COMMAND_CLASSES)
    interpreter(argv, argv[0])


# ------------------------------------------------------------------------------------------------------ the files


@pytest.mark.parametrize("name", sorted(names()))
def test_every_file_of_the_catalogue_reads(name: str) -> None:
    found = tool(name)
    assert found is not None
    every = {each.name for entries in (*found.entries.values(), found.wild) for each in entries}
    every |= {found.default, found.alone}
    assert every - {""} <= set(COMMAND_CLASSES)
    if every - {""} and found.handler not in ("ssh", "copy"):
        assert found.targets, "a class without a target is never allowed by one"
    from supervisor.commands.contexts import READERS

    for specs in found.targets.values():
        for part in (part for spec in specs for whole in spec.split(" / ") for part in whole.split("|")):
            assert part.lstrip("~")[:1] in "-$%@=?^", part
            assert not part.startswith("@") or part[1:] in READERS


def test_a_tool_outside_of_the_catalogue_reads_no_file() -> None:
    assert tool("../../../etc/passwd") is None
    assert asked("../catalogue/git/.. x")[0].tool == ".."
