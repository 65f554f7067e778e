"""Messages after an action. The redirect URL names one of these sentences, so no other text can be shown."""

from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.responses import RedirectResponse

from app.formatting import figure

_SENTENCES: Final = {
    "paused": "Paused. Workers claim no tasks of this kind until you resume it. Running tasks continue.",
    "resumed": "Resumed.",
    "replayed": "Replayed. The task has its full number of attempts again.",
    "cancelled": "Cancelled. If a worker is running the task, it stops.",
    "discarded": "Discarded. The tasks stay failed and are no longer listed here. The audit log has the number.",
    "redelivered": "The callback is delivered again under the same id.",
    "sent": "Marked as sent.",
    "again": "The mail will be sent again.",
    "mails": "Sending is resumed.",
}


def redirect_with(path: str, done: str) -> RedirectResponse:
    """Redirect to a page with a message: the key of a sentence, or the number of replayed tasks."""
    return RedirectResponse(f"{path}?done={done}", HTTPStatus.SEE_OTHER)


def flash_message(request: Request) -> str | None:
    """Return the message for this request, if an action redirected here."""
    done = request.query_params.get("done", "")
    if done.isascii() and done.isdigit() and len(done) < 10:  # noqa: PLR2004  (no queue holds more tasks)
        return f"{figure(int(done))} tasks were replayed. They have their full number of attempts again."
    return _SENTENCES.get(done)
