"""What credentials look like: formats that begin with a text of their own. Matched from where that text stands.

Every repetition is bounded and possessive, so one attempt costs at most a few kilobytes whatever follows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_MOST_BODY = 1600  # characters of a key's text that tell it from others


class Form(NamedTuple):
    """``anchors``: texts of which one begins each match. ``hints``: at most five characters of each, since short texts
    are searched for faster. ``expression`` is compiled where it is needed. ``spaced``: a match may be shorter than
    ``RUN``, or holds characters that stand for gaps in ``GAPS``."""

    name: str
    anchors: tuple[bytes, ...]
    expression: bytes
    hints: tuple[bytes, ...]
    spaced: bool = False


# Every match of a form that is not ``spaced`` lies in a run of at least so many characters without a gap.
RUN: Final = 20
_IN_RUNS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.:/=+%"
GAPS: Final = bytes(97 if byte in _IN_RUNS else 32 for byte in range(256))


def _form(
    name: str,
    anchors: str,
    rest: bytes,
    *,
    hints: str = "",
    before: bytes = rb"(?<![A-Za-z0-9])",
    spaced: bool = False,
) -> Form:
    """``rest`` follows the anchor."""
    words = tuple(word.encode() for word in anchors.split())
    either = b"(?:" + b"|".join(re.escape(word) for word in words) + b")"
    short = tuple(word.encode() for word in hints.split()) or tuple(word[-5:] for word in words)
    return Form(name, words, before + either + rest, short, spaced)


_END = rb"(?![A-Za-z0-9])"
_WORD = rb"[A-Za-z0-9_-]"
_HEX = rb"[0-9a-f]"

FORMS: Final[tuple[Form, ...]] = (
    _form("aws-access-key", "AKIA ASIA ABIA ACCA", rb"[A-Z2-7]{16}" + _END),
    _form(
        "aws-secret-key",
        "aws_secret_access_key AWS_SECRET_ACCESS_KEY secretAccessKey SecretAccessKey",
        rb"""["']?[ \t]{0,8}+[=:][ \t]{0,8}+["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])""",
        hints="s_key S_KEY essKe",
        before=b"",
        spaced=True,
    ),
    _form("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", rb"[A-Za-z0-9_]{36,255}+"),
    _form("github-fine-grained-token", "github_pat_", rb"[A-Za-z0-9_]{22,255}+", hints="_pat_"),
    _form(
        "gitlab-token",
        "glpat- gldt- glrt- glcbt- glptt- glsoat- glft- glimt-",
        _WORD + rb"{20,300}+(?:\.[\w.]{1,60}+)?",
    ),
    _form("slack-token", "xox", rb"[abeprs]-(?=[A-Za-z-]{0,40}+[0-9])[A-Za-z0-9-]{16,250}+"),
    _form("slack-app-token", "xapp-", rb"\d-[A-Za-z0-9-]{20,250}+"),
    _form(
        "slack-webhook", "hooks.slack.com/", rb"(?:services|workflows|triggers)/[A-Za-z0-9+/]{40,120}+", hints="slack"
    ),
    _form("anthropic-key", "sk-ant-", _WORD + rb"{32,255}+"),
    _form(
        "openai-key",
        "sk-",
        rb"(?!ant-)(?:(?:proj|svcacct|admin|None|or-v1|lf)-" + _WORD + rb"{20,255}+|[A-Za-z0-9]{32,100}+)",
    ),
    _form("google-api-key", "AIza", _WORD + rb"{35}(?!" + _WORD + rb")"),
    _form("google-oauth-token", "ya29.", _WORD + rb"{20,500}+"),
    _form("google-client-secret", "GOCSPX-", _WORD + rb"{28}", hints="GOCSP"),
    _form("npm-token", "npm_", rb"[A-Za-z0-9]{36}" + _END),
    _form("pypi-token", "pypi-AgEI pypi-AgEN", _WORD + rb"{40,500}+", hints="i-AgE"),
    _form("sendgrid-key", "SG.", _WORD + rb"{16,32}+\." + _WORD + rb"{32,64}+"),
    _form("stripe-key", "sk_live_ rk_live_ sk_org_live_", rb"[A-Za-z0-9]{16,247}+", hints="live_"),
    _form("stripe-webhook-secret", "whsec_", rb"[A-Za-z0-9+/=]{32,100}+"),
    _form("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", _HEX + rb"{64}" + _END, hints="p_v1_ o_v1_ r_v1_"),
    _form("huggingface-token", "hf_ api_org_", rb"[A-Za-z0-9]{34,40}+" + _END, hints="hf_ _org_"),
    _form("jwt", "eyJ", _WORD + rb"{10,2000}+\.eyJ" + _WORD + rb"{10,4000}+\." + _WORD + rb"{16,700}+"),
    _form(
        "private-key",
        "-----BEGIN",
        rb" (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|[^A-Za-z0-9-]){1,40}+"
        rb"[A-Za-z0-9+/=:\-,\s\\\"']{0,200}?[A-Za-z0-9+/]{40}[A-Za-z0-9+/=\s\\\"',]{0,"
        + str(_MOST_BODY).encode()
        + rb"}+",
        hints="-BEGI",
        before=b"",
        spaced=True,
    ),
    _form("putty-private-key", "PuTTY-User-Key-File-", rb"\d: [\x20-\x7e\r\n]{0,1600}+", hints="PuTTY", spaced=True),
    _form("age-secret-key", "AGE-SECRET-KEY-1 AGE-PLUGIN-", rb"[0-9A-Z-]{40,120}+", hints="AGE-"),
    _form(
        "url-password",
        "://",
        rb"""[^\s:@/?#"'<>`,;()\[\]{}|\\]{0,64}+:[^\s@/?#"'<>`\\]{3,128}+@[A-Za-z0-9\[_.-]{1,253}+""",
        before=rb"(?<=[A-Za-z0-9])",
        spaced=True,
    ),
    _form("azure-account-key", "AccountKey= SharedAccessKey=", rb"[A-Za-z0-9+/]{40,90}+={1,2}", hints="sKey= tKey="),
    _form("azure-sas", "sig=", rb"(?:[A-Za-z0-9/+]|%2[BbFf]){43,64}+(?:%3[Dd]|=)"),
    _form("vault-token", "hvs. hvb. hvr.", _WORD + rb"{24,300}+"),
    _form("telegram-bot-token", ":AA", _WORD + rb"{32,35}+(?!" + _WORD + rb")", before=rb"(?<=[0-9]{8})"),
    _form("discord-webhook", "/api/webhooks/", rb"\d{15,22}+/" + _WORD + rb"{60,100}+", hints="ebhoo", before=b""),
    _form("twilio-key", "SK", _HEX + rb"{32}" + _END),
    _form("mailgun-key", "key-", _HEX + rb"{32}" + _END),
    _form("databricks-token", "dapi", _HEX + rb"{32}(?:-\d)?" + _END),
    _form("shopify-token", "shpat_ shpca_ shppa_ shpss_", rb"[0-9a-fA-F]{32}" + _END, hints="shpat shpca shppa shpss"),
    _form("square-token", "sq0atp- sq0csp- sq0idp-", _WORD + rb"{22,60}+", hints="sq0"),
    _form("heroku-key", "HRKU-", _WORD + rb"{36,80}+"),
    _form("linear-key", "lin_api_ lin_oauth_", rb"[A-Za-z0-9]{40,64}+", hints="lin_a lin_o"),
    _form("notion-token", "ntn_", rb"[A-Za-z0-9]{40,64}+"),
    _form("doppler-token", "dp.pt. dp.st. dp.ct. dp.sa.", rb"[A-Za-z0-9_.-]{40,80}+", hints="dp."),
    _form("grafana-token", "glsa_ glc_", rb"[A-Za-z0-9_+/=]{32,400}+", hints="glsa_ glc_"),
    _form("newrelic-key", "NRAK-", rb"[A-Z0-9]{27}" + _END),
    _form("sentry-token", "sntrys_ sntryu_", rb"[A-Za-z0-9+/=_-]{40,500}+", hints="sntry"),
    _form("planetscale-token", "pscale_", rb"(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,64}+", hints="pscal"),
    _form("rubygems-key", "rubygems_", _HEX + rb"{48}" + _END, hints="gems_"),
    _form("docker-token", "dckr_pat_ dckr_oat_", _WORD + rb"{27,40}+", hints="dckr_"),
    _form("postman-key", "PMAK-", _HEX + rb"{24}-" + _HEX + rb"{34}"),
    _form("pulumi-token", "pul-", _HEX + rb"{40}" + _END),
    _form("terraform-token", ".atlasv1.", _WORD + rb"{60,80}+", hints="lasv1", before=rb"(?<=[A-Za-z0-9]{14})"),
    _form("supabase-key", "sbp_ sb_secret_", rb"[A-Za-z0-9_]{20,60}+", hints="sbp_ sb_se"),
    _form("groq-key", "gsk_", rb"[A-Za-z0-9]{52}" + _END),
    _form("xai-key", "xai-", rb"[A-Za-z0-9]{70,90}+" + _END),
    _form("perplexity-key", "pplx-", rb"[A-Za-z0-9]{40,60}+"),
    _form("replicate-token", "r8_", rb"[A-Za-z0-9]{37}" + _END),
    _form("atlassian-token", "ATATT3", rb"[A-Za-z0-9_=-]{100,300}+", hints="TATT3"),
    _form("tailscale-key", "tskey-", rb"[a-z]{2,10}+-[A-Za-z0-9-]{16,100}+", hints="tskey"),
    _form("brevo-key", "xkeysib-", _HEX + rb"{64}", hints="xkeys"),
)

