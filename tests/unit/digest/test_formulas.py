"""Formulas of strangers: mathematics reaches a reader's TeX as it is, and nothing else does."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.digest.bibtex import escaped
from app.digest.math_commands import ARGUMENTS, SIZES, SYMBOLS
from app.sources.tex import from_tex
from app.sources.text import MAX_ABSTRACT, plain
from tests.support.tex_reader import ALLOWED_IN_TEXT, read_tex

MATHEMATICS = (
    r"$p<q$",
    r"$k$-NN",
    r"\(p\)",
    r"$\mathbb{R}^n_{\alpha}$",
    r"$\left(\frac{1}{2}\right)$",
    r"$\sqrt[3]{x} + \sqrt\pi$",
    r"$\frac12 \tfrac\pi2$",
    r"$\{x \mid x>0\}$",
    r"$\mathcal O(\log n)$",
    r"$\bigl\langle x \bigr\|$",
    r"$0 \text{ if } x\not\in A$",
    r"${\cal N}=4$",
    r"$x^\mathrm{T}_{i,\,j}$",
    r"$99\%$",
    r"$\sqrt[3]{x}$",
    r"$\frac{1}{2}$",
    r"$\hat x$",
    r"$\Gamma \pm 1 \leq f: X \to \lfloor y \rfloor \quad \ldots$",
)
HOSTILE = (
    r"$\input{/etc/passwd}$",
    r"$\input/etc/passwd $",
    r"$\write18{ls}$",
    r"$\immediate\write18{ls}$",
    r"$\def\x{y}$",
    r"$\catcode`\@=0$",
    r"$\csname input\endcsname{x}$",
    r"$^^5cinput{x}$",
    r"$x^^5cinput{x}$",
    r"$\text{\input{x}}$",
    r"$\alpha\loop\repeat$",
    r"\(\openin5=x\)",
    r"$\begin{filecontents}{x}$",
    r"$\{ }$",
    r"$}{$",
    r"${x$",
    r"$\left\{x\right.$",
    r"$\left(x$",
    r"$x\right)$",
    r"${\left(x}\right)$",
    r"$\frac$",
    r"$\frac{1}$",
    r"$\sqrt[$",
    r"$\sqrt[3]$",
    r"$\hat$",
    r"$\None$",
    r"$x^$",
    r"$\alphaé$",
    r"$\alpha@x$",
    r"$a & b$",
    r"$a # b$",
    r"$a % b$",
    "$" + "{" * 21 + "x" + "}" * 21 + "$",
)
_NAMES = """
    input include import openin openout read write immediate special def edef gdef xdef let futurelet newcommand
    renewcommand catcode lccode uccode mathcode mathchardef csname endcsname expandafter noexpand string meaning
    jobname loop repeat begin end href url usepackage directlua luaexec pdfobj everypar everymath output toks count
    dimen skip hbox vbox vsplit halign char scantokens afterassignment aftergroup uppercase lowercase verb
    includegraphics label ref"""
DANGEROUS = frozenset(_NAMES.split())


@pytest.mark.parametrize("formula", MATHEMATICS)
def test_mathematics_is_exported_as_it_is(formula: str) -> None:
    assert escaped(f"Of {formula}, twice") == f"Of {formula}, twice"


@pytest.mark.parametrize("formula", HOSTILE)
def test_other_commands_are_printed_not_run(formula: str) -> None:
    exported = escaped(formula)
    assert read_tex(exported) <= ALLOWED_IN_TEXT
    assert from_tex(exported) == formula, "an import reads it back"


def test_no_allowed_command_can_do_harm() -> None:
    allowed = SYMBOLS | SIZES | ARGUMENTS.keys()
    assert not allowed & DANGEROUS
    assert not {name.lower() for name in allowed} & DANGEROUS, "BibTeX styles change the case of titles"


PIECES = st.sampled_from(
    [
        *"$$$\\{}%#&^_~@`\"'()[]|<> xé1.",
        *("^^5c", "^^", "\\(", "\\)", "\\{", "\\}", "\\left", "\\right", "\\frac", "\\sqrt[", "\\text{", "\\alpha"),
        *("\\input", "\\write18", "\\def", "\\csname", "\\mathbb{R}", "x^{2}", "\n", "\u2028", "\\ß"),
    ]
)


@given(st.lists(PIECES, max_size=30).map("".join))
@example("$" * 3 + "x" + "$" * 3)
def test_tex_gets_no_other_command(text: str) -> None:
    allowed = ALLOWED_IN_TEXT | SYMBOLS | SIZES | ARGUMENTS.keys()
    for formula in (text, f"${text}$", f"a $x{text}x$ b"):
        assert read_tex(escaped(plain(formula, MAX_ABSTRACT))) <= allowed
