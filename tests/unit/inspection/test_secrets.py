"""Credentials in files. Every text that looks like one is put together at run time and is nobody's."""

from __future__ import annotations

import hashlib
import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.inspection.secret_forms import FORMS
from supervisor.inspection.secrets import DEFAULT_PATTERNS, MORE, may_hold, secrets

CHANCE = random.Random(7)
ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
URL = ALNUM + "-_"


def some(letters: str, count: int) -> str:
    """Without the runs that stand in placeholders."""
    while True:
        made = "".join(CHANCE.choice(letters) for _ in range(count))
        if letters[0] not in made[:1] + made[-1:] and "xxxx" not in made.lower() and "-_" not in made:
            return made


UPPER = string.ascii_uppercase[:26] + "234567"
SAMPLES = {
    "aws-access-key": "AK" + "IA" + some(UPPER, 16),
    "aws-secret-key": "aws_secret_access" + "_key = '" + some(ALNUM, 40) + "'",
    "github-token": "gh" + "p_" + some(ALNUM, 36),
    "github-fine-grained-token": "github" + "_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59),
    "gitlab-token": "gl" + "pat-" + some(ALNUM, 20),
    "slack-token": "xo" + "xb-" + some("0123456789", 11) + "-" + some(ALNUM, 24),
    "slack-app-token": "xa" + "pp-1-A0" + some(ALNUM, 30),
    "slack-webhook": "https://hooks.slack"
    ".com/services/"
    "T" + some(UPPER, 9) + "/B" + some(UPPER, 9) + "/" + some(ALNUM, 24),
    "anthropic-key": "sk-" + "ant-api03-" + some(ALNUM, 80),
    "openai-key": "sk-" + "proj-" + some(ALNUM, 48),
    "google-api-key": "AI" + "za" + some(ALNUM, 35),
    "google-oauth-token": "ya" + "29." + some(ALNUM, 60),
    "google-client-secret": "GOC" + "SPX-" + some(ALNUM, 28),
    "npm-token": "np" + "m_" + some(ALNUM, 36),
    "pypi-token": "pypi" + "-AgEI" + some(ALNUM, 80),
    "sendgrid-key": "S" + "G." + some(ALNUM, 22) + "." + some(ALNUM, 43),
    "stripe-key": "sk" + "_live_" + some(ALNUM, 24),
    "stripe-webhook-secret": "wh" + "sec_" + some(ALNUM, 32),
    "digitalocean-token": "dop" + "_v1_" + some(HEX, 64),
    "huggingface-token": "h" + "f_" + some(string.ascii_letters, 34),
    "jwt": "ey" + "J" + some(ALNUM, 30) + ".ey" + "J" + some(ALNUM, 60) + "." + some(ALNUM, 43),
    "private-key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + some(ALNUM, 64) + "\n" + some(ALNUM, 64) + "\n-----END",
    "putty-private-key": "PuTTY-User" + "-Key-File-3: ssh-ed25519\nEncryption: none\n",
    "age-secret-key": "AGE-SECRET" + "-KEY-1" + some(string.ascii_uppercase, 58),
    "url-password": "postgres:/" + "/app:" + some(ALNUM, 14) + "@db.internal:5432/shop",
    "azure-account-key": "Account" + "Key=" + some(ALNUM, 86) + "==",
    "azure-sas": "?se=2027&s" + "ig=" + some(ALNUM, 43) + "%3D",
    "vault-token": "hv" + "s." + some(ALNUM, 90),
    "telegram-bot-token": some("123456789", 9) + ":A" + "A" + some(ALNUM, 33),
    "discord-webhook": "https://discord.com/api" + "/webhooks/" + some("123456789", 18) + "/" + some(ALNUM, 68),
    "twilio-key": "S" + "K" + some(HEX, 32),
    "mailgun-key": "ke" + "y-" + some(HEX, 32),
    "databricks-token": "da" + "pi" + some(HEX, 32),
    "shopify-token": "sh" + "pat_" + some(HEX, 32),
    "square-token": "sq" + "0atp-" + some(ALNUM, 22),
    "heroku-key": "HR" + "KU-" + some(ALNUM, 40),
    "linear-key": "lin" + "_api_" + some(ALNUM, 40),
    "notion-token": "nt" + "n_" + some(ALNUM, 46),
    "doppler-token": "dp" + ".pt." + some(ALNUM, 43),
    "grafana-token": "gl" + "sa_" + some(ALNUM, 32) + "_" + some(HEX, 8),
    "newrelic-key": "NR" + "AK-" + some(UPPER, 27),
    "sentry-token": "sn" + "trys_" + some(ALNUM, 80),
    "planetscale-token": "ps" + "cale_tkn_" + some(ALNUM, 43),
    "rubygems-key": "ruby" + "gems_" + some(HEX, 48),
    "docker-token": "dc" + "kr_pat_" + some(ALNUM, 27),
    "postman-key": "PM" + "AK-" + some(HEX, 24) + "-" + some(HEX, 34),
    "pulumi-token": "pu" + "l-" + some(HEX, 40),
    "terraform-token": some(ALNUM, 14) + ".atlas" + "v1." + some(ALNUM, 67),
    "supabase-key": "sb" + "p_" + some(HEX, 40),
    "groq-key": "gs" + "k_" + some(ALNUM, 52),
    "xai-key": "xa" + "i-" + some(ALNUM, 80),
    "perplexity-key": "pp" + "lx-" + some(ALNUM, 48),
    "replicate-token": "r" + "8_" + some(ALNUM, 37),
    "atlassian-token": "ATA" + "TT3" + some(ALNUM, 180),
    "tailscale-key": "ts" + "key-auth-" + some(ALNUM, 30),
    "brevo-key": "xkey" + "sib-" + some(HEX, 64) + "-" + some(ALNUM, 16),
}