DEFAULT_PATTERNS: Final[tuple[str, ...]] = tuple(form.name for form in FORMS)

# ------------------------------------------------------------------------------------------------ placeholders

_SHORT = 120  # characters: in longer ones a short word may come about by chance
_DOCUMENTED = (b"SflKxwRJSMeKKF2QT4fw", b"bPxRfiCYEXAMPLEKEY")
_SAID = re.compile(
    rb"example|changeme|change[-_]me|placeholder|redacted|not[-_]a[-_]real|your[-_]?(?:token|key|api|secret|pass)",
    re.IGNORECASE,
)
_SAID_SHORT = re.compile(
    rb"x{4}|\*{3}|\.{3}|<[^<>]{1,60}>|\$\{|\{\{|\$\(|0123456789|1234567890|12345678(?!\d)|abcdefgh|dummy|sample|(?:^|[-_])fake(?:[-_]|$)",
    re.IGNORECASE,
)
_COMMON = frozenset(
    b"password passwd pass pwd secret user username root admin postgres mysql test testing guest token".split()
)
_VARIABLE = re.compile(rb"[$%{<\[]|\}$")
_FEW = 4


def is_placeholder(form: Form, found: bytes) -> bool:
    """Whether a match is what people write where a credential would stand."""
    if _SAID.search(found) is not None or any(each in found for each in _DOCUMENTED):
        return True
    if len(found) <= _SHORT and _SAID_SHORT.search(found) is not None:
        return True
    if form.name == "url-password":
        return _is_plain_login(found)
    body = next((found[len(anchor) :] for anchor in form.anchors if found.startswith(anchor)), found)
    return len(set(body)) < _FEW


def _is_plain_login(found: bytes) -> bool:
    """``://user:password@host`` whose password is a variable or tells nobody anything."""
    user, _, rest = found.removeprefix(b"://").partition(b":")
    password = rest.rpartition(b"@")[0].lower()
    if _VARIABLE.search(password) is not None or password == user.lower() or len(set(password)) == 1:
        return True
    return password in _COMMON or password.startswith((b"your", b"my-", b"my_"))
