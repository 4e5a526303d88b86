"""References to versions: what the registry says each one means at this moment, with as few requests as can be.

One request for a named reference, one for all `*@…` together, and one more for a version never seen before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from homeport.serving.follow.errors import NotInRegistry, RegistryRefused
from homeport.serving.follow.references import Reference
from homeport.serving.follow.registry import Registry
from homeport.serving.follow.versions import READY, RegisteredModel, RegisteredVersion

_UNKNOWN_USER = 401


@dataclass(frozen=True, slots=True)
class Resolution:
    """What one reference means.

    Args:
        versions: registered model -> version.
        problems: registered model -> why it has none, in one sentence.
    """

    versions: dict[str, RegisteredVersion] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class Resolver:
    """Asks the registry for one pass over all references.

    Args:
        registry: who is asked.
        seen: versions of `*@…` that are known already, by (model, version, when the model was made); kept by the caller
            from pass to pass.
    """

    def __init__(self, registry: Registry, seen: dict[tuple[str, str, int], RegisteredVersion]) -> None:
        self._registry = registry
        self._seen = seen
        self._listed: list[RegisteredModel] | None = None

    def resolve(self, reference: Reference, bound: frozenset[str]) -> Resolution:
        """The reference's meaning; `bound` are the models it meant before, for which an absence is a problem.

        Raises:
            RegistryAway: nobody answers.
            RegistryRefused: the user is not known at all.
        """
        return self._every(reference, bound) if reference.every else self._named(reference)

    def _named(self, reference: Reference) -> Resolution:
        name = reference.name
        try:
            if reference.alias is not None:
                return Resolution({name: self._registry.by_alias(name, reference.alias)})
            return Resolution({name: self._registry.by_version(name, reference.version or "")})
        except (NotInRegistry, RegistryRefused) as error:
            return Resolution(problems={name: _kept(error)})

    def _every(self, reference: Reference, bound: frozenset[str]) -> Resolution:
        try:
            models = self._list()
        except (NotInRegistry, RegistryRefused) as error:
            return Resolution(problems=dict.fromkeys([*bound] or [reference.name], _kept(error)))
        found = Resolution()
        for model in models:
            number = model.aliases.get(reference.alias or "")
            if number is None:
                if model.name in bound:
                    found.problems[model.name] = f"{model.name} has no alias {reference.alias} any more"
                continue
            try:
                found.versions[model.name] = self._version(model, number)
            except (NotInRegistry, RegistryRefused) as error:
                found.problems[model.name] = _kept(error)
        for name in bound - {model.name for model in models}:
            found.problems[name] = f"{name} is not in the registry any more"
        return found

    def _list(self) -> list[RegisteredModel]:
        if self._listed is None:
            self._listed = list(self._registry.search())
            present = {(model.name, model.created) for model in self._listed}
            for key in [key for key in self._seen if (key[0], key[2]) not in present]:
                del self._seen[key]
        return self._listed

    def _version(self, model: RegisteredModel, number: str) -> RegisteredVersion:
        # A number is given once in a model's life; only another model of the same name can have it again.
        key = (model.name, number, model.created)
        version = self._seen.get(key) or self._registry.by_version(model.name, number)
        if version.status == READY:
            self._seen[key] = version
        return version


def _kept(error: NotInRegistry | RegistryRefused) -> str:
    if isinstance(error, RegistryRefused) and error.status == _UNKNOWN_USER:
        raise error
    return str(error)
