"""The categories of bioRxiv and medRxiv: https://www.biorxiv.org and https://www.medrxiv.org, as of November 2026."""

from difflib import get_close_matches
from typing import Final

CATEGORIES: Final = {
    "biorxiv": (
        *("animal behavior and cognition", "biochemistry", "bioengineering", "bioinformatics", "biophysics"),
        *("cancer biology", "cell biology", "clinical trials", "developmental biology", "ecology", "epidemiology"),
        *("evolutionary biology", "genetics", "genomics", "immunology", "microbiology", "molecular biology"),
        *("neuroscience", "paleontology", "pathology", "pharmacology and toxicology", "physiology", "plant biology"),
        *("scientific communication and education", "synthetic biology", "systems biology", "zoology"),
    ),
    "medrxiv": (
        *("addiction medicine", "allergy and immunology", "anesthesia", "cardiovascular medicine"),
        *("dentistry and oral medicine", "dermatology", "emergency medicine", "endocrinology", "epidemiology"),
        *("forensic medicine", "gastroenterology", "genetic and genomic medicine", "geriatric medicine"),
        *("health economics", "health informatics", "health policy", "health systems and quality improvement"),
        *("hematology", "hiv aids", "infectious diseases", "intensive care and critical care medicine"),
        *("medical education", "medical ethics", "nephrology", "neurology", "nursing", "nutrition"),
        *("obstetrics and gynecology", "occupational and environmental health", "oncology", "ophthalmology"),
        *("orthopedics", "otolaryngology", "pain medicine", "palliative medicine", "pathology", "pediatrics"),
        *("pharmacology and therapeutics", "primary care research", "psychiatry and clinical psychology"),
        *("public and global health", "radiology and imaging", "rehabilitation medicine and physical therapy"),
        *("respiratory medicine", "rheumatology", "sexual and reproductive health", "sports medicine", "surgery"),
        *("toxicology", "transplantation", "urology"),
    ),
}
"""The categories of each server, as its API writes them."""


def parse_category(text: str) -> tuple[str, str | None]:
    """Parse `biorxiv/cell_biology` as server and category, or `medrxiv` as a server with all its categories.

    Raises `ValueError`, with the nearest names, for an unknown server or category.
    """
    server, slash, name = text.strip().lower().partition("/")
    if server not in CATEGORIES:
        raise ValueError(f"{text!r} does not begin with biorxiv or medrxiv")
    if not slash:
        return server, None
    category = normalized(name)
    if category not in CATEGORIES[server]:
        nearest = get_close_matches(category, CATEGORIES[server], cutoff=0.5)
        hint = f"did you mean {' or '.join(each.replace(' ', '_') for each in nearest)}?" if nearest else "unknown name"
        raise ValueError(f"{text!r} is not a category of {server}: {hint}")
    return server, category


def normalized(category: str) -> str:
    """Return a category in lower case with spaces; the API accepts underscores for them, and writes both cases."""
    return " ".join(category.replace("_", " ").replace("/", " ").lower().split())
