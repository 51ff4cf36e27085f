"""What a secret looks like: by the name it stands under, and by its own form.

Names decide for values of any form; forms (JWT, PEM, the prefixes that issuers give their tokens) decide under any
name. Both err on the side of hiding: who sees too little can ask for more (``--redact``), who saw a token cannot
unsee it. Every string of every object is looked at while a cluster is listed, so cheap questions come before
regular expressions, and none of these backtracks.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache

HIDDEN = "[redacted]"
# Where the field is of bytes: clients with Go's types refuse what is no base64.
HIDDEN_BYTES = b64encode(HIDDEN.encode()).decode()

# In small letters, the longer before the shorter, and each begun by a letter of its own: so a search in lowered text
# looks at few places.
_KEYS = (
    "api",
    "access",
    "private",
    "secret",
    "encryption",
    "signing",
    "master",
    "shared",
    "account",
    "auth",
    "ssh",
    "tls",
)
WORD = "|".join(
    (
        *(rf"{each}[_.-]?key" for each in (*_KEYS, "service")),
        r"passw(?:or)?d|passphrase|passwd|pwd|secrets?|token|credentials?|cookie|dsn|connection[_.-]?string",
        r"client-key-data|client-certificate-data|certificate-authority-data",
    )
)
# What these words mean another thing with: the secret's place, size or life, not the secret.
_HARMLESS = re.compile(
    r"(?i)(?:[_.-]?(?:files?|paths?|dir|directory|names?|namespace|refs?|seconds|minutes|ttl|expiry|expiration|duration|"
    r"type|class|version|count|size|length|limit|policy|mode|enabled|disabled|required|issuer|audiences?|algorithm|"
    r"stdin|review(?:er)?s?)|(?:pull|existing)[_.-]?secrets?|token[_.-]?(?:ur[il]|endpoint))$|^no[_.-]"
)
_NAME = re.compile(
    rf"(?i){WORD}|(?:^|[_.-])(?:pass|pw|key|jwt|auth|authorization|salt|signature|license|bearer|pat|oauth2?)$|pass$"
    r"|(?-i:[a-z]Pat)$|(?:slack|discord|teams)[_.-]?(?:api[_.-]?)?(?:web[_.-]?)?(?:hook|url)"
)
_FIELD = re.compile(rf"(?i)(?:{WORD})s?\d{{0,2}}$|(?:^|[_.-])pass$|(?-i:[a-z]Pass)$")
# Secrets are named by these, and a cookie is described.
_NAMING = re.compile(r"(?i)(?:pull|existing|tls|ca|certs?|certificate)[_.-]?secrets?$")
# Beside a secret stands whose it is, where, of what kind and until when.
_BESIDE = re.compile(
    r"(?i)^(?:id|uid|user|login|e-?mail|account|kind|group|api_?version|ur[il]|endpoint|host|port|server|address|region|"
    r"zone|provider|source|scopes?|realm|role|domain|project|tenant|bucket|database|format|state|status|phase|reason|"
    r"message|description|comment|title|scheme|protocol|method|engine|same_?site|driver|operator|property|interval|"
    r"schedule|encoding|encrypt|strategy)$|(?-i:[a-z]I[dD]|[a-z](?:At|Time|Url|URL|Host))$|[_-]id$"
)
# Below these is no value, whatever they stand in: references to one, and what is said about it.
_ASIDE = re.compile(r"(?i)(?:refs?|references?|from|selectors?|template|metadata|labels|policy|schema|status)$")
# What is no secret whatever its name says, and what tells where one is: a variable, a template.
_NOTHING = frozenset(
    {"", "true", "false", "yes", "no", "on", "off", "null", "none", "~", "|", ">", "|-", ">-", HIDDEN_BYTES}
)
_REFERENCE = re.compile(r"\$\{[^}]*\}?|\$\([^)]*\)?|\$\$?[A-Za-z_]\w*(?![\w$])|\{\{")

# Longest first forms: a token, a PEM block, its base64, credentials in a URL or a header.
_FORMS = re.compile(
    r"eyJ[\w-]{8,}(?:\.[\w-]*){2,4}"
    r"|-----BEGIN [A-Z0-9 ]+-----[^-]*(?:-----END [A-Z0-9 ]+-----)?"
    r"|LS0tLS1CRUdJTi[A-Za-z0-9+/=\r\n]*"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt|cbt)-[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{10,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|hv[sbr]\.[\w-]{20,}"
    r"|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|dckr_pat_[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\b[srp]k[_-](?:live|test|prod|proj|ant|or)[_-][\w-]{12,}|\bsk-[A-Za-z0-9]{20,}"
    r"|(?:[Bb]earer|[Bb]asic|BEARER|BASIC) +(?P<credentials>[\w.~+/=-]{12,})"
    r"|://[^/\s:@\"']*:(?P<password>[^/\s@\"']+)@"
)
# What one of the forms begins with is in every text that has one: sooner found in a short text than the forms are.
_BEGINNINGS = {
    "-": ("-----BEGIN", "glpat-", "gldt-", "glrt-", "glcbt-", "xox", "xapp-", "pypi-", "sk-", "rk-", "pk-"),
    "_": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "npm_", "dckr_pat_", "sk_", "rk_", "pk_"),
    ".": ("eyJ", "ya29.", "hvs.", "hvb.", "hvr.", "SG."),
    "A": ("AKIA", "ASIA", "ABIA", "ACCA", "AIza"),
    " ": ("earer ", "asic ", "EARER ", "ASIC "),
    "@": ("://",),
    "L": ("LS0tLS1CRUdJTi",),
}
_SHORT = 256  # characters; in longer ones the many searches cost more than the one
# Who knows the path of an incoming webhook may post to it: Slack's, Discord's, Teams'.
_HOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks"
    r"|webhook\.office\.com/webhookb2)/(?P<hook>[\w/@+.-]*[\w/@+-])"
)
# Shorter strings hold none of the forms.
LEAST_FORM = 12


@lru_cache(maxsize=16_384)  # the variables and annotations of a cluster are some thousands
def named(name: str) -> bool:
    """Whether what stands under this name is a secret: a variable's, an annotation's, a file's, a flag's."""
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None


def field_named(name: str) -> bool:
    """The same of a field of any kind of object; stricter, for there are thousands of harmless ones."""
    return _FIELD.search(name) is not None and _NAMING.search(name) is None


@lru_cache(maxsize=16_384)  # as many fields as there are of all kinds
def beside(name: str) -> bool:
    """Whether a field that stands in a secret's place tells about it (whose it is, where) and not the secret itself."""
    return _BESIDE.search(name) is not None or _HARMLESS.search(name) is not None or _NAMING.search(name) is not None


