"""Reads chat completions of OpenAI-compatible servers, which differ in reasoning, refusals and reported tokens."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

from app.digest.chat_model import Completion, ModelRefused, Tokens, estimated_tokens
from app.sources.text import plain

_MAX_REASON: Final = 200
_MAX_TEXT: Final = 400_000
"""Characters of a text that are read."""
_REASONING_TAGS: Final = "think|thinking|thought|reasoning"
# Greedy: after the last end. Some chat templates write the begin into the prompt, so only the end is in the response.
_REASONED: Final = re.compile(rf"\A.*(?:</(?:{_REASONING_TAGS})>|\[/THINK\])", re.DOTALL | re.IGNORECASE)
_STILL_REASONING: Final = re.compile(rf"\A\s*(?:<(?:{_REASONING_TAGS})>|\[THINK\])", re.IGNORECASE)


class _Message(BaseModel):
    content: Any = None
    """A text; with some servers a list of parts, of which only those of type `text` are the response."""
    refusal: Any = None
    reasoning_content: Any = None
    """DeepSeek, llama.cpp, LM Studio and vLLM before 0.11."""
    reasoning: Any = None
    """vLLM since 0.11, Ollama and OpenRouter."""


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Response(BaseModel):
    """The parts of a response that we read. The library does not validate responses of compatible servers."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


class ReadCompletion(BaseModel):
    """A completion, and whether the model reasoned before it."""

    model_config = {"arbitrary_types_allowed": True, "frozen": True}

    completion: Completion
    reasoned: bool


def read_completion(body: bytes, prompt: str) -> ReadCompletion:
    """Read the response to `prompt`. Raises `ModelRefused`, and `pydantic.ValidationError` if it is no completion."""
    response = _Response.model_validate_json(body)
    choice = response.choices[0]
    message = choice.message
    content = _text(message.content)
    reasoning = _text(message.reasoning_content) or _text(message.reasoning)
    tokens = _tokens(response.usage, prompt, content + reasoning)
    if message.refusal or choice.finish_reason == "content_filter":
        reason = plain(_text(message.refusal), _MAX_REASON) or "the server's content filter"
        raise ModelRefused(f"the model refused: {reason}", tokens)
    cut_off = choice.finish_reason == "length"
    answer, tagged = _without_reasoning(content)
    # With some settings vLLM takes the whole response for reasoning, and `content` is empty.
    text = answer.strip() or ("" if cut_off else reasoning)
    hidden = _number(_part(_part(response.usage, "completion_tokens_details"), "reasoning_tokens"))
    reasoned = bool(reasoning or tagged or hidden or (cut_off and not answer.strip()))
    return ReadCompletion(completion=Completion(text[:_MAX_TEXT], tokens, cut_off), reasoned=reasoned)


def _without_reasoning(content: str) -> tuple[str, bool]:
    """Return `content` without the model's reasoning, and whether there was any."""
    end = _REASONED.match(content)
    if end:
        return content[end.end() :], True
    return ("", True) if _STILL_REASONING.match(content) else (content, False)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if isinstance(value, list):
        return "".join(_text(_part(part, "text")) for part in value[:100] if _part(part, "type") == "text")
    return ""


def _tokens(usage: Any, prompt: str, output: str) -> Tokens:
    """Return the reported tokens, or estimates.

    Some servers (Gemini, xAI) do not count reasoning in `completion_tokens`, but in `total_tokens`.
    """
    asked, answered = _number(_part(usage, "prompt_tokens")), _number(_part(usage, "completion_tokens"))
    if not asked and not answered:
        return Tokens(estimated_tokens(prompt), estimated_tokens(output), estimated=True)
    return Tokens(asked, max(answered, _number(_part(usage, "total_tokens")) - asked))


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
