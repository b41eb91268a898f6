"""API keys: who may call, read from a file of hashes that may change while the service runs.

    # role   name  hash
    predict  web   sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090

`python -m service.keys new --role predict --name web >> keys` makes a key and its line.

A key is 256 random bits, so nobody finds it from its hash, however fast that is. Slow hashes
(scrypt, argon2) and salts make up for passwords that people choose; here they would cost
milliseconds a request and protect nothing.
"""

import asyncio
import hashlib
import hmac
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from service.errors import SettingsError
from service.logs.log import log_event
from service.settings import Settings, variable
from service.system.files import read_file

Role = Literal["predict", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

FOLLOW_S = 1.0
"""Seconds for which a change of the file may go unnoticed."""

PREFIX = "mmoe_"
"""Begins every key, so that people and scanners for leaked secrets know one when they see it."""

MARKER = "require-keys"
"""File in the directory of models without whose keys no service on these models starts."""

_KEY_BYTES, _MOST_BYTES = 32, 1 << 20
_HASH = "sha256:"

log = logging.getLogger("service")


class Key(NamedTuple):
    """Owner and role of a key: "predict", or "admin", which includes it."""

    role: Role
    name: str


class Keys:
    """API keys of a file, whose changes are followed.

    Args:
        path: of the file.

    Raises:
        SettingsError: it cannot be read, or a line of it is wrong.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = read_file(path, _MOST_BYTES)
            self._entries = parse(self._content)
        except (OSError, ValueError) as error:
            raise SettingsError(variable("keys_file"), str(path), f"a file of API keys: {_reason(error)}") from None
        self._complaint = ""

    @classmethod
    def of(cls, path: Path | None) -> "Keys | None":
        """Return the keys of a file; None where no file is named, and calls need no key."""
        return None if path is None else cls(path)

    def find(self, presented: bytes) -> Key | None:
        """Return whose key was presented, None if nobody's.

        The time it takes does not depend on which: 0.4 us with one key and 0.04 us for each
        further one (measured). A cache would save little of that, and keep the keys themselves in
        memory.
        """
        digest, found = hashlib.sha256(presented).digest(), None
        for known, key in self._entries:
            if hmac.compare_digest(known, digest):
                found = key
        return found

    def reload(self) -> None:
        """Take the file as it is now.

        If it is wrong, say so in the log, once, and keep the keys as they were.
        """
        try:
            content = read_file(self._path, _MOST_BYTES)
            if content == self._content:
                self._complaint = ""
                return
            self._entries = parse(content)
        except (OSError, ValueError) as error:
            if self._complaint != (complaint := _reason(error)):
                self._complaint = complaint
                log_event(log, logging.ERROR, "keys_kept", "%s keeps its keys as they were: %s", self._path, complaint)
            return
        self._content, self._complaint = content, ""
        sentence, keys = "%s has changed and names %d keys now", len(self._entries)
        log_event(log, logging.INFO, "keys_changed", sentence, self._path, keys, keys=keys)

    async def keep_reloading(self) -> None:
        """Look for changes of the file, off the event loop, until cancelled."""
        while True:
            await asyncio.sleep(FOLLOW_S)
            await asyncio.to_thread(self.reload)


def check_guarded(settings: Settings) -> None:
    """Check that keys are there where they are required, and that their file can be read.

    Raises:
        SettingsError: no file of keys is named though the settings or the directory of models
            require one; or the file cannot be read, or a line of it is wrong.
    """
    if settings.keys_file is not None:
        Keys(settings.keys_file)
    elif settings.require_keys:
        raise SettingsError(variable("keys_file"), "unset", f"a file of API keys, as {variable('require_keys')} is set")
    elif _is_marked(settings.models_directory):
        expected = f"a file of API keys, as {settings.models_directory / MARKER} is there, or cannot be looked at"
        raise SettingsError(variable("keys_file"), "unset", expected)


def _is_marked(models: Path) -> bool:
    """Tell whether the directory of models requires keys; one that cannot be looked at does."""
    try:
        (models / MARKER).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def parse(content: bytes) -> list[tuple[bytes, Key]]:
    """Return the hashes of a file with whose they are.

    Raises:
        ValueError: a line is wrong, or there is none; the message repeats nothing of it, for it
            may hold a key.
    """
    found: dict[bytes, Key] = {}
    names: set[str] = set()
    for number, line in enumerate(_text(content).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3:
            raise ValueError(f"line {number} has {len(words)} words instead of a role, a name and a hash")
        role = next((role for role in ROLES if role == words[0]), None)
        if role is None:
            raise ValueError(f"line {number} begins with no role; the roles are {' and '.join(ROLES)}")
        digest = _digest(words[2])
        if digest is None:
            raise ValueError(f"line {number} ends with no hash, which is {_HASH} and 64 hexadecimal digits")
        if digest in found or words[1] in names:
            raise ValueError(f"line {number} has a {'hash' if digest in found else 'name'} that an earlier line has")
        names.add(words[1])
        found[digest] = Key(role, words[1])
    if not found:
        raise ValueError("it names no key; `python -m service.keys new` makes one")
    return list(found.items())


def new_key() -> str:
    """Make a key."""
    return PREFIX + secrets.token_urlsafe(_KEY_BYTES)


def line_of(role: Role, name: str, key: str) -> str:
    """Return the line of the file that lets a key in."""
    return f"{role} {name} {_HASH}{hashlib.sha256(key.encode()).hexdigest()}"


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def _digest(text: str) -> bytes | None:
    digits = text.removeprefix(_HASH)
    if text == digits or len(digits) != 64 or not set(digits.lower()) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(digits)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return f"user {os.geteuid()} may not read it; `chmod go+r` lets all read the hashes, which give no key away"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)


def main(arguments: Sequence[str]) -> int:
    """Make a key.

    Its line for the file goes to standard output, the key itself to standard error, this once.
    """
    import argparse

    parser = argparse.ArgumentParser("python -m service.keys", description="Make API keys for the service.")
    new = parser.add_subparsers(required=True).add_parser("new", help="make a key and its line for MMOE_KEYS_FILE")
    new.add_argument("--role", choices=ROLES, required=True, help="predict: ask and look; admin: that, and change")
    new.add_argument("--name", required=True, help="whose key it is, for the log; one word")
    asked = new.parse_args(list(arguments)[1:]) if arguments[:1] == ["new"] else parser.parse_args(arguments)
    if len(asked.name.split()) != 1 or "#" in asked.name or not asked.name.isprintable():
        parser.error(f"--name is {asked.name!r}; expected one word without #")
    key = new_key()
    print(f"The key of {asked.name}, shown this once. Send it as 'Authorization: Bearer <key>':", file=sys.stderr)
    print(key, file=sys.stderr)
    print(f"Its line for the file that {variable('keys_file')} names:", file=sys.stderr, flush=True)
    print(line_of(asked.role, asked.name, key))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
