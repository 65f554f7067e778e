"""Fakes of OpenAI-compatible servers, from their documentation and bug reports; docs/MODELS.md lists them."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.support.scripted_server import ScriptedServer, Step, answer

Request = Mapping[str, Any]
"""The body of a request."""
Behaviour = Callable[[Request], Step]
"""Returns a server's response to a request."""

PROMPT_TOKENS, OUTPUT_TOKENS, REASONING_TOKENS = 300, 80, 900


class ModelServer:
    """A server on loopback that behaves as one of the fakes; `requests` are the bodies that it received."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._server = ScriptedServer(self._respond)

    @property
    def url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def requests(self) -> list[Request]:
        return [json.loads(body) for body in self._server.bodies]

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop()

    async def _respond(self, writer: Any) -> None:
        # Nothing else runs between the arrival of this body and here.
        await self._behaviour(json.loads(self._server.bodies[-1]))(writer)


@asynccontextmanager
async def model_server(behaviour: Behaviour) -> AsyncIterator[ModelServer]:
    server = ModelServer(behaviour)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def data_of(request: Request) -> Mapping[str, Any]:
    """The profile and the articles in a request."""
    data: Mapping[str, Any] = json.loads(request["messages"][1]["content"])
    return data


def is_order(request: Request) -> bool:
    return "papers" in data_of(request)


def answer_to(request: Request) -> Any:
    """What a model that understands the request answers: an order as it was, or summaries that name their article."""
    data = data_of(request)
    if "papers" in data:
        return {"order": [paper["number"] for paper in data["papers"]]}
    if "articles" in data:
        return {"summaries": [{"number": each["number"], **_summary(each)} for each in data["articles"]]}
    return _summary(data["article"])


def _summary(article: Mapping[str, Any]) -> dict[str, Any]:
    return {"summary": f"A summary of {article['title']}.", "key_points": ["Two changes of course.", "No drilling."]}


def completed(content: object, *, finish_reason: str = "stop", usage: object = None, **message: object) -> Step:
    """A chat completion; `content` other than text becomes JSON, and `usage` has the usual figures by default."""
    text = content if isinstance(content, str | list | None) else json.dumps(content)
    total = PROMPT_TOKENS + OUTPUT_TOKENS
    figures = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": text, **message},
    }
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "tiny"}
    return answer(200, {**head, "choices": [choice], "usage": figures if usage is None else usage})


def refused(status: int, message: object, *, headers: str = "") -> Step:
    """An error as OpenAI's API formats it; other shapes unchanged."""
    body = {"error": {"message": message, "type": "invalid_request_error"}} if isinstance(message, str) else message
    return answer(status, body, headers=headers)


def format_of(request: Request) -> str:
    return str(request.get("response_format", {"type": "text"})["type"])


def structured(request: Request) -> Step:
    """OpenAI with a model that reasons: max_tokens is refused, the schema is followed, reasoning is hidden."""
    if "max_tokens" in request:
        message = "Unsupported parameter: 'max_tokens' is not supported with this model."
        return refused(400, f"{message} Use 'max_completion_tokens' instead.")
    assert request["response_format"]["json_schema"]["strict"] is True
    return completed(answer_to(request))


def without_json_schema(request: Request) -> Step:
    """DeepSeek: json_object only, and a vague refusal."""
    if format_of(request) == "json_schema":
        return refused(400, "This response_format type is unavailable now")
    return completed(answer_to(request))


def without_json_schema_422(request: Request) -> Step:
    """DeepSeek until 2025, and other servers that deserialize strictly."""
    if format_of(request) == "json_schema":
        start = "Failed to deserialize the JSON body into the target type: response_format"
        return refused(422, f"{start}: response_format.type `json_schema` is unavailable now at line 1 column 99")
    return completed(answer_to(request))


def without_json_object(request: Request) -> Step:
    """LM Studio: a string as error, and json_object is refused; here json_schema too."""
    if format_of(request) != "text":
        return refused(400, {"error": "'response_format.type' must be 'text'"})
    return completed(f"{json.dumps(answer_to(request))}")


def prose(request: Request) -> Step:
    """A model that ignores response_format (Anthropic's endpoint ignores it) and talks, also with braces."""
    return completed(f"Of course {{smile}}! Here it is:\n{json.dumps(answer_to(request))}\nAnything {{else}}?")


def code_fence(request: Request) -> Step:
    """Gemma and others: a code fence, also in JSON mode."""
    return completed(f"```json\n{json.dumps(answer_to(request), indent=2)}\n```")


def think_tags(request: Request) -> Step:
    """Ollama and vLLM without a reasoning parser: the reasoning is in the content, and contains a draft."""
    draft = {"summary": "A draft that is not the answer.", "key_points": []}
    return completed(f"<think>\nMaybe {json.dumps(draft)}?\nNo.\n</think>\n\n{json.dumps(answer_to(request))}")


