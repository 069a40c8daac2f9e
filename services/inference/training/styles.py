"""The kinds of plates that are drawn: a table, a row a kind. In come nothing, out comes STYLES.

A row names the size in mm, how it is painted, the texts that it bears, its colours (ground and ink, one pair at random)
and its share of the training. Texts are patterns: L a letter of the country's, D a digit, a small letter itself; blank,
dash and dot are painted but not read, "/" begins the second row, "|" parts patterns. Countries' letters are those that
their plates use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.inference.training import stacked, tworow, world
from services.inference.training.painter import DIGITS, LATIN, SEPARATORS, Colour, Painter, letters
from services.inference.training.russian import RUSSIAN, russian, russian_text

Text = Callable[[np.random.Generator], str]
Tint = tuple[Colour, Colour]  # ground and ink, BGR

_WHITE: Tint = ((238, 240, 240), (25, 22, 22))
_WHITE_BLUE: Tint = ((238, 240, 240), (150, 60, 20))
_WHITE_RED: Tint = ((238, 240, 240), (40, 30, 190))
_WHITE_GREEN: Tint = ((238, 240, 240), (70, 110, 20))
_YELLOW: Tint = ((40, 195, 245), (20, 20, 20))
_BLUE: Tint = ((170, 80, 25), (240, 240, 240))
_RED: Tint = ((50, 40, 190), (240, 240, 240))
_GREEN: Tint = ((90, 150, 40), (240, 240, 240))
_PALE_GREEN: Tint = ((170, 220, 170), (25, 22, 22))
_BLACK: Tint = ((28, 26, 25), (235, 235, 235))
_GREY: Tint = ((165, 168, 168), (25, 22, 22))
_BLACK_YELLOW: Tint = ((28, 26, 25), (60, 200, 235))

_ONE = (520.0, 112.0)
_US = (305.0, 152.0)
_SOUTH = (400.0, 130.0)
_SQUARE = (280.0, 200.0)
_ALIKE = "BCDGIIIJLOQSTUVZ"  # letters easily lost or mistaken, drawn more often than chance would
_NO_IOQ = "ABCDEFGHJKLMNPRSTUVWXYZ"
_NO_IO = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_CONSONANTS = "BCDFGHJKLPRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Style:
    """One kind of plate: width and height in mm (width 0: any), how it is painted, which texts it bears, its
    colours (one pair is drawn at random; none: any two that stand out), and its share of the training."""

    size: tuple[float, float]
    draw: Callable[[Painter, str], None]
    text: Text
    tints: tuple[Tint, ...]
    share: float


def texts(patterns: str, alphabet: str = LATIN) -> Text:
    """A maker of texts by one of the patterns, which "|" parts; letters are those of `alphabet`."""
    choice = [pattern.strip() for pattern in patterns.split("|")]

    def text(rng: np.random.Generator) -> str:
        pattern = choice[int(rng.integers(len(choice)))]
        kinds = {"L": _ALIKE if alphabet == LATIN and rng.random() < 0.15 else alphabet, "D": DIGITS}
        return "".join(letters(rng, kinds.get(mark, mark.upper()), 1) for mark in pattern)

    return text


def random_text(rng: np.random.Generator) -> str:
    """1 to 10 characters in any mixture, now and then with separators; short ones are rare."""
    alphabets = (LATIN + DIGITS, LATIN + DIGITS * 3, DIGITS, LATIN)
    count = int(rng.integers(1, 5)) if rng.random() < 0.12 else int(rng.integers(4, 11))
    text = letters(rng, alphabets[int(rng.integers(4))], count)
    for _ in range(int(rng.integers(0, 3))):
        if len(text) > 1:
            at = int(rng.integers(1, len(text)))
            if text[at] not in SEPARATORS and text[at - 1] not in SEPARATORS:
                text = text[:at] + letters(rng, SEPARATORS, 1) + text[at:]
    return text


def random_rows(rng: np.random.Generator) -> str:
    """Two rows of 1 to 6 characters in any mixture."""
    return "/".join(
        letters(rng, (LATIN + DIGITS, DIGITS, LATIN)[int(rng.integers(3))], int(rng.integers(1, 7))) for _ in range(2)
    )


def _square_russian(rng: np.random.Generator) -> str:
    whole = russian_text("LDDDLL")(rng)
    return f"{whole[:4]}/{whole[4:]}"


_INDIAN = "LL DD LL DDDD | LLDDLLDDDD | LL-DD-L-DDDD | LL DD L DDDD | LLDDLDDDD | LLD LLLDDDD | LL.DD.LL.DDDD"
_AMERICAN = (
    "LLL DDDD | DLLLDDD | DDD LLL | LLL-DDD | LLLDDDD | DDDDDD | LLDDDDD | LLL DDD | DDD-DDD | LDDLLL | LLLLLLL | "
    "LLLLL | LL LLL | LLLL | LLL LD | LLLL DDD | DLL DDD | DDDLLD | LLDD LLL | DDDDDDD | LDDDDD | DDLLLD | LL DDDDD | "
    "DLLDDDD | LLL LLL | DDD DLL"
)

STYLES: dict[str, Style] = {
    # Russia and its neighbours
    "ru_private": Style(_ONE, russian(6), russian_text("LDDDLL"), (_WHITE,), 22),
    "ru_taxi": Style(_ONE, russian(5), russian_text("LLDDD"), (_YELLOW,), 2),
    "ru_trailer": Style(_ONE, russian(6), russian_text("LLDDDD"), (_WHITE,), 2),
    "ru_police": Style(_ONE, russian(5), russian_text("LDDDD"), (_BLUE,), 1),
    "ru_military": Style(_ONE, russian(6), russian_text("DDDDLL"), (_BLACK,), 1),
    "ru_transit": Style(_ONE, russian(6), russian_text("LLDDDL"), (_WHITE,), 1),
    "ru_diplomatic": Style(_ONE, russian(6), texts("DDDcdDDD | DDDcdDDDD | DDDdDDDDD"), (_RED,), 1),
    "ru_square": Style((290.0, 170.0), tworow.russian_square, _square_russian, (_WHITE, _WHITE, _YELLOW), 2),
    "ru_motorcycle": Style((190.0, 145.0), tworow.square, texts("DDDD/LLDD", alphabet=RUSSIAN), (_WHITE,), 1),
    "ua": Style(_ONE, world.european, texts("LL DDDD LL | LLDDDDLL", alphabet=RUSSIAN + "I"), (_WHITE, _YELLOW), 3),
    "by": Style(_ONE, world.european, texts("DDDD LL-D | LL DDDD-D", alphabet=RUSSIAN + "I"), (_WHITE,), 2),
    "kz": Style(_ONE, world.european, texts("DDD LLL DD | L DDD LLL | DDDLLLDD"), (_WHITE,), 2),
    # Europe
    "de": Style(_ONE, world.european, texts("L LL DDDD | LL LL DDD | LLL LL DD | L L DDDD | LL L DDDD"), (_WHITE,), 5),
    "fr_it": Style(_ONE, world.european, texts("LL-DDD-LL | LL DDDLL", alphabet=_NO_IO), (_WHITE,), 4),
    "pl_cz_sk": Style(
        _ONE, world.european, texts("LL DDDDD | LLL DDDD | DLD DDDD | LL-DDDLL | LL DDDLL"), (_WHITE,), 4
    ),
    "es_hu_lt": Style(_ONE, world.european, texts("DDDD LLL | LLL-DDD | LLL DDD"), (_WHITE,), 4),
    "nl": Style(_ONE, world.european, texts("LL-LL-DD | DD-LLL-D | D-LLL-DD | LL-DDD-L | DD-LL-LL"), (_YELLOW,), 3),
    "be": Style(_ONE, world.european, texts("D-LLL-DDD | LLL-DDD"), (_WHITE_RED,), 2),
    "pt_lu": Style(
        _ONE, world.european, texts("DD-LL-DD | LL-DD-LL | DD-DD-LL | LL DDDD | DDDDD"), (_WHITE, _YELLOW), 2
    ),
    "at": Style(_ONE, world.european, texts("L DDDDDL | LL DDDLL | L DDDDLL | LL-DDDLL"), (_WHITE,), 2),
    "nordic": Style(_ONE, world.european, texts("LL DDDDD | LLL DDD | LLL DDL | LL DD DDD"), (_WHITE, _WHITE_GREEN), 4),
    "balkan": Style(
        _ONE,
        world.european,
        texts("LL DDDD LL | LL DDD-LL | L DDDD LL | L DD LLL | LL DD LLL | LL LLDDD"),
        (_WHITE,),
        5,
    ),
    "ro_bg": Style(
        _ONE, world.european, texts("L DD LLL | L DDD LLL | LL DD LLL | L DDDDDD | LL DDDD LL"), (_WHITE,), 3
    ),
    "ie": Style(_ONE, world.european, texts("DD-L-DDDDD | DDD-L-DDDD | DDD-LL-DDD | DD-LL-DDDDD"), (_WHITE,), 2),
    "ch": Style(_ONE, world.european, texts("LL DDDDDD | LL DDDDD | LL-DDDDD | LL.DDDDDD"), (_WHITE,), 2),
    "tr": Style(_ONE, world.european, texts("DD LLL DDD | DD LL DDDD | DD LL DDD | DD L DDDD"), (_WHITE,), 2),
    "gr_il": Style(_ONE, world.european, texts("LLL-DDDD | DD-DDD-DD | DDD-DD-DDD"), (_WHITE, _YELLOW), 2),
    "eu_any": Style(_ONE, world.european, random_text, (_WHITE, _WHITE, _YELLOW, _BLACK, _GREEN, _RED), 5),
    "uk": Style(
        _ONE,
        world.british,
        texts("LLDD LLL | LLDD LLL | LDDD LLL | LDD LLL | LLL DDDL | LD LLL"),
        (_WHITE, _YELLOW),
        10,
    ),
    "eu_square": Style(
        _SQUARE,
        tworow.square,
        texts("LL/DDDDD | LLL/DDDD | LL DD/DDD | DDD/LLL | LL/DDDLL | LLL/DDD | L LL/DDD"),
        (_WHITE, _WHITE, _YELLOW),
        4,
    ),
    "uk_square": Style(_SQUARE, tworow.square, texts("LLDD/LLL | LDDD/LLL"), (_WHITE, _YELLOW), 2),
    # the Americas
    "us": Style(
        _US,
        world.american,
        texts(_AMERICAN),
        (_WHITE, _WHITE_BLUE, _WHITE_RED, _WHITE_GREEN, _WHITE, _YELLOW, _BLUE, _BLACK),
        14,
    ),
    "us_vanity": Style(_US, world.american, random_text, (), 5),
    "mx": Style(
        _US,
        world.american,
        texts("LLL-DDD-L | LLL-DD-DD | LL-DDDDD | DDD-LLL | LL-DDD-L"),
        (_WHITE, _WHITE_GREEN, _WHITE_RED),
        2,
    ),
    "br_old": Style(
        _SOUTH, world.south_american, texts("LLL-DDDD | LLL DDDD"), (_GREY, _GREY, _WHITE, _RED, _WHITE_RED), 6
    ),
    "br": Style(_SOUTH, world.mercosul, texts("LLLDLDD"), (_WHITE, _WHITE, _WHITE_RED), 4),
    "ar": Style(_SOUTH, world.mercosul, texts("LL DDD LL | LLDDDLL"), (_WHITE,), 2),
    "ar_old": Style(_SOUTH, world.south_american, texts("LLL DDD | LLL-DDD"), (_BLACK,), 1.5),
    "cl": Style(
        _SOUTH, world.south_american, texts("LL-LL-DD | LL.LL.DD | LLLLDD", alphabet=_CONSONANTS), (_WHITE,), 1.5
    ),
    "cl_old": Style(_SOUTH, world.south_american, texts("LL-DDDD | LL.DD.DD"), (_WHITE,), 1),
    "ec": Style(_SOUTH, world.south_american, texts("LLL-DDDD | LLL-DDD"), (_WHITE,), 1.5),
    "co_pe": Style(_SOUTH, world.south_american, texts("LLL DDD | LLL-DDD | LDL-DDD"), (_YELLOW, _WHITE), 1.5),
    "br_motorcycle": Style(
        (200.0, 170.0),
        tworow.motorcycle,
        texts("LLL/DDDD | LLL/DLDD | LLL/DDD | LDD/LLL | DDD/LLL"),
        (_WHITE, _GREY, _RED),
        3,
    ),
    # Asia and Africa
    "in": Style(
        _ONE, world.indian, texts(_INDIAN, alphabet=_NO_IO), (_WHITE, _WHITE, _YELLOW, _BLACK_YELLOW, _BLACK, _GREEN), 9
    ),
    "in_square": Style(
        _SQUARE,
        tworow.square,
        texts("LLDD/LLDDDD | LL DD L/DDDD | LLDDLL/DDDD | LL DD/LL DDDD | LLD/LLLDDDD"),
        (_WHITE, _YELLOW, _BLACK),
        3,
    ),
    "cn": Style(
        (440.0, 140.0),
        world.chinese,
        texts("L.DDDDD | L.LDDDD | L.DLDDD | L.DDDDL | L.DDDDDD", alphabet=_NO_IO),
        (_BLUE, _BLUE, _YELLOW, _PALE_GREEN),
        2,
    ),
    "arabian": Style(
        _ONE,
        world.arabian,
        texts("DDDDD | L DDDDD | DD DDDDD | DDDD LLL | LL DDDDD | D DDDDD"),
        (_WHITE, _WHITE, _YELLOW),
        3,
    ),
    "pakistani": Style(
        _ONE, world.free, texts("LLL-DDD | LLL DDD | LL-DDDD | LLL-DDDD"), (_WHITE, _BLACK, _YELLOW), 1.5
    ),
    "singaporean": Style(
        _ONE, world.free, texts("LLL DDDD L | LLLDDDDL | LL DDDD | LLL DDDD"), (_BLACK, _BLACK, _WHITE), 2
    ),
    "african": Style(
        _ONE, world.free, texts("LL DD LL LL | LLL DDD L | DDDD LL DD | LL DDDDD | LLL-DDDLL"), (_WHITE, _YELLOW), 2
    ),
    # anything
    "free": Style((0.0, 112.0), world.free, random_text, (), 14),
    "free_square": Style((0.0, 200.0), tworow.square, random_rows, (), 4),
    "free_motorcycle": Style(
        (220.0, 170.0), tworow.motorcycle, random_rows, (_WHITE, _YELLOW, _GREEN, _BLUE, _BLACK), 2
    ),
    # small characters in two rows before the large ones
    "in_stacked": Style(
        _ONE,
        stacked.stacked,
        texts("LL/DD LL DDDD | LL/DD LLDDDD | LLDD/LL DDDD | LL-DD/LL DDDD | LLDD/L DDDD | LL/DD L DDDD", _NO_IO),
        (_WHITE, _WHITE, _YELLOW, _BLACK, _GREEN),
        1,
    ),
    "us_stacked": Style(
        _US,
        stacked.stacked,
        texts("L/L DDDD | L/L DDDDD | L/L LLDDD | LL/LL DDDD | L/L DDDLL | DD/LL DDDD"),
        (_WHITE, _WHITE_BLUE, _WHITE_RED, _YELLOW, _BLUE, _BLACK),
        1,
    ),
}

TWO_ROWS = tuple(name for name, style in STYLES.items() if style.draw.__module__ == tworow.__name__)
"""The kinds with two rows."""

STACKED = tuple(name for name, style in STYLES.items() if style.draw is stacked.stacked)
"""The kinds that begin in two rows; training and examining leave them out where they are not asked for, since the
shipped recogniser knows none of them."""

USUAL = tuple(name for name in STYLES if name not in STACKED)
"""All others: what is drawn as it comes."""
