"""Keeps postgrest-py's generic response classes for the life of the process."""

from typing import Any

import postgrest
from postgrest.base_request_builder import APIResponse, SingleAPIResponse


def generic_model_cache() -> tuple[type[Any], ...]:
    """Return the classes that postgrest-py's builders request from pydantic for each response; keep the result.

    A builder evaluates `APIResponse[T]` with its own type variable, and the model then `cls[T]` with the model's.
    pydantic caches such a class only while a reference exists; creating it takes a quarter of a call's CPU time.
    """
    models: tuple[Any, Any] = (APIResponse, SingleAPIResponse)
    package: Any = postgrest
    builders = (package.AsyncQueryRequestBuilder, package.AsyncSingleRequestBuilder)
    of_builders = [model[_variable(builder)] for model, builder in zip(models, builders, strict=True)]
    return (*of_builders, *(model[_variable(APIResponse)] for model in of_builders))


def _variable(generic: Any) -> Any:
    """Return the one type variable of a generic class."""
    (variable,) = generic.__parameters__
    return variable