def only_end_of_thinking(request: Request) -> Step:
    """Qwen3-Thinking-2507: the chat template writes <think>, so the response has only its end."""
    return completed(f"Let me see {{hm}}.\n</think>\n{json.dumps(answer_to(request))}")


def reasoning_content(request: Request) -> Step:
    """DeepSeek, llama.cpp, LM Studio and vLLM with a reasoning parser."""
    tokens = OUTPUT_TOKENS + REASONING_TOKENS
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
    return completed(answer_to(request), reasoning_content="First, I read the abstracts.", usage=usage)


def empty_content(request: Request) -> Step:
    """Qwen3 on vLLM with enable_thinking=false: the parser takes the answer for reasoning."""
    return completed(None, reasoning_content=json.dumps(answer_to(request)))


def hidden_reasoning(request: Request) -> Step:
    """Gemini: reasoning is in total_tokens alone."""
    total = PROMPT_TOKENS + OUTPUT_TOKENS + REASONING_TOKENS
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": OUTPUT_TOKENS, "total_tokens": total}
    return completed(answer_to(request), usage=usage)


def cut_off(request: Request) -> Step:
    """A model that uses the whole output limit for reasoning (o4-mini, DeepSeek)."""
    limit = request.get("max_completion_tokens", request.get("max_tokens"))
    details = {"reasoning_tokens": limit}
    usage = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": limit, "completion_tokens_details": details}
    return completed("", finish_reason="length", usage=usage)


def needs_long_output(request: Request) -> Step:
    """A model that reasons for 5,000 tokens: a smaller limit cuts it off."""
    limit = request.get("max_completion_tokens", request.get("max_tokens", 0))
    return reasoning_content(request) if limit > 5_000 else cut_off(request)


def refusal(_request: Request) -> Step:
    """OpenAI's structured outputs: the refusal is in its own field."""
    return completed(None, refusal="I'm sorry, I cannot assist with that.")


def content_filter(_request: Request) -> Step:
    """Azure: the filter ends the response."""
    return completed('{"summary": "A summ', finish_reason="content_filter")


def no_usage(request: Request) -> Step:
    """Servers that report no tokens."""
    return completed(answer_to(request), usage={})


def blank_content(_request: Request) -> Step:
    """DeepSeek: what is no JSON becomes spaces."""
    return completed("        ")


def content_parts(request: Request) -> Step:
    """Mistral's Magistral: content is a list of parts."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "{hm}"}]}
    return completed([thinking, {"type": "text", "text": json.dumps(answer_to(request))}])


def small_context(request: Request) -> Step:
    """vLLM with a short context: the output limit does not fit."""
    limit = request.get("max_tokens", 0)
    if limit > 3_000:
        names = "'max_tokens' or 'max_completion_tokens'"
        return refused(400, f"{names} is too large: {limit}. This model's maximum context length is 4096 tokens.")
    return completed(answer_to(request))


def short_context(request: Request) -> Step:
    """llama.cpp with a short context: the request for an order does not fit at all."""
    if is_order(request):
        message = "the request exceeds the available context size. try increasing the context size"
        return refused(400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}})
    return completed(answer_to(request))


def prompt_filter(_request: Request) -> Step:
    """Azure OpenAI: the filter refuses the request."""
    message = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
    return refused(400, {"error": {"message": message, "param": "prompt", "code": "content_filter", "status": 400}})


def invalid_generation(_request: Request) -> Step:
    """Groq: it generated no JSON, and repeats the text, which may contain anything."""
    error = {"message": "Failed to generate JSON. Please adjust your prompt.", "code": "json_validate_failed"}
    return refused(400, {"error": {**error, "failed_generation": "The maximum context length exceeds max_tokens."}})


def without_max_tokens(request: Request) -> Step:
    """A strict server that knows only the new name."""
    if "max_tokens" in request:
        detail = {"type": "extra_forbidden", "loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"}
        return refused(422, {"detail": [detail]})
    return completed(answer_to(request))


def without_effort(request: Request) -> Step:
    """Ollama with a model that does not reason."""
    if "reasoning_effort" in request:
        return refused(400, '"tiny" does not support thinking')
    return completed(answer_to(request))


def wrong_key(_request: Request) -> Step:
    return refused(401, "Incorrect API key provided")


def spent(_request: Request) -> Step:
    """OpenAI: a 429 that no waiting ends."""
    body = {"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"}
    return refused(429, {"error": body})


def overloaded(_request: Request) -> Step:
    """Anthropic: 529."""
    return refused(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


def rate_limited(_request: Request) -> Step:
    """429 that asks to wait longer than any digest can."""
    return refused(429, "Rate limit reached", headers="Retry-After: 3600\r\n")


def busy_once(first: Step) -> Behaviour:
    """A server that is busy at the first request."""
    pending = [first]

    def behaviour(request: Request) -> Step:
        return pending.pop() if pending else completed(answer_to(request))

    return behaviour


BUSY: Final = refused(429, "Rate limit reached", headers="Retry-After: 7\r\n")
