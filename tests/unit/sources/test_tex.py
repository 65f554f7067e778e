"""TeX converted to text: accents become letters; mathematics and text without TeX do not change."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.sources.tex import from_mixed, from_tex
from app.sources.tex_commands import ACCENTS
from tests.support.loop_blocking import shortest

IN_BIBTEX = {
    r"Schr{\"o}dinger, W\'ojcik, Zale\.zno\'s\'c": "Schrödinger, Wójcik, Zależność",
    r"\'{\i}nez \v{c}\c{c}\c c \~{\^e} \'{\"u} \H{o} \k{e} \r a": "ínez čçç ễ ǘ ő ę å",
    r"{\ss} \O{}re Stra\ss e b\l{}\k{e}d \aa ngstr\"om \AE{} {\DJ}": "ß Øre Straße błęd ångström Æ Đ",
    r"{The {NASA}} \emph{a} {\it b} \textbf{c}": "The NASA a b c",
    r"50\% \& \$5 a\_b \#1 \{x\}": "50% & $5 a_b #1 {x}",
    r"a -- b --- c ``d'' e~f -{}-": "a \u2013 b \u2014 c \u201cd\u201d e f --",
    r"$x^{2}_{i} \log n$ and \(p<q\) and \[a\]": r"$x^{2}_{i} \log n$ and \(p<q\) and \[a\]",
    r"\ensuremath{\alpha_{1}} \alpha{} \unknown": "$\\alpha_{1}$ \u03b1 \\unknown",
    r"\url{http://a/b~c--d} \href{http://x}{text} \mkfoo{x}": "http://a/b~c--d text x",
    r"\textbackslash{}alpha \textless{} \textquoteright": "\\alpha < \u2019",
}
IN_FEEDS = {
    r"Solitons of a Schr\"odinger equation with $p<q$": "Solitons of a Schrödinger equation with $p<q$",
    r"P\'olya and Erd\H{o}s--R\'enyi": "Pólya and Erdős--Rényi",
    r"The {\it Herschel} survey, 50\% \& more": "The Herschel survey, 50% & more",
    r"$\tilde{O}(n)$ and $\'e$": r"$\tilde{O}(n)$ and $\'e$",
    r"C:\users\doe and {fmt} 50% a~b -- ok": r"C:\users\doe and {fmt} 50% a~b -- ok",
    r"say \"open\" now": 'say "open" now',
    r"\cite{x} of \'e": r"\cite{x} of é",
}


@pytest.mark.parametrize("tex", IN_BIBTEX)
def test_a_field_becomes_the_text_that_latex_prints(tex: str) -> None:
    assert from_tex(tex) == IN_BIBTEX[tex]


@pytest.mark.parametrize("text", IN_FEEDS)
def test_text_with_some_tex_loses_only_the_tex(text: str) -> None:
    assert from_mixed(text) == IN_FEEDS[text]


@given(st.text(st.characters(exclude_characters="\\"), max_size=60))
def test_text_without_a_backslash_does_not_change(text: str) -> None:
    assert from_mixed(text) == text


@given(st.lists(st.tuples(st.sampled_from("'`^\"~="), st.sampled_from("aeiouAEIOU"), st.sampled_from([0, 1, 2]))))
def test_any_accent_is_a_letter(accents: list[tuple[str, str, int]]) -> None:
    forms = [lambda m, a: f"\\{m}{a}", lambda m, a: f"{{\\{m}{a}}}", lambda m, a: f"\\{m}{{{a}}}"]
    tex = "x".join(forms[form](mark, letter) for mark, letter, form in accents)
    letters = [unicodedata.normalize("NFC", letter + ACCENTS[mark]) for mark, letter, _ in accents]
    assert from_tex(tex) == from_mixed(tex) == "x".join(letters)


@pytest.mark.parametrize(
    "piece",
    [r"\'o", r"\'{\i}", r"\(", "$", r"\ensuremath{", r"\href{", "{", r"\u", r"\'{\'{", "\\", r"\[a", r"\a ", "$a"],
)
def test_conversion_takes_linear_time(piece: str) -> None:
    text = piece * (18_000 // len(piece))
    assert shortest(lambda: (from_tex(text), from_mixed(text)), 0.04) < 0.04
