"""arXiv's archives and categories: https://arxiv.org/category_taxonomy, as of August 2026."""

from difflib import get_close_matches
from typing import Final

# Archive: its group in OAI-PMH, and its subject classes.
_ARCHIVES: Final = {
    "astro-ph": ("physics", "CO EP GA HE IM SR"),
    "cond-mat": ("physics", "dis-nn mes-hall mtrl-sci other quant-gas soft stat-mech str-el supr-con"),
    "cs": (
        "cs",
        "AI AR CC CE CG CL CR CV CY DB DC DL DM DS ET FL GL GR GT HC IR IT LG LO MA MM MS NA NE NI OH OS PF PL RO SC"
        " SD SE SI SY",
    ),
    "econ": ("econ", "EM GN TH"),
    "eess": ("eess", "AS IV SP SY"),
    "gr-qc": ("physics", ""),
    "hep-ex": ("physics", ""),
    "hep-lat": ("physics", ""),
    "hep-ph": ("physics", ""),
    "hep-th": ("physics", ""),
    "math": (
        "math",
        "AC AG AP AT CA CO CT CV DG DS FA GM GN GR GT HO IT KT LO MG MP NA NT OA OC PR QA RA RT SG SP ST",
    ),
    "math-ph": ("physics", ""),
    "nlin": ("physics", "AO CD CG PS SI"),
    "nucl-ex": ("physics", ""),
    "nucl-th": ("physics", ""),
    "physics": (
        "physics",
        "acc-ph ao-ph app-ph atm-clus atom-ph bio-ph chem-ph class-ph comp-ph data-an ed-ph flu-dyn gen-ph geo-ph"
        " hist-ph ins-det med-ph optics plasm-ph pop-ph soc-ph space-ph",
    ),
    "q-bio": ("q-bio", "BM CB GN MN NC OT PE QM SC TO"),
    "q-fin": ("q-fin", "CP EC GN MF PM PR RM ST TR"),
    "quant-ph": ("physics", ""),
    "stat": ("stat", "AP CO ME ML OT TH"),
}
ARCHIVES: Final = tuple(_ARCHIVES)
CATEGORIES: Final = frozenset(
    f"{archive}.{name}" for archive, (_, classes) in _ARCHIVES.items() for name in classes.split()
) | frozenset(ARCHIVES)
"""All names that a query may contain: categories such as `cs.AI` and `hep-th`, and archives such as `math`."""

# What archives that arXiv has closed are called today: https://arxiv.org/archive lists them.
_CLOSED: Final = {
    "acc-phys": "physics.acc-ph", "adap-org": "nlin.AO", "alg-geom": "math.AG", "ao-sci": "physics.ao-ph",
    "atom-ph": "physics.atom-ph", "bayes-an": "physics.data-an", "chao-dyn": "nlin.CD", "chem-ph": "physics.chem-ph",
    "cmp-lg": "cs.CL", "comp-gas": "nlin.CG", "dg-ga": "math.DG", "funct-an": "math.FA",
    "mtrl-th": "cond-mat.mtrl-sci", "patt-sol": "nlin.PS", "plasm-ph": "physics.plasm-ph", "q-alg": "math.QA",
    "solv-int": "nlin.SI", "supr-con": "cond-mat.supr-con",
}  # fmt: skip
_BY_LOWER_CASE: Final = {name.lower(): name for name in sorted(CATEGORIES)}
_NEAREST: Final = 3
_MAX_LENGTH: Final = 40


def classes_of(archive: str) -> tuple[str, ...]:
    """Return the categories of an archive that has subject classes (`math`); nothing for any other name."""
    _, classes = _ARCHIVES.get(archive, ("", ""))
    return tuple(f"{archive}.{name}" for name in classes.split())


def oai_set(category: str) -> str:
    """Return a category's set in OAI-PMH, such as `cs:cs:AI` or `physics:hep-th`.

    See "Sets" in https://info.arxiv.org/help/oa/index.html. Raises `KeyError` if arXiv has no such archive.
    """
    archive, _, name = category.partition(".")
    group, _ = _ARCHIVES[archive]
    return ":".join(part for part in (group, archive, name) if part)


def category_problem(name: str) -> str | None:
    """Return why `name` is no category of arXiv, with the nearest ones; None if it is one."""
    if name in CATEGORIES:
        return None
    nearest = nearest_categories(name)
    hint = f"did you mean {' or '.join(nearest)}?" if nearest else "see https://arxiv.org/category_taxonomy"
    return f"{name[:_MAX_LENGTH]!r} is not an arXiv category: {hint}"


def nearest_categories(name: str) -> list[str]:
    """Return up to three categories whose spelling is nearest to `name`, the nearest first."""
    lower = name[:_MAX_LENGTH].strip().lower()
    if lower in _CLOSED:
        return [_CLOSED[lower]]
    spellings = (lower, lower.replace("_", ".").replace(" ", "."), lower.replace(".", "-"))
    exact = [_BY_LOWER_CASE[each] for each in spellings if each in _BY_LOWER_CASE]
    archive, _, name_in_archive = lower.partition(".")
    # `cs.ML` is `stat.ML`. Otherwise other classes of the same archive are meant.
    elsewhere = [each for each in _BY_LOWER_CASE.values() if each.lower().partition(".")[2] == name_in_archive != ""]
    own = [each.lower() for each in classes_of(archive)]
    close = [_BY_LOWER_CASE[each] for each in get_close_matches(lower, own or list(_BY_LOWER_CASE), cutoff=0.5)]
    return exact[:1] or [*elsewhere, *close][:_NEAREST]
