"""Replacing what is served: nothing is closed under a request, everything is closed once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from homeport.serving.follow.bindings import Binding, model_rows, snapshot_of
from homeport.serving.follow.catalog import Catalog, Entry, Snapshot
from homeport.serving.follow.references import parse
from homeport.serving.follow.versions import RegisteredVersion
from homeport.serving.servable import Description, Question, Reply, Request, Servable


class Constant:
    """A model without an input."""

    inline, coalesces = True, False

    def __init__(self, name: str, version: str) -> None:
        self.description = Description(name=name, version=version)
        self.closed_in: list[int] = []

    def parse(self, request: Request) -> Question:
        return Question(request.body, None, 1)

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        return [1 for _ in questions]

    def encode(self, request: Request, question: Question, prediction: Any) -> Reply:
        return Reply(str(prediction).encode())

    def close(self) -> None:
        self.closed_in.append(threading.get_ident())


def entry_of(name: str, version: str, released: list[str] | None = None) -> Entry:
    servable: Servable = Constant(name, version)
    return Entry(servable, RegisteredVersion(name, version), 1.0, lambda: (released or []).append(version))


def closed(entry: Entry) -> list[int]:
    return entry.servable.closed_in  # type: ignore[attr-defined, no-any-return]  # a Constant


def only(entry: Entry) -> Snapshot:
    name, version = entry.version.name, entry.version.version
    return Snapshot({(name, version): entry}, {(name, "champion"): entry}, {name: entry}, entry)


def test_what_falls_out_is_closed_in_a_thread_when_its_last_request_has_left() -> None:
    async def scenario() -> None:
        released = ["begun"]
        catalog, old, new = Catalog(), entry_of("wine", "1", released), entry_of("wine", "2", released)
        catalog.replace(only(old))
        old.enter()
        old.enter()
        catalog.replace(only(new))
        assert catalog.snapshot.sole is new
        old.leave()
        assert (closed(old), catalog.draining) == ([], 1)
        old.leave()
        await catalog.drained()
        assert len(closed(old)) == 1
        assert closed(old)[0] != threading.get_ident()
        assert released == ["begun", "1"]
        assert closed(new) == []

    asyncio.run(scenario())


def test_an_entry_that_another_alias_still_means_is_not_closed() -> None:
    async def scenario() -> None:
        catalog, shared, new = Catalog(), entry_of("wine", "1"), entry_of("wine", "2")
        one, two = ("wine", "champion"), ("wine", "challenger")
        catalog.replace(Snapshot({("wine", "1"): shared}, {one: shared, two: shared}, {"wine": shared}, shared))
        catalog.replace(
            Snapshot({("wine", "2"): new, ("wine", "1"): shared}, {one: new, two: shared}, {"wine": new}, new)
        )
        await catalog.drained()
        assert closed(shared) == []

    asyncio.run(scenario())


def test_a_model_that_does_not_close_cleanly_does_not_keep_its_files() -> None:
    async def scenario() -> None:
        released = ["begun"]
        old = entry_of("wine", "1", released)

        def broken() -> None:
            raise RuntimeError("no")

        old.servable.close = broken  # type: ignore[method-assign]  # a model whose code fails
        catalog = Catalog()
        catalog.replace(only(old))
        catalog.replace(Snapshot())
        await catalog.drained()
        assert released == ["begun", "1"]

    asyncio.run(scenario())


def test_the_default_of_a_model_is_what_the_first_reference_means() -> None:
    references = parse("wine@challenger wine@champion *@champion")
    first, second, other = entry_of("wine", "3"), entry_of("wine", "2"), entry_of("penguins", "1")
    bindings = {
        (references[2], "wine"): Binding(second),
        (references[2], "penguins"): Binding(other),
        (references[1], "wine"): Binding(second),
        (references[0], "wine"): Binding(first),
    }
    snapshot = snapshot_of(references, bindings, ())
    assert snapshot.default == {"wine": first, "penguins": other}
    assert snapshot.by_alias == {
        ("wine", "challenger"): first,
        ("wine", "champion"): second,
        ("penguins", "champion"): other,
    }
    assert snapshot.sole is None
    assert snapshot.versions("wine") == ["2", "3"]


def test_a_default_that_is_not_loaded_is_not_replaced_by_another_version() -> None:
    references = parse("wine@champion wine@challenger")
    loaded = entry_of("wine", "2")
    snapshot = snapshot_of(
        references, {(references[0], "wine"): Binding(), (references[1], "wine"): Binding(loaded)}, ()
    )
    assert snapshot.default == {}
    assert snapshot.by_version == {("wine", "2"): loaded}


def test_the_only_model_is_the_one_that_is_meant_without_a_name() -> None:
    (reference,) = parse("*@champion")
    wine, penguins = entry_of("wine", "1"), entry_of("penguins", "1")
    assert snapshot_of((reference,), {(reference, "wine"): Binding(wine)}, ()).sole is wine
    both = {(reference, "wine"): Binding(wine), (reference, "penguins"): Binding(penguins)}
    assert snapshot_of((reference,), both, ()).sole is None


def test_a_model_that_did_not_load_does_not_make_another_one_the_only_one() -> None:
    references = parse("wine@champion penguins@champion")
    bindings = {(references[0], "wine"): Binding(), (references[1], "penguins"): Binding(entry_of("penguins", "1"))}
    assert snapshot_of(references, bindings, ()).sole is None


def test_an_unloaded_model_is_in_the_status_and_not_in_the_snapshot() -> None:
    references = parse("wine@champion penguins@champion")
    bindings = {
        (references[0], "wine"): Binding(entry_of("wine", "4")),
        (references[1], "penguins"): Binding(entry_of("penguins", "1"), stale="gone; served as it was"),
    }
    unloaded = {"wine": RegisteredVersion("wine", "4")}
    assert ("wine", "4") not in snapshot_of(references, bindings, unloaded).by_version
    rows = {row["name"]: row for row in model_rows(references, bindings, unloaded)}
    assert (rows["wine"]["state"], rows["wine"]["version"]) == ("unloaded", "4")
    assert (rows["penguins"]["state"], rows["penguins"]["detail"]) == ("stale", "gone; served as it was")
    assert rows["penguins"]["aliases"] == ["champion"]
    assert rows["penguins"]["default"] is True
    assert rows["penguins"]["since"] == "1970-01-01T00:00:01.000Z"
    assert {"flavors", "predictor", "signature", "warnings", "isolated"} <= rows["wine"].keys()
