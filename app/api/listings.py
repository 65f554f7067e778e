"""`/v1/tasks` and `/v1/editions`: lists of tasks and of fetched days."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from app.api.auth import CallerOf
from app.api.models import EditionList, TaskList, TaskView
from app.api.paging import BAD_CURSOR, CURSOR, Cursor, Limit
from app.api.tasks import COMMON_ERRORS, FORBIDDEN, NOT_FOUND, ServicesOf
from app.config import CALLER_NAME
from app.errors import AdminRequired
from app.models.articles import Edition
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.paging import first_page

router = APIRouter(prefix="/v1", responses=COMMON_ERRORS)


@router.get("/tasks", tags=["tasks"], responses=BAD_CURSOR | FORBIDDEN)
async def list_tasks(
    services: ServicesOf,
    caller: CallerOf,
    owner: Annotated[
        str | None, Query(pattern=CALLER_NAME.pattern, description="Admins only: the tasks of this caller.")
    ] = None,
    kind: TaskKind | None = None,
    status: TaskStatus | None = None,
    source_date: date | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> TaskList:
    """List your tasks, newest first; admins see the tasks of all callers."""
    if not caller.admin and owner not in {None, caller.name}:
        raise AdminRequired(f"{caller.name} can list only its own tasks: omit `owner`.")
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
    limit: Limit = 30,
    cursor: Annotated[date | None, Query(description=CURSOR)] = None,
) -> EditionList:
    """List the fetched editions, newest first."""
    found = await services.editions.list_editions(before=cursor, limit=limit + 1)
    editions, next_cursor = first_page(found, limit, lambda last: last.source_date)
    return EditionList(editions=editions, next_cursor=next_cursor)


@router.get("/editions/{source_date}", tags=["editions"], responses=NOT_FOUND)
async def get_edition(source_date: date, services: ServicesOf) -> Edition:
    """Get a day's edition: items and errors of each source."""
    return await services.editions.get_edition(source_date)
