"""Inlining of styles into a template's tags once, instead of into each rendered page with css-inline."""

import re
from functools import lru_cache
from typing import Final

import css_inline

# Opening tags of the templates, whose expressions contain no angle brackets.
_TAG = re.compile(r"<(?P<name>[a-z][a-z0-9]*)(?P<rest>(?:\s[^<>]*)?)>")
_CLASS = re.compile(r'class="(?P<names>[a-z -]*)"')
_STYLE = re.compile(r'style="(?P<style>[^"]*)"')
# Elements that a parser accepts only inside others.
_AROUND: Final = {"td": "<table><tr>{}</tr></table>", "tr": "<table>{}</table>", "li": "<ul>{}</ul>"}
_HEAD: Final = frozenset({"html", "head", "meta", "title", "style"})


def inlined(template: str, style: str) -> str:
    """Add to every opening tag the style of its element and classes.

    The style sheet selects only by element and class, so that a tag's style does not depend on its context. Classes
    from template expressions get no style.
    """

    def styled(tag: re.Match[str]) -> str:
        name, rest = tag["name"], tag["rest"]
        if name in _HEAD:
            return tag[0]
        classes = _CLASS.search(rest)
        found = _style_of(name, classes["names"] if classes else "", style)
        return f'<{name}{rest} style="{found}">' if found else tag[0]

    return _TAG.sub(styled, template)


@lru_cache(maxsize=256)
def _style_of(name: str, classes: str, style: str) -> str:
    element = f'<{name} class="{classes}" id="it"></{name}>'
    page = f"<html><head><style>{style}</style></head>"
    page += element if name == "body" else f"<body>{_AROUND.get(name, '{}').format(element)}</body>"
    inliner = css_inline.CSSInliner(keep_at_rules=False, load_remote_stylesheets=False)
    tag = re.search(rf'<{name}[^>]*id="it"[^>]*>', inliner.inline(f"{page}</html>"))
    found = _STYLE.search(tag[0]) if tag else None
    return found["style"] if found else ""