def names(content: str | bytes) -> set[str]:
    return {each.pattern for each in secrets(content.encode() if isinstance(content, str) else content, ())}


def test_there_is_a_sample_of_every_format() -> None:
    assert set(SAMPLES) == set(DEFAULT_PATTERNS)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("around", ["{}", 'key = "{}"\n', "A={}\nB=1", "f('{}')", "- x: {}\n"])
def test_found_wherever_it_stands(name: str, around: str) -> None:
    content = ("# head\n" + around.replace("{}", SAMPLES[name])).encode()
    found = [each for each in secrets(content, ()) if each.pattern == name]
    assert len(found) == 1
    assert found[0].line == 2
    assert re.fullmatch(r"[0-9a-f]{16}", found[0].digest)
    assert may_hold(content, own=False)


@pytest.mark.parametrize("name", SAMPLES)
def test_one_format_speaks_of_it(name: str) -> None:
    told = names(SAMPLES[name])
    assert name in told
    assert told <= {name, "url-password"}


def test_the_digest_is_that_of_the_text_and_tells_nothing_else() -> None:
    text = SAMPLES["github-token"]
    (found,) = secrets(f"a\nb = '{text}'".encode(), ())
    assert found == ("github-token", hashlib.sha256(text.encode()).hexdigest()[:16], 2)
    assert text not in repr(found)


def test_a_token_that_moves_has_the_same_digest() -> None:
    text = SAMPLES["npm-token"]
    (one,) = secrets(f"{text}\n".encode(), ())
    (other,) = secrets(f"\n\n# {text} #\n".encode(), ())
    assert one[:2] == other[:2]
    assert (one.line, other.line) == (1, 3)


def test_each_text_is_told_once() -> None:
    text = SAMPLES["npm-token"]
    assert len(secrets(f"{text}\n{text}\n{SAMPLES['groq-key']}".encode(), ())) == 2


@pytest.mark.parametrize(
    "text",
    [
        "AK" + "IAIOSFODNN7" + "EXAMPLE",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY",
        "gh" + "p_" + "x" * 36,
        "gh" + "p_" + "A" * 36,
        "gh" + "p_xxxx" + some(ALNUM, 34),
        "sk-" + "ant-your-api-key-" + some(ALNUM, 20),
        "gl" + "pat-0123456789" + some(ALNUM, 10),
        "gl" + "pat-<your token goes here>",
        "postgres:/" + "/user:password@localhost/db",
        "postgres:/" + "/postgres:postgres@localhost/db",
        "postgres:/" + "/app:${DB_PASSWORD}@db/x",
        "postgres:/" + "/app:$PASSWORD@db/x",
        "postgres:/" + "/app:{password}@db/x",
        "postgres:/" + "/app:<password>@db/x",
        "postgres:/" + "/app:%s@db/x",
        "postgres:/" + "/app:changeme@db/x",
        "https://u:hunter22@api.example" + ".com/",
        "-----BEGIN " + "PRIVATE KEY-----\n...\n-----END",
        "-----BEGIN " + "PRIVATE KEY-----",
        "-----BEGIN " + "PUBLIC KEY-----\n" + some(ALNUM, 64),
        "http://localhost:8080/@scope/name",
        "git+ssh://git@github.com:org/repo.git",
        "https://registry.internal:443/@babel/core",
        "task-" + some(ALNUM, 40),
        "desk-" + some(ALNUM, 40),
        "TASK" + some(HEX, 32),
        "sha512-" + some(ALNUM, 86) + "==",
        "index " + some(HEX, 40),
        "github_patterns_and_other_names_in_code_that_is_long",
        "npm_config_user_agent_and_more_of_the_long_name_1",
        "hf_transformers_model_identifier_names_longer_than_34",
    ],
)
def test_no_secret(text: str) -> None:
    assert names(text) == set()
    assert not may_hold(text.encode(), own=False)


