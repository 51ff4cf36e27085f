"""What a secret looks like: by the name it stands under, by its own form, or assigned to a name inside a text.

Names decide for values of any form; forms (JWT, PEM, the prefixes that issuers give their tokens) decide under any
name. Both err on the side of hiding: who sees too little can ask for more (``--redact``), who saw a token cannot
unsee it. Every string of every object is looked at while a cluster is listed, so cheap questions come before
regular expressions, and none of these backtracks.
"""

from __future__ import annotations

import re
from base64 import b64encode
from functools import lru_cache

HIDDEN = "[redacted]"
# Where the field is of bytes: clients with Go's types refuse what is no base64.
HIDDEN_BYTES = b64encode(HIDDEN.encode()).decode()

_WORD = (
    r"passw(?:or)?d|passphrase|passwd|pwd|secrets?|token|credentials?|cookie|dsn|"
    r"(?:api|access|private|secret|encryption|signing|master|shared|account|auth|ssh|tls|service)[_.-]?key|"
    r"connection[_.-]?string|client-key-data|client-certificate-data|certificate-authority-data"
)
# What these words mean another thing with: the secret's place, size or life, not the secret.
_HARMLESS = re.compile(
    r"(?i)(?:[_.-]?(?:files?|paths?|dir|directory|names?|namespace|refs?|seconds|minutes|ttl|expiry|expiration|duration|"
    r"type|class|version|count|size|length|limit|policy|mode|enabled|disabled|required|issuer|audiences?|algorithm))$"
)
_NAME = re.compile(rf"(?i){_WORD}|(?:^|[_.-])(?:pass|pw|key|jwt|auth|authorization|salt|signature|license)$|pass$")
_FIELD = re.compile(rf"(?i)(?:{_WORD})$")

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
# Shorter strings hold none of the forms.
LEAST_FORM = 12
# name=value anywhere; "name": value in a line of YAML or in JSON, but not in prose ("no token: try again").
_ASSIGNED = re.compile(
    rf"(?im)(?:(?:{_WORD})[\"']?[ \t]*=[ \t]*|^[ \t]*(?:- )?[\"']?[\w.-]*(?:{_WORD})[\"']?[ \t]*:[ \t]+"
    rf"|[\"'][\w.-]{{0,64}}(?:{_WORD})\\?[\"'][ \t]*:[ \t]*)"
    r"(?:\\?\"(?P<double>(?:[^\"\\]|\\[^\"])+)|'(?P<single>[^']+)|(?P<bare>[^\s\"',;&}\]\\]+))"
)
# {"name": "DB_PASSWORD", "value": …} in a text: an object within an annotation, a manifest within a ConfigMap.
_PAIR = re.compile(
    rf"(?im)name\\*[\"']?[ \t]*:[ \t]*\\*[\"']?[\w.-]{{0,64}}(?:{_WORD})[\w.-]{{0,64}}\\*[\"']?\s*,?\s*"
    rf"\\*[\"']?value\\*[\"']?[ \t]*:[ \t]*\\*[\"']?(?P<bare>[^\"'\\\n,}}]+)"
)
_STEMS = ("pass", "pwd", "secret", "token", "key", "cred", "cookie", "dsn", "connection", "client-c", "certificate-a")


@lru_cache(maxsize=16_384)  # the variables and annotations of a cluster are some thousands
def named(name: str) -> bool:
    """Whether what stands under this name is a secret: a variable's, an annotation's, a file's, a flag's."""
    return _NAME.search(name) is not None and _HARMLESS.search(name) is None


def field_named(name: str) -> bool:
    """The same of a field of any kind of object; stricter, for there are thousands of harmless ones."""
    return _FIELD.search(name) is not None


def hidden(text: str, found: list[str]) -> str:
    """``text`` without the secrets in it, which are added to ``found``; the very same object where there are none."""
    # In prose no word is as long as a token; finding the longest costs a tenth of looking for the forms.
    wordy = len(text) >= LEAST_FORM and len(max(text.split(), key=len, default="")) >= LEAST_FORM
    if (wordy or "-----BEGIN" in text) and _FORMS.search(text) is not None:
        text = _FORMS.sub(lambda match: _form(match, found), text)
    if "=" in text or ":" in text:
        low = text.lower()
        if any(stem in low for stem in _STEMS):
            if _ASSIGNED.search(text) is not None:
                text = _ASSIGNED.sub(lambda match: _assigned(match, found), text)
            if "value" in low and _PAIR.search(text) is not None:
                text = _PAIR.sub(lambda match: _replaced(match, "bare", found), text)
    return text


def _form(match: re.Match[str], found: list[str]) -> str:
    whole = match.group()
    part = match["credentials"] or match["password"]
    if part is not None:
        found.append(part)
        start = match.start("credentials" if match["credentials"] else "password") - match.start()
        return whole[:start] + HIDDEN + whole[start + len(part) :]
    found.append(whole)
    return HIDDEN_BYTES if whole.startswith("LS0tLS1") else HIDDEN


def _assigned(match: re.Match[str], found: list[str]) -> str:
    return _replaced(match, "double" if match["double"] else "single" if match["single"] else "bare", found)


def _replaced(match: re.Match[str], group: str, found: list[str]) -> str:
    whole, value = match.group(), match[group]
    # A reference to where it is (a variable, a template) tells nothing; what is hidden already stays.
    if value.startswith(("$", "{{", HIDDEN)) or value in ("|", ">", "|-", ">-", "null", "true", "false", HIDDEN_BYTES):
        return whole
    found.append(value)
    return whole[: match.start(group) - match.start()] + HIDDEN
