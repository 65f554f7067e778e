"""The commands of LaTeX that stand for letters, symbols and styles of text."""

import unicodedata
from typing import Final

ACCENTS: Final = {
    "'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303", "=": "\u0304", ".": "\u0307",
    "u": "\u0306", "v": "\u030c", "H": "\u030b", "c": "\u0327", "k": "\u0328", "r": "\u030a",
    "d": "\u0323", "b": "\u0331", "t": "\u0361", "h": "\u0309", "G": "\u030f", "U": "\u030e",
}  # fmt: skip
"""Accents of LaTeX and its encodings T1 and T5, each as the combining character that Unicode puts after a letter."""

LETTERS: Final = {
    "i": "\u0131", "j": "\u0237", "l": "ł", "L": "Ł", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ",
    "aa": "å", "AA": "Å", "ss": "ß", "SS": "ẞ", "th": "þ", "TH": "Þ", "dh": "ð", "DH": "Ð", "dj": "đ", "DJ": "Đ",
    "ng": "ŋ", "NG": "Ŋ",
}  # fmt: skip

_GREEK: Final = """
    alpha beta gamma delta epsilon zeta eta theta iota kappa lamda mu nu xi omicron pi rho sigma tau upsilon phi chi psi
    omega"""
_BASIC: Final = {
    "textquoteleft": "\u2018", "textquoteright": "\u2019", "textquotedblleft": "\u201c", "textquotedblright": "\u201d",
    "textquotesingle": "'", "textquotedbl": '"', "textasciigrave": "`", "textasciiacute": "\u00b4",
    "textendash": "\u2013", "textemdash": "\u2014", "textless": "<", "textgreater": ">", "textbar": "|",
    "textbackslash": "\\", "textbraceleft": "{", "textbraceright": "}", "textasciitilde": "~", "textasciicircum": "^",
    "textunderscore": "_", "textdollar": "$", "textellipsis": "…", "ldots": "…", "dots": "…", "textdegree": "°",
    "textbullet": "•", "textregistered": "®", "texttrademark": "™", "textcopyright": "©", "copyright": "©",
    "textmu": "µ", "texttimes": "\u00d7", "textpm": "±", "textonehalf": "½", "textonequarter": "¼", "S": "§", "P": "¶",
    "textsection": "§", "textordfeminine": "ª", "textordmasculine": "º", "pounds": "£", "textsterling": "£",
    "texteuro": "€", "euro": "€", "textyen": "¥", "textcent": "¢", "textperiodcentered": "·", "textexclamdown": "¡",
    "textquestiondown": "¿", "guillemotleft": "«", "guillemotright": "»", "guilsinglleft": "\u2039",
    "guilsinglright": "\u203a", "quotedblbase": "„", "quotesinglbase": "\u201a", "glqq": "„", "grqq": "\u201c",
    "textnumero": "№", "TeX": "TeX", "LaTeX": "LaTeX", "BibTeX": "BibTeX", "backslash": "\\",
    "lbrace": "{", "rbrace": "}",
}  # fmt: skip
SYMBOLS: Final = _BASIC | {
    form(name): unicodedata.lookup(f"GREEK {size} LETTER {letter.upper()}")
    for letter in _GREEK.split()
    for name in {letter, letter.replace("lamda", "lambda")}
    for size, form in (("SMALL", str.lower), ("CAPITAL", str.title))
}

_STYLES: Final = """
    emph textbf textit texttt textsc textrm textsf textsl textup textmd textnormal text mbox hbox underline enquote
    it bf em rm sc tt sf sl itshape bfseries scshape upshape slshape ttfamily rmfamily sffamily normalfont relax
    protect textsuperscript textsubscript NoCaseChange lowercase uppercase natexlab mkbibquote mkbibemph"""
STYLES: Final = frozenset(_STYLES.split())
"""Commands that change how their text looks: the text stays."""

SPACES: Final = frozenset({"quad", "qquad", "space", "newline", "linebreak", "par", "enspace", "thinspace", "hfill"})
ESCAPED: Final = frozenset("$&%#_{}")
