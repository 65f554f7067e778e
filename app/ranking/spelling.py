"""Normalises spellings: British to American, hyphenated to joined, plural acronyms to singular."""

import re
from typing import Final

# After these, `is` is not the British form of `iz`: `supervise` must keep the stem of `supervision`.
_KEPT_S: Final = (
    "(?:un|re|pre|mis|non|semi|self)?(?:adv|advert|chem|circumc|compr|comprom|conc|cru|dev|disgu|exc|exerc|expert|franch|"
    "improv|inc|merchand|no|pa|po|pra|prec|prem|prom|ra|rev|superv|surm|surpr|telev)is"
)
_IZE = re.compile(rf"^(?!{_KEPT_S})(.{{3,}})is(e|ed|es|er|ers|ing|able|ation|ations)$")
_OUR = re.compile(
    r"^(arm|behavi|clam|col|discol|endeav|fav|flav|glam|harb|hon|hum|lab|misbehavi|neighb|od|rig|rum|sav|splend|tum|val|"
    r"vap|vig)our(?!c)"
)
_RE = re.compile(r"^(calib|cent|epicent|fib|lit|lust|met|\w{4,5}met|sab|spect|theat)re(s)?$")
_OGUE = re.compile(r"^(ana|cata|dia|epi|mono|pro)logue(s|d)?$")
_YZE = re.compile(r"^(catal|dial|electrol|hydrol|paral)ys(e|ed|er|ers|es|ing)$")
_ENCE = re.compile(r"^(def|lic|off|pret)ence(s|d)?$")
_DOUBLE_L = re.compile(
    r"^((?:re|un|mis|pre)?(?:cancel|channel|counsel|dial|equal|fuel|label|level|marshal|model|panel|parallel|rival|signal|"
    r"spiral|total|travel|tunnel))l(ed|er|ers|ing|ings)$"
)
_RULES: Final = (
    ("is", _IZE, r"\1iz\2"),
    ("our", _OUR, r"\1or"),
    ("re", _RE, r"\1er\2"),
    ("logue", _OGUE, r"\1log\2"),
    ("ys", _YZE, r"\1yz\2"),
    ("ence", _ENCE, r"\1ense\2"),
    ("ll", _DOUBLE_L, r"\1\2"),
)
_SPELLED: Final = {
    "ageing": "aging", "aluminium": "aluminum", "anaemia": "anemia", "anaesthesia": "anesthesia",
    "artefact": "artifact", "artefacts": "artifacts", "caesium": "cesium", "centred": "centered",
    "centring": "centering", "enrol": "enroll", "enrolment": "enrollment", "foetal": "fetal", "foetus": "fetus",
    "fulfil": "fulfill", "grey": "gray", "greyscale": "grayscale", "gynaecology": "gynecology",
    "haematology": "hematology", "haemoglobin": "hemoglobin", "haemorrhage": "hemorrhage", "ischaemic": "ischemic",
    "judgement": "judgment", "judgements": "judgments", "leukaemia": "leukemia", "manoeuvre": "maneuver",
    "manoeuvres": "maneuvers", "mould": "mold", "moulding": "molding", "oesophageal": "esophageal",
    "oestrogen": "estrogen", "orthopaedic": "orthopedic", "paediatric": "pediatric", "plough": "plow",
    "programme": "program", "programmes": "programs", "sceptic": "skeptic", "sceptical": "skeptical",
    "sulphate": "sulfate", "sulphide": "sulfide", "sulphur": "sulfur", "tyre": "tire", "tyres": "tires",
}  # fmt: skip

STEMS: Final = {
    word: stem
    for stem, words in {
        "analyz": "analysis analyses analyse analysed analyser analysing analyze analyzed analyzer analyzers analyzing",
        "authoriti": "authority authorities",
        "critic": "critic critics",
        "critical": "critical critically criticality",
        "differentiabl": "differentiable differentiability differentiably",
        "differentiat": "differentiate differentiated differentiates differentiating differentiation",
        "experiment": "experiment experiments experimental experimentally experimentation",
        "importance": "important importance importantly",
        "internation": "international internationally",
        "organiz": "organize organized organizes organizing organization organizations organizational",
        "polici": "policy policies",
        "severe": "severe severity severely",
        "univers": "university universities",
        "universal": "universal universality universally",
    }.items()
    for word in words.split()
}
"""Stems of words that Snowball conflates with words of another meaning, or separates from their other forms."""

# Plural acronyms, whose `s` Snowball does not remove because no vowel precedes it.
_PLURAL = re.compile(r"^([b-df-hj-np-tv-z]{2,}[aeiou]?|[b-df-hj-np-tv-z][aeiou])s$")
_SHORTEST_PLURAL: Final = 4

_PREFIX_TEXT: Final = """
    anti bi co counter geo hetero homo hyper infra inter intra macro micro mini mono multi nano neuro non omni poly pre
    proto pseudo quasi re retro semi spatio sub supra tele thermo tri ultra un uni"""
PREFIXES: Final = frozenset(_PREFIX_TEXT.split())
"""Prefixes that are joined with the word after a hyphen: multi-modal, multimodal."""
_APART_TEXT: Final = "anti hyper inter intra multi non pre pseudo quasi semi spatio"
_APART: Final = frozenset(_APART_TEXT.split())
_PAIRS: Final = {
    "auto": ("encod", "regress", "complet"), "back": ("propag",), "chat": ("bot",), "cross": ("lingual", "modal"),
    "data": ("base", "set"), "down": ("sampl", "stream"), "fine": ("tun",), "in": ("paint",), "key": ("point",),
    "life": ("long",), "meta": ("learn",), "out": ("paint",), "over": ("fit",), "post": ("train", "process"),
    "super": ("resol", "pixel"), "up": ("sampl", "scal"), "work": ("flow",),
}  # fmt: skip
FIRSTS: Final = frozenset(written for word in (*_APART, *_PAIRS) for written in (word, word.capitalize()))
"""Words that may be joined with the next word, although a space separates them."""


def is_one_word(first: str, second: str, *, hyphen: bool) -> bool:
    """Whether two lower-case words are one word that is written separately."""
    if first in (PREFIXES if hyphen else _APART):
        return second.isalpha()
    return second.startswith(_PAIRS.get(first, "0"))


def american(word: str) -> str:
    """Return the American spelling of a lower-case word, and the singular of a plural acronym."""
    if spelled := _SPELLED.get(word):
        return spelled
    for part, rule, replacement in _RULES:
        if part in word and (found := rule.match(word)):
            return found.expand(replacement) + word[found.end() :]
    if word.endswith("s") and len(word) >= _SHORTEST_PLURAL and _PLURAL.match(word):
        return word[:-1]
    return word
