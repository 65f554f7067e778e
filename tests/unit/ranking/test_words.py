"""Words in their written forms: words with the same meaning for a reader are one term, others are two."""

import pytest
from Stemmer import Stemmer

from app.ranking.acronyms import Acronyms, definitions
from app.ranking.vectors import vector_of
from app.ranking.words import VERSION, Stems, folded, is_english, words

STEMS = Stems()
BRITISH = """
    ageing aging / aluminium aluminum / anaemia anemia / anaesthesia anesthesia / artefact artifact
    artefacts artifacts / caesium cesium / centred centered / centring centering / enrol enroll
    enrolment enrollment / foetal fetal / foetus fetus / fulfil fulfill / grey gray / greyscale grayscale
    gynaecology gynecology / haematology hematology / haemoglobin hemoglobin / haemorrhage hemorrhage
    ischaemic ischemic / judgement judgment / judgements judgments / leukaemia leukemia / manoeuvre maneuver
    manoeuvres maneuvers / mould mold / moulding molding / oesophageal esophageal / oestrogen estrogen
    orthopaedic orthopedic / paediatric pediatric / plough plow / programme program / programmes programs
    sceptic skeptic / sceptical skeptical / sulphate sulfate / sulphide sulfide / sulphur sulfur / tyre tire
    tyres tires / defence defense / licenced licensed / dialogue dialog / monologues monologs / hydrolyse hydrolyze
    catalysed catalyzed / travelled traveled / tunnelling tunneling / theatre theater / spectre specter
    neighbour neighbor / vapour vapor
"""
JOINED = """
    auto-encoder auto-regression auto-completion back-propagation chat-bots cross-lingual cross-modal data-base
    data-sets down-sampling down-stream fine-tuned in-painting key-points life-long meta-learning out-painting
    over-fitting post-training post-processing super-resolution super-pixels up-sampling up-scaling work-flows
    anti-matter hyper-graph inter-action intra-day multi-task non-convex pre-print pseudo-label quasi-static
    semi-definite spatio-temporal
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("LLM", "LLMs"),
        ("llm", "LLMs"),
        ("LLM GNN GPU", "llms gnns gpus"),
        ("GNN VLM CNN RNN", "GNNs VLMs CNNs RNNs"),
        ("GPU", "GPUs"),
        ("LM", "LMs"),
        ("VAE GAN NeRF", "VAEs GANs NeRFs"),
        ("optimisation", "optimization"),
        ("behaviour", "behavior"),
        ("modelling labelled", "modeling labeled"),
        ("centre fibre catalogue", "center fiber catalog"),
        ("analyse", "analysis"),
        ("defence", "defense"),
        ("multi-modal", "multimodal"),
        ("Multi modal", "multimodal"),
        ("fine-tuning", "finetuning"),
        ("fine tuning", "Fine-Tuning"),
        ("pre-training", "pretraining"),
        ("super-resolution", "super resolution"),
        ("non-linear", "nonlinear"),
        ("Poincare", "Poincaré"),
        ("Poincar\\'e", "Poincaré"),
        ('G\\"odel Erd\\H{o}s', "Gödel Erdős"),
        ("$\\alpha$-stable", "\u03b1-stable"),
        ("alpha-stable", "\u03b1-stable"),
        ("Navier-Stokes", "Navier\u2013Stokes"),
        ("LLM's", "LLMs"),
    ],
)
def test_what_is_one_word_to_people_is_one_term(one: str, other: str) -> None:
    assert STEMS.of_text(one) == STEMS.of_text(other) != []
    assert vector_of(one.replace("Multi modal", "multi-modal"), "").startswith("2:")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("differential", "differentiable"),
        ("C++", "C#"),
        ("C", "C++"),
        ("R", "r"),
        ("experience", "experiment"),
        ("university", "universal"),
        ("policy", "police"),
        ("supervised", "superb"),
        ("importance", "import"),
    ],
)
def test_what_is_two_words_to_people_is_two_terms(one: str, other: str) -> None:
    assert STEMS.of_text(one) != STEMS.of_text(other)


@pytest.mark.parametrize(
    "pair",
    [" ".join(pair.split()) for line in BRITISH.split("\n") for pair in line.split("/") if pair.strip()],
)
def test_british_and_american_spellings_are_one_term(pair: str) -> None:
    british, american = pair.split()
    assert STEMS.of_text(british.title()) == STEMS.of_text(british) == STEMS.of_text(american)


@pytest.mark.parametrize(
    "pair",
    JOINED.split(),
)
def test_separate_hyphenated_and_joined_words_are_one_term(pair: str) -> None:
    joined = STEMS.of_text(pair.replace("-", ""))
    assert STEMS.of_text(pair) == STEMS.of_text(pair.replace("-", " ")) == joined
    assert len(joined) == 1


def test_stems_of_stored_vectors_do_not_change() -> None:
    """A vector is stored with the version of its stems: a change of stems needs another `VERSION`."""
    text = "analysis authorities critic critical differentiable differentiation experiments important international"
    found = STEMS.of_text(f"{text} organization policies severity university universal")
    assert (VERSION, found) == (
        2,
        [
            *("analyz", "authoriti", "critic", "critical", "differentiabl", "differentiat", "experiment", "importance"),
            *("internation", "organiz", "polici", "severe", "univers", "universal"),
        ],
    )


@pytest.mark.parametrize(
    ("letters", "plain"),
    [
        ("ø Ø ł Ł đ Đ ð þ \u0131", "o O l L d D d th i"),
        ("ß æ Æ œ ö é", "ss ae AE oe o e"),
        ("A\u2010B\u2011C\u2013D\u2212E", "A-B-C-D-E"),
        ("x\u2018y\u2019z\u02bcw", "x'y'z'w"),
        ("co\u00adop\u200berate", "cooperate"),
    ],
)
def test_each_letter_and_mark_has_a_plain_form(letters: str, plain: str) -> None:
    assert folded(letters) == plain


@pytest.mark.parametrize(
    "word", ["supervision", "revision", "precision", "noise", "exercise", "source", "four", "contour"]
)
def test_words_that_only_look_british_stay(word: str) -> None:
    assert STEMS.of_text(word) == [STEMS.of(word)] == [Stemmer("english").stemWord(word)]


@pytest.mark.parametrize("word", ["dns", "gps", "bonus", "nexus"])
def test_a_word_that_only_ends_like_a_plural_stays(word: str) -> None:
    assert STEMS.of(word) == word


def test_a_letter_is_a_word_only_outside_of_formulas() -> None:
    assert STEMS.of_text("We use R, and (C).") == ["we", "use", "R", "C"][1:]
    assert STEMS.of_text("$R$ and R^2, L_R, R&D, n-R, {R}") == []


def test_chinese_and_japanese_are_read_by_pairs() -> None:
    assert STEMS.of_text("大语言模型") == ["大语", "语言", "言模", "模型"]
    assert STEMS.of_text("LLM推理") == ["llm", "推理"]
    assert STEMS.of_text("자연어 처리") == ["자연", "연어", "처리"]


def test_no_english_stem_is_cut_from_another_language() -> None:
    text = words("Die Verbesserung der Erkennung von Bildern mit einer neuen Methode und ihre Anwendungen")
    assert not is_english(text)
    assert is_english(words("The detection of images by a new method, and its applications in the van der Waals case"))


def test_what_is_glued_to_an_acronym_has_the_acronym_too() -> None:
    for text in ("CodeLLM", "LLM4SE", "LLM-based"):
        assert "llm" in [piece.stem for word in words(text) for piece in STEMS.pieces(word)]


def test_what_is_joined_has_its_halves_too() -> None:
    assert [piece.stem for piece in STEMS.pieces("multi-agent")] == ["multiag", "multi", "agent"]
    assert STEMS.of_text("multi-agent") == STEMS.of_text("multiagent")


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("We study large language models (LLMs) here.", "llm", "large language model"),
        ("With neural radiance fields (NeRF), scenes", "nerf", "neural radiance fields"),
        (
            "by reinforcement learning from human feedback (RLHF; a method)",
            "rlhf",
            "reinforcement learning human feedback",
        ),
        ("of self-supervised learning (SSL)", "ssl", "self-supervised learning"),
        ("GNN (graph neural networks) are", "gnn", "graph neural network"),
    ],
)
def test_a_definition_in_brackets_is_learned(text: str, short: str, long: str) -> None:
    assert (short, tuple(STEMS.of_text(long))) in definitions(text, STEMS.of_text)


@pytest.mark.parametrize(
    "text", ["a table (see Table 2)", "as he said (USA)", "(LLM)", "(" * 5_000, "A" * 5_000 + " (AB)"]
)
def test_brackets_that_define_nothing_teach_nothing(text: str) -> None:
    assert definitions(text, STEMS.of_text) == set()


def test_an_acronym_means_what_most_texts_mean() -> None:
    one, other = ("retriev", "augment", "generat"), ("region", "adjac", "graph")
    assert Acronyms({("rag", one): 3, ("rag", other): 1}).long_form("rag") == one
    mixed = Acronyms({("xyz", ("x", "y", "z")): 1, ("xyz", ("xa", "yb", "zc")): 1, ("xyz", ("xq", "y", "z")): 1})
    assert mixed.long_form("xyz") is None


def test_a_word_defined_once_by_chance_is_no_acronym() -> None:
    learned = Acronyms({("rise", ("reason", "inform", "visual", "edit")): 1, ("id", ("distribut", "steer")): 1})
    assert learned.long_form("id") is None
    assert learned.long_form("rise", at_least=3) is None
