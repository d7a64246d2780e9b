"""A figure that shows itself in a notebook, in the fonts that its letters need; colours and names for pictures."""

from functools import lru_cache
from io import BytesIO

from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from vaelab.text import printable

# Okabe and Ito's palette, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
LONGEST_NAME = 28
SCRIPTS = (  # fonts of systems and distributions for letters that matplotlib's own lacks, of which some are installed
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "Source Han Sans"),
    *("Droid Sans Fallback", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAexGothic", "IPAGothic", "VL Gothic"),
    *("TakaoGothic", "NanumGothic", "UnDotum", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Yu Gothic"),
    *("Meiryo", "MS Gothic", "Microsoft YaHei", "SimHei", "Malgun Gothic", "Arial Unicode MS", "Noto Sans Thai"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Symbols", "Unifont", "Segoe UI"),
)


class Picture(Figure):
    """A matplotlib figure that shows itself in a notebook without pyplot, in the fonts that its letters need."""

    def draw(self, renderer: RendererBase) -> None:
        """Draw as a figure does, with other fonts behind the default one."""
        for text in self.findobj(Text):
            text.set_fontfamily(_families())
        super().draw(renderer)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def plain(text: str) -> str:
    """Text that matplotlib draws as it is, on one line of bearable length.

    No formula between dollar signs, no control character; what no installed font of `SCRIPTS` has becomes a box.
    """
    text = printable(text)
    if len(text) > LONGEST_NAME:
        text = f"{text[: LONGEST_NAME // 2]}…{text[-LONGEST_NAME // 2 + 1 :]}"
    return "".join(letter if _is_in_font(letter) else "□" for letter in text).replace("$", r"\$")


@lru_cache(maxsize=1)
def _families() -> list[str]:
    """The default font, and behind it those of `SCRIPTS` that are installed."""
    default, installed = FontProperties().get_name(), set(fontManager.get_font_names())
    return [default, *(name for name in SCRIPTS if name in installed and name != default)]


@lru_cache(maxsize=4096)
def _is_in_font(letter: str) -> bool:
    fonts = (get_font(findfont(FontProperties(family=name))) for name in _families())
    return any(font.get_char_index(ord(letter)) for font in fonts)