def test_text_in_utf_16_and_inside_binary_files() -> None:
    text = SAMPLES["github-token"]
    plain = secrets(text.encode(), ())
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        content = f"a\nb\nx={text}\n".encode(encoding)
        assert [each[:2] for each in secrets(content, ())] == [each[:2] for each in plain]
        assert secrets(content, ())[0].line == 3
        assert may_hold(content, own=False)
    content = b"\x7fELF\0\1\2\xff\0" + text.encode() + b"\0\xfe\xff"
    assert [each[:2] for each in secrets(content, ())] == [each[:2] for each in plain]
    assert may_hold(content, own=False)


def test_a_json_service_account() -> None:
    body = "".join(some(ALNUM, 64) + "\\n" for _ in range(5))
    content = '{"private_key": "-----BEGIN ' + "PRIVATE KEY-----\\n" + body + '-----END PRIVATE KEY-----\\n"}'
    assert names(content) == {"private-key"}


def test_an_encrypted_key_with_headers() -> None:
    head = "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,77AF\n\n"
    assert names(head + some(ALNUM, 64) + "\n") == {"private-key"}


def test_own_patterns_add_to_the_list_and_have_no_placeholders() -> None:
    content = f"acme-xxxx-12345678\n{SAMPLES['npm-token']}\n".encode()
    found = secrets(content, (("built-in", ""), ("r#1", r"acme-[a-z]{4}-\d{8}")))
    assert {(each.pattern, each.line) for each in found} == {("r#1", 1), ("npm-token", 2)}
    assert may_hold(b"anything", own=True)


def test_own_patterns_see_any_bytes_and_long_lines() -> None:
    pattern = (("r#1", r"acme-\d{8}"), ("r#2", r"^"))
    assert [each.line for each in secrets(b"\xff\xfe\n\x80acme-12345678\x80\n", pattern)] == [2]
    for before in (0, 3580, 4090, 4096, 9000, 100_000):
        assert [each.pattern for each in secrets(b"y" * before + b" acme-12345678 ", pattern)] == ["r#1"]


def test_a_pattern_that_is_none_is_an_error() -> None:
    with pytest.raises(re.error):
        secrets(b"x", (("r#1", "("),))


def test_above_the_limit_the_last_entry_stands_for_the_rest() -> None:
    tokens = ["np" + "m_" + hashlib.sha256(bytes([n % 256, n // 256])).hexdigest()[:36] for n in range(2100)]
    one = secrets("\n".join(tokens).encode(), ())
    assert len(one) == 2001
    last = [each for each in one if each.pattern == MORE]
    assert len(last) == 1
    other = secrets("\n".join([*tokens, "np" + "m_" + some(ALNUM, 36)]).encode(), ())
    assert {each[:2] for each in other} - {each[:2] for each in one}


@pytest.mark.parametrize(
    "unit", ["eyJ", "-eyJ", "sk-", "://a:", "://", "SK", "-----BEGIN RSA PRIVATE KEY-----\n     ", "xoxb-", ".eyJ."]
)
def test_a_file_of_anchors_ends(unit: str) -> None:
    content = (unit * (300_000 // len(unit))).encode()
    assert secrets(content, ()) == ()
    may_hold(content, own=False)


@given(st.binary(max_size=200), st.sampled_from(sorted(SAMPLES)), st.binary(max_size=60), st.booleans())
def test_the_prefilter_passes_over_nothing(before: bytes, name: str, after: bytes, wide: bool) -> None:
    content = before + SAMPLES[name].encode("utf-16-le" if wide else "utf-8") + after
    if secrets(content, ()):
        assert may_hold(content, own=False)


@given(st.text(alphabet="sk-ant_ghpeyJ.:/@AIza0123456789\n", max_size=300))
def test_the_prefilter_agrees_on_near_misses(text: str) -> None:
    if secrets(text.encode(), ()):
        assert may_hold(text.encode(), own=False)


def test_matches_of_the_forms_without_gaps_lie_in_long_runs() -> None:
    from supervisor.inspection.secret_forms import GAPS, RUN

    for form in FORMS:
        if not form.spaced:
            found = re.search(form.expression, SAMPLES[form.name].encode())
            assert found is not None
            assert b" " not in found[0].translate(GAPS), form.name
            assert len(found[0]) >= RUN, form.name
