"""Garbage collection is off while a program's modules are imported, and on from the end of its start."""

import gc
import runpy
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from app.process.gc_freeze import freeze_loaded_objects, pause_collection


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    """Collection is on after the test, whatever it does."""
    yield
    gc.enable()


def test_collection_is_off_until_the_loaded_objects_are_frozen() -> None:
    pause_collection()
    assert not gc.isenabled()
    loaded: list[object] = [{} for _ in range(10)]
    before = gc.get_freeze_count()
    freeze_loaded_objects()
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    assert not any(each is loaded for each in gc.get_objects())


@pytest.mark.parametrize(("program", "module"), [("app", "app.server"), ("worker", "worker.main")])
def test_a_program_is_imported_without_collections(program: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    collected = list[bool]()

    class Program(ModuleType):
        def __getattr__(self, name: str) -> object:
            assert name in {"main", "__path__"}, name
            collected.append(gc.isenabled())
            return lambda *_arguments: 7

    monkeypatch.setitem(sys.modules, module, Program(module))
    with pytest.raises(SystemExit) as end:
        runpy.run_module(program, run_name="__main__")
    assert end.value.code == 7
    assert collected
    assert not any(collected)