def aside(name: str) -> bool:
    """Whether what is below a field is no part of the secret in whose place the field stands: ``secretRef``."""
    return _ASIDE.search(name) is not None


def keyed(siblings: Iterable[str]) -> bool:
    """Whether ``key`` beside these names a Secret's key: {name: db, key: password}, {key: tls.key, path: tls}."""
    return any(each.endswith(("name", "Name", "path", "Path", "Ref")) for each in siblings)


def nothing(value: str, name: str = "") -> bool:
    """Whether a value is no secret though its name says so: a switch, a number of tokens."""
    return value.lower() in _NOTHING or (value.isdecimal() and name.lower().endswith("tokens"))


def referring(value: str) -> bool:
    """Whether a value only tells where a secret is: ``$(PASSWORD)``, ``{{ .password }}``."""
    return _REFERENCE.match(value) is not None


def hide_forms(text: str, found: list[str]) -> str:
    """``text`` without what has a secret's form, which is added to ``found``; the very same object if nothing has."""
    # In prose no word is as long as a token; finding the longest costs a tenth of looking for the forms.
    wordy = len(text) >= LEAST_FORM and len(max(text.split(), key=len, default="")) >= LEAST_FORM
    if (wordy or "-----BEGIN" in text) and _may_have_form(text) and _FORMS.search(text) is not None:
        text = _FORMS.sub(lambda match: _form(match, found), text)
    if wordy and "hook" in text and _HOOK.search(text) is not None:
        text = _HOOK.sub(lambda match: _part(match, "hook", found), text)
    return text


def _may_have_form(text: str) -> bool:
    if len(text) > _SHORT:
        return True
    for mark, beginnings in _BEGINNINGS.items():
        if mark in text:
            for beginning in beginnings:
                if beginning in text:
                    return True
    return False


def _form(match: re.Match[str], found: list[str]) -> str:
    for part in ("credentials", "password"):
        if match[part] is not None:
            return _part(match, part, found)
    whole = match.group()
    found.append(whole)
    return HIDDEN_BYTES if whole.startswith("LS0tLS1") else HIDDEN


def _part(match: re.Match[str], part: str, found: list[str]) -> str:
    found.append(match[part])
    start, end = match.span(part)
    return match.string[match.start() : start] + HIDDEN + match.string[end : match.end()]
