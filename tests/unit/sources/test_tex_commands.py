"""Each command of LaTeX for an accent, a letter or a symbol becomes the character that LaTeX prints."""

import unicodedata

import pytest

from app.sources.tex import from_tex

ACCENTED = {
    r"\'e": "é",
    r"\`e": "è",
    r"\^e": "ê",
    r"\"e": "ë",
    r"\~n": "ñ",
    r"\=a": "ā",
    r"\.z": "ż",
    r"\u{a}": "ă",
    r"\v{s}": "š",
    r"\H{o}": "ő",
    r"\c{c}": "ç",
    r"\k{a}": "ą",
    r"\r{u}": "ů",
    r"\d{a}": "ạ",
    r"\b{d}": "ḏ",
    r"\t{o}": "o\u0361",
    r"\h{a}": "ả",
    r"\G{a}": "ȁ",
    r"\U{a}": "a\u030e",
}
LETTERS = {
    "i j l L o O ae AE oe OE": "\u0131 ȷ ł Ł ø Ø æ Æ œ Œ",
    "aa AA ss SS th TH dh DH dj DJ ng NG": "å Å ß ẞ þ Þ ð Ð đ Đ ŋ Ŋ",
}
SYMBOLS = {
    "textquoteleft textquoteright textquotedblleft textquotedblright": "\u2018 \u2019 \u201c \u201d",
    "textquotesingle textquotedbl textasciigrave textasciiacute textendash textemdash": "' \" ` \u00b4 \u2013 \u2014",
    "textless textgreater textbar textbackslash textbraceleft textbraceright": "< > | \\ { }",
    "textasciitilde textasciicircum textunderscore textdollar textellipsis ldots dots": "~ ^ _ $ … … …",
    "textdegree textbullet textregistered texttrademark textcopyright copyright textmu": "° • ® ™ © © µ",
    "texttimes textpm textonehalf textonequarter S P textsection": "\u00d7 ± ½ ¼ § ¶ §",
    "textordfeminine textordmasculine pounds textsterling texteuro euro textyen textcent": "ª º £ £ € € ¥ ¢",
    "textperiodcentered textexclamdown textquestiondown guillemotleft guillemotright": "· ¡ ¿ « »",
    "guilsinglleft guilsinglright quotedblbase quotesinglbase glqq grqq": "\u2039 \u203a „ \u201a „ \u201c",
    "textnumero TeX LaTeX BibTeX backslash lbrace rbrace": "№ TeX LaTeX BibTeX \\ { }",
    "alpha Gamma lambda lamda Lambda omega Omega omicron": "\u03b1 \u0393 \u03bb \u03bb \u039b \u03c9 \u03a9 \u03bf",
}


@pytest.mark.parametrize("tex", ACCENTED)
def test_each_accent_is_read(tex: str) -> None:
    assert from_tex(f"x{tex}y") == unicodedata.normalize("NFC", f"x{ACCENTED[tex]}y")


@pytest.mark.parametrize(("names", "characters"), (LETTERS | SYMBOLS).items())
def test_each_letter_and_symbol_is_read(names: str, characters: str) -> None:
    found = [from_tex(f"x\\{name}{{}}y") for name in names.split()]
    assert found == [f"x{character}y" for character in characters.split(" ")]


@pytest.mark.parametrize(
    "name", ["quad", "qquad", "space", "newline", "linebreak", "par", "enspace", "thinspace", "hfill"]
)
def test_each_command_of_space_separates(name: str) -> None:
    assert from_tex(f"a\\{name} b").split() == ["a", "b"]


@pytest.mark.parametrize("character", "$&%#_{}")
def test_each_escaped_character_is_itself(character: str) -> None:
    assert from_tex(f"a\\{character}b") == f"a{character}b"
