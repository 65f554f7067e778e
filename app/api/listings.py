"""`/v1/tasks` and `/v1/editions`: what there is."""

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query

from app.api.auth import AdminsOnly, CallerOf
from app.api.models import EditionList, TaskList, TaskView
from app.api.problems import Problem
from app.api.tasks import EVERYWHERE, FORBIDDEN, NOT_FOUND, ServicesOf
from app.config import CALLER_NAME
from app.models import Edition, TaskKind, TaskStatus

BAD_CURSOR: dict[int | str, dict[str, Any]] = {400: {"model": Problem, "description": "A cursor that no page gave"}}

router = APIRouter(prefix="/v1", responses=EVERYWHERE)


@router.get("/tasks", tags=["tasks"], responses=BAD_CURSOR | FORBIDDEN)
async def list_tasks(
    services: ServicesOf,
    caller: CallerOf,
    owner: Annotated[
        str | None, Query(pattern=CALLER_NAME.pattern, description="For admins: this caller's alone.")
    ] = None,
    kind: TaskKind | None = None,
    status: TaskStatus | None = None,
    source_date: date | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> TaskList:
    """List one's own tasks, newest first; an admin sees everybody's."""
    if not caller.admin and owner not in {None, caller.name}:
        raise AdminsOnly(f"{caller.name} sees its own tasks: leave out `owner`.")
    page = await services.tasks.list_tasks(
        owner=owner if caller.admin else caller.name,
        kind=kind,
        status=status,
        source_date=source_date,
        limit=limit,
        cursor=cursor,
    )
    return TaskList(tasks=[TaskView.of(task) for task in page.tasks], next_cursor=page.next_cursor)


@router.get("/editions", tags=["editions"])
async def list_editions(
    services: ServicesOf,
    before: Annotated[date | None, Query(description="Only days before this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
) -> EditionList:
    """List the days that were fetched, newest first."""
    return EditionList(editions=await services.editions.list_editions(before=before, limit=limit))


@router.get("/editions/{source_date}", tags=["editions"], responses=NOT_FOUND)
async def get_edition(source_date: date, services: ServicesOf) -> Edition:
    """Say what a day brought, source by source, and what went wrong."""
    return await services.editions.get_edition(source_date)
