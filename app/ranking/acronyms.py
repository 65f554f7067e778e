"""Acronyms and their long forms, learned from texts that define them: large language models (LLMs)."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Final

from app.ranking.words import Stems

_SHORT = r"[A-Za-z][\w-]{0,8}[A-Z][\w-]{0,4}|[A-Z]{2,10}s?"
_DEFINED = re.compile(rf"\(({_SHORT})(?:[,;] [^()]{{1,60}})?\)")
_EXPLAINED = re.compile(rf"\b({_SHORT}) \(((?:[\w'&/-]{{1,40}} ){{1,7}}[\w'&/-]{{1,40}})\)")
_BEFORE: Final = 120
"""The most characters before the parentheses that are searched for a long form."""
_END_OF_PART = re.compile(r"[^\w\s'&/-]")
_MOST: Final = 10
"""The most definitions that are read from one text."""
_FEWEST_LETTERS, _MOST_WORDS = 2, 8

Stemmed = Callable[[str], list[str]]
Definition = tuple[str, tuple[str, ...]]
"""The stem of an acronym, and the stems of its long form."""

# Acronyms that most days use. They are known even on a day whose texts do not define them.
_WELL_KNOWN: Final = """
    AI artificial intelligence; ML machine learning; DL deep learning; RL reinforcement learning; LLM large
    language models; MLLM multimodal large language models; VLM vision-language models; VLA
    vision-language-action; NLP natural language processing; RLHF reinforcement learning from human feedback;
    RAG retrieval-augmented generation; GNN graph neural networks; CNN convolutional neural networks; RNN
    recurrent neural networks; DNN deep neural networks; SNN spiking neural networks; GAN generative adversarial
    networks; VAE variational autoencoders; NeRF neural radiance fields; SLAM simultaneous localization and
    mapping; VQA visual question answering; ASR automatic speech recognition; TTS text-to-speech; OCR optical
    character recognition; MRI magnetic resonance imaging; EEG electroencephalography; PDE partial differential
    equations; ODE ordinary differential equations; SDE stochastic differential equations; PINN physics-informed
    neural networks; MDP Markov decision processes; MCTS Monte Carlo tree search; MCMC Markov chain Monte Carlo;
    SVM support vector machines; PCA principal component analysis; MoE mixture of experts; LoRA low-rank
    adaptation; DPO direct preference optimization; PEFT parameter-efficient fine-tuning; SFT supervised
    fine-tuning; ICL in-context learning; GUI graphical user interface; HCI human-computer interaction; UAV
    unmanned aerial vehicles; IoT Internet of Things; OOD out-of-distribution; SSL self-supervised learning; FL
    federated learning; KG knowledge graphs; LSTM long short-term memory; ViT vision transformers; SAR synthetic
    aperture radar; QA question answering; MT machine translation; NER named entity recognition; CoT chain of
    thought; XAI explainable artificial intelligence; MARL multi-agent reinforcement learning; HPC
    high-performance computing; CT computed tomography; fMRI functional magnetic resonance imaging; BCI
    brain-computer interfaces; EHR electronic health records; LHC Large Hadron Collider; CMB cosmic microwave
    background; AGN active galactic nuclei; DFT density functional theory; GWAS genome-wide association studies;
    GCN graph convolutional networks; SGD stochastic gradient descent; MLP multilayer perceptrons; NAS neural
    architecture search; SLM small language models; CFD computational fluid dynamics; FEM finite element method;
    MIMO multiple-input multiple-output"""


@cache
def well_known() -> Mapping[str, tuple[str, ...]]:
    """Return the long forms of acronyms that are known without a definition in a text."""
    stemmed = Stems().of_text
    pairs = (" ".join(each.split()).partition(" ") for each in _WELL_KNOWN.split(";"))
    return {stemmed(short)[0]: tuple(stemmed(long)) for short, _, long in pairs}


def definitions(text: str, stemmed: Stemmed) -> set[Definition]:
    """Return the acronyms that a text defines (algorithm of Schwartz and Hearst, 2003); long forms are whole words."""
    if "(" not in text:
        return set()
    return set(_stemmed(_pairs(text), stemmed))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    for found in islice(_DEFINED.finditer(text), _MOST):
        before = _END_OF_PART.split(text[max(found.start() - _BEFORE, 0) : found.start()])[-1].strip()
        if long := _long_form(found[1].removesuffix("s"), before):
            yield found[1], long
    for found in islice(_EXPLAINED.finditer(text), _MOST):
        if _long_form(found[1].removesuffix("s"), found[2]) == found[2]:
            yield found[1], found[2]


def _long_form(short: str, before: str) -> str | None:
    """Return the shortest suffix of `before` with the acronym's letters in order, the first at the start of a word."""
    letters = [letter for letter in short.lower() if letter.isalnum()]
    text = before.lower()
    at = len(text)
    for number in range(len(letters) - 1, -1, -1):
        at = text.rfind(letters[number], 0, at)
        while number == 0 and at > 0 and not text[at - 1].isspace():
            at = text.rfind(letters[0], 0, at)
        if at < 0:
            return None
    long = before[at:]
    fits = len(letters) >= _FEWEST_LETTERS and len(long.split()) <= min(len(letters) + 5, 2 * len(letters))
    return long if fits else None


def _stemmed(pairs: Iterable[tuple[str, str]], stemmed: Stemmed) -> Iterator[Definition]:
    for short, long in pairs:
        name, stems = stemmed(short), tuple(stemmed(long))
        if len(name) == 1 and 1 < len(stems) <= _MOST_WORDS and name[0] not in stems:
            yield name[0], stems


class Acronyms:
    """The acronyms of a window, each with the long form that most of the window's definitions give."""

    def __init__(self, learned: Mapping[Definition, int]) -> None:
        known = well_known()
        by_name: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
        for (name, stems), count in learned.items():
            by_name[name][stems] += count
        self._long = dict(known) | {
            name: found for name, forms in by_name.items() if (found := _most_meant(name, forms))
        }
        self._often = {name: by_name[name][stems] for name, stems in self._long.items()}
        self._known = known
        self._short: dict[tuple[str, ...], str] = {}
        for name, _ in sorted(self._often.items(), key=lambda item: (item[1], item[0] in known, item[0])):
            self._short[self._long[name]] = name

    def long_form(self, stem: str, *, at_least: int = 1) -> tuple[str, ...] | None:
        """Return the stems of an acronym's long form if it is well known or at least `at_least` texts define it."""
        known = stem in self._known or self._often.get(stem, 0) >= at_least
        return self._long.get(stem) if known else None

    def short_form(self, stems: tuple[str, ...]) -> str | None:
        """Return the acronym of these stems."""
        return self._short.get(stems)


def _most_meant(name: str, forms: Counter[tuple[str, ...]]) -> tuple[str, ...] | None:
    """Return the form that at least half of the definitions give; None for an acronym with many meanings."""
    (form, count), *_ = sorted(forms.items(), key=lambda item: (-item[1], item[0]))
    often = count > 1 or name == "".join(stem[0] for stem in form)
    return form if often and 2 * count >= sum(forms.values()) else None
