"""What is wrong with the form of a key, told by places and names: the key itself is never shown."""

import unicodedata

import msgspec

from penstock.redaction import Secret

QUOTES = "\"'`“”‘’"
CHARACTERS_NAMED = 4

_NAMES = {
    "\n": "a line break",
    "\r": "a carriage return",
    "\t": "a tab",
    " ": "a space",
    '"': "a quotation mark",
    "'": "an apostrophe",
}


class KeyForm(msgspec.Struct, frozen=True):
    """A key without what does not belong to it; `faults` says what that was, and is empty for a key in order."""

    key: Secret
    length: int
    faults: list[str]


def examine_key(key: Secret) -> KeyForm:
    """Tell white space, quotes, a scheme and characters that cannot be sent from the key itself."""
    given = key.reveal()
    faults = [
        f"character {place} is {_name(character)}"
        for place, character in enumerate(given, 1)
        if not "!" <= character <= "~" or character in QUOTES
    ]
    if len(faults) > CHARACTERS_NAMED:
        faults = [*faults[:CHARACTERS_NAMED], f"and {len(faults) - CHARACTERS_NAMED} more like that"]
    bare = _bare(given)
    if _without_scheme(bare) != bare:
        faults.insert(0, "it begins with the word Bearer, which is not part of a key")
    return KeyForm(Secret("".join(_without_scheme(bare).split())), len(given), faults)


def _bare(key: str) -> str:
    sendable = "".join(character for character in key if " " <= character <= "~" and character not in QUOTES)
    return sendable.strip()


def _without_scheme(key: str) -> str:
    scheme, space, rest = key.partition(" ")
    return rest if space and scheme.lower() == "bearer" else key


def _name(character: str) -> str:
    return _NAMES.get(character) or unicodedata.name(character, f"U+{ord(character):04X}").lower()
