"""Fonts for drawing plates: in comes a font file, out come glyph masks; nothing downloaded is ever committed.

DejaVu comes with matplotlib and is always there. The training target adds free fonts (SIL OFL, Apache) from
the npm packages `@fontsource/*`, installed into a cache folder outside git: `python -m
services.inference.training.fonts --cache DIR`.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from services.inference.training.strokes import StrokeFace, ink

PACKAGES = [
    "advent-pro", "aldrich", "alfa-slab-one", "allerta-stencil", "alumni-sans", "anonymous-pro", "anton",
    "antonio", "archivo", "archivo-black", "archivo-narrow", "arimo", "armata", "arvo", "asap-condensed",
    "audiowide", "azeret-mono", "b612-mono", "bai-jamjuree", "barlow", "barlow-condensed",
    "barlow-semi-condensed", "bebas-neue", "big-shoulders-display", "bitter", "black-ops-one",
    "cabin-condensed", "chakra-petch", "changa-one", "chivo", "chivo-mono", "comfortaa", "concert-one",
    "courier-prime", "cousine", "crete-round", "cutive-mono", "dm-mono", "dosis", "economica", "electrolize",
    "encode-sans-condensed", "encode-sans-semi-condensed", "exo-2", "fira-mono", "fira-sans-condensed",
    "fira-sans-extra-condensed", "fjalla-one", "francois-one", "geo", "gudea", "gugi", "heebo", "hind",
    "ibm-plex-mono", "ibm-plex-sans-condensed", "iceland", "inconsolata", "jetbrains-mono", "josefin-slab",
    "jura", "kanit", "karla", "keania-one", "khand", "krona-one", "lato", "league-gothic", "lekton", "lexend",
    "libre-franklin", "m-plus-rounded-1c", "manrope", "martian-mono", "michroma", "mohave", "monda",
    "montserrat", "mukta", "news-cycle", "nova-mono", "nova-square", "nunito", "orbitron", "oswald", "outfit",
    "overpass", "overpass-mono", "oxanium", "oxygen-mono", "passion-one", "pathway-gothic-one", "play",
    "pontano-sans", "poppins", "pragati-narrow", "pt-mono", "pt-sans-narrow", "pt-serif", "public-sans",
    "quantico", "quicksand", "racing-sans-one", "rajdhani", "raleway", "red-hat-mono", "roboto-condensed",
    "roboto-mono", "roboto-slab", "rokkitt", "ropa-sans", "rubik", "ruda", "russo-one", "saira-condensed",
    "saira-extra-condensed", "saira-semi-condensed", "share-tech", "share-tech-mono", "signika", "smooch-sans",
    "sofia-sans-condensed", "sofia-sans-extra-condensed", "sometype-mono", "sora", "source-code-pro",
    "source-sans-3", "space-mono", "special-elite", "spline-sans-mono", "squada-one", "staatliches",
    "stalinist-one", "stardos-stencil", "syncopate", "tauri", "teko", "tinos", "titillium-web", "tomorrow",
    "ubuntu-mono", "unica-one", "urbanist", "varela-round", "viga", "wallpoet", "work-sans",
    "yanone-kaffeesatz", "zilla-slab",
]  # fmt: skip
HELD_OUT = (
    "overpass-latin", "francois-one", "saira-condensed", "share-tech-mono", "rubik-latin", "barlow-latin", "khand",
    "electrolize", "ibm-plex-mono", "bitter", "encode-sans-condensed", "titillium-web",
)  # fmt: skip
"""Families (by the start of the file name) that training never sees: the held-out set is drawn with them."""

_CUTS = [
    ["400", "normal"],
    ["500", "normal"],
    ["600", "normal"],
    ["700", "normal"],
    ["800", "normal"],
    ["500", "italic"],
    ["700", "italic"],
]
Face = Path | StrokeFace
"""What characters are drawn with: a font file, or an alphabet of our own."""

_SIZE = 128  # pixels per em at which glyphs are rasterised once; drawing only ever shrinks them


def dejavu(mono: bool = False) -> Path:
    """DejaVu Sans Bold (or Sans Mono Bold) as shipped inside matplotlib."""
    name = "DejaVuSansMono-Bold.ttf" if mono else "DejaVuSans-Bold.ttf"
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


def install(cache: Path) -> None:
    """Fetch PACKAGES with npm into `cache`. Raises RuntimeError with npm's words when it fails."""
    cache.mkdir(parents=True, exist_ok=True)
    manifest = cache / "package.json"
    if not manifest.exists():
        manifest.write_text('{"name": "plate-fonts", "private": true}\n')
    command = ["npm", "install", "--no-audit", "--no-fund", *(f"@fontsource/{name}" for name in PACKAGES)]
    try:
        subprocess.run(command, cwd=cache, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError("npm is needed to fetch the training fonts: install Node.js, then run this again") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"npm could not fetch the training fonts: {error.stderr.strip()[-400:]}") from error


def training_fonts(cache: Path | None, held_out: bool = False) -> list[Path]:
    """Sorted font files: DejaVu and every cached family but HELD_OUT, or only HELD_OUT ones."""
    cached = (
        []
        if cache is None
        else [
            path
            for path in sorted(cache.glob("node_modules/@fontsource/*/files/*-latin-[0-9]*.woff"))
            if path.stem.split("-")[-2:] in _CUTS
        ]
    )
    unseen = [path for path in cached if path.name.startswith(HELD_OUT)]
    if held_out:
        return unseen or [dejavu()]
    seen = [path for path in cached if path not in unseen]
    return [dejavu(), dejavu(mono=True), dejavu().with_name("DejaVuSans.ttf"), *seen]


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character as ink: `mask` (h, w) uint8, tight; `height` and `drop` (below the baseline) in units of
    the reference character of its kind ('8' for digits, 'H' for letters), so that all digits of a font line
    up."""

    mask: NDArray[np.uint8]
    height: float
    drop: float

    @property
    def width(self) -> float:
        """Width in the same units as `height`."""
        rows, columns = self.mask.shape
        return self.height * float(columns) / float(rows)


@functools.lru_cache(maxsize=512)
def _font(path: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), _SIZE)


@functools.lru_cache(maxsize=32768)
def glyph(face: Face, character: str) -> Glyph:
    """The glyph of `character` in `face`; our own alphabets have capitals only. Raises OSError for a file that is no
    font."""
    if isinstance(face, StrokeFace):
        return Glyph(ink(face, character.upper()), 1.0, 0.0)
    font = _font(face)
    reference = font.getbbox("8" if character.isdigit() else "H", anchor="ls")
    left, top, right, bottom = (int(edge) for edge in font.getbbox(character, anchor="ls"))
    image = Image.new("L", (max(right - left, 1), max(bottom - top, 1)))
    ImageDraw.Draw(image).text((-left, -top), character, font=font, fill=255, anchor="ls")
    cap = max(float(reference[3] - reference[1]), 1.0)
    return Glyph(np.asarray(image), image.height / cap, bottom / cap)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch the free fonts that plates are drawn with.")
    parser.add_argument("--cache", type=Path, required=True, help="folder outside git to install the fonts into")
    cache = parser.parse_args().cache
    try:
        install(cache)
    except RuntimeError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(
        f"{len(training_fonts(cache))} training fonts, {len(training_fonts(cache, held_out=True))} held out\n"
    )


if __name__ == "__main__":
    main()
