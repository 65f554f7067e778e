"""The classes of postgrest-py's answers, held for the life of the process."""

from typing import Any

import postgrest
from postgrest.base_request_builder import APIResponse, SingleAPIResponse


def generic_model_cache() -> tuple[type[Any], ...]:
    """The classes that postgrest-py's builders ask pydantic for with each answer: hold on to them.

    A builder writes `APIResponse[T]` with a type variable of its own, and the model then `cls[T]` with the model's.
    pydantic remembers such a class only while somebody holds it; made anew, it is a quarter of a call's CPU time.
    """
    models: tuple[Any, Any] = (APIResponse, SingleAPIResponse)
    room: Any = postgrest
    builders = (room.AsyncQueryRequestBuilder, room.AsyncSingleRequestBuilder)
    of_builders = [model[_variable(builder)] for model, builder in zip(models, builders, strict=True)]
    return (*of_builders, *(model[_variable(APIResponse)] for model in of_builders))


def _variable(generic: Any) -> Any:
    """The one type variable of a generic class."""
    (variable,) = generic.__parameters__
    return variable
