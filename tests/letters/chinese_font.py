"""Write the font of the Chinese texts of letters again: `python -m tests.letters.chinese_font "NotoSansSC[wght].ttf"`.

The whole font has 17 MB; `templates/letter/languages.json` needs some 190 of its glyphs. Run this after a change of the
Chinese texts, with the font as Google publishes it (OFL 1.1, which allows a subset). The Python package
`justmytype-intl-cjk` has it in `fonts/ofl/notosanssc/`.
"""

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer

from idp.letters.render import postal
from tests.letters.read_back import texts

_FIRST = "\u2e80"  # what comes before is drawn by Noto Sans


def characters() -> set[str]:
    """Return the characters of the Chinese texts that Noto Sans cannot draw."""
    return {char for char in texts("zh-Hans") if char >= _FIRST}


def write(source: Path) -> None:
    options = subset.Options()
    options.layout_features = ["*"]
    options.name_IDs = ["*"]
    options.hinting = False
    options.notdef_outline = True
    font = TTFont(source)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=map(ord, characters()))
    chosen.subset(font)
    instancer.instantiateVariableFont(font, {"wght": (400, 400, 700)}, inplace=True)
    font.save(postal.CHINESE)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
