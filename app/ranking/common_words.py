"""Words that occur in most papers. On a day with few articles, document frequencies do not show this."""

from functools import cache
from typing import Final

import numpy as np

from app.ranking.counts import Reals, Terms
from app.ranking.words import Stems, term

_OFTEN: Final = 0.4
_SOMETIMES: Final = 0.12
"""The share of papers that contain such a word."""

_MOST_PAPERS: Final = """
    achieve across based data different existing framework method methods model models new novel paper
    performance propose proposed provide results show task tasks use used using while work"""
_MANY_PAPERS: Final = """
    ability access additional address advance aim algorithm all allow analysis application apply approach art
    available average baseline because benchmark best better between both call capture case challenge code
    combine common compare complex component comprehensive compute consider consistent contain context
    contribute cost critical current dataset deep demonstrate design despite develop directly domain due during
    dynamic each effective efficient enable enhance evaluate evaluation even example experiment explore extend
    extensive face factor feature few find first focus follow function further gain general generalize generate
    given global help high highlight human identify image impact implement important improve include incorporate
    increase individual information input insight integrate introduce investigate issue key knowledge known
    language large latent lead learn learning level leverage limit limitation local low lower main make many may
    measure more most multiple need network neural number objective obtain often one only optimal order other
    outperform output over overall parameter particular potential practical present previous problem process
    produce promising properties publicly quality range rate real recent reduce rely represent require research
    resource response robust same sample scale second select set several significant similar simple single small
    solution some space specific stage standard state still strategy strong structure study such suggest support
    system target technique term test them three through time tool train training two type under understand
    unified us user various varying via well when where whether wide within without world yet"""


@cache
def common_words() -> tuple[Terms, Reals]:
    """Return the term numbers of common stems, ascending, and the share of papers that contain each."""
    stems = Stems()
    shares = dict.fromkeys(stems.of_text(_MANY_PAPERS), _SOMETIMES) | dict.fromkeys(stems.of_text(_MOST_PAPERS), _OFTEN)
    numbers = np.array([term(stem) for stem in shares], dtype=np.uint32)
    order = np.argsort(numbers)
    return numbers[order], np.array(list(shares.values()), dtype=np.float32)[order]
