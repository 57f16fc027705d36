"""Recipes from YAML, with one clear sentence for whatever is wrong in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gynbtnet.recipes.recipe import NETWORKS, Recipe, stage_class
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml, parse_yaml
from gynbtnet.runtime.settings import Settings
from gynbtnet.training.renamed_settings import RENAMED, with_todays_names
from gynbtnet.training.run_folder import BEFORE

T = TypeVar("T", bound=Settings)

SHIPPED = Path(__file__).parent


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package, ``small/gpu`` for instance; variants of them don't count."""
    files = [*SHIPPED.glob("*.yaml"), *SHIPPED.glob("small/*.yaml")]
    return sorted(path.relative_to(SHIPPED).with_suffix("").as_posix() for path in files)


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or its path, change single settings, and check the whole.

    Args:
        name: a name of :func:`shipped_recipes`, or a YAML file.
        changes: ``"key.to.setting=value"`` with the value as YAML, e.g. ``"task.training.epochs=10"``.

    Raises:
        BadInput: an unknown recipe, bad YAML, an unknown key, a wrong type or value, a path that isn't there.
    """
    path = recipe_path(name)
    return with_aliases(with_changes(read_yaml(path), changes, path), path)


def load_run_recipe(path: Path) -> Recipe:
    """Read the resolved recipe of an experiment that was begun, maybe by an earlier version.

    A setting of training that the file doesn't hold didn't exist then; it has the value that runs had without it, which
    may not be today's default.

    Raises:
        BadInput: If :func:`load_recipe` refuses the file.
    """
    values = with_todays_names(read_yaml(path))
    recipe = with_aliases(with_changes(values, (), path), path)
    for name in ("pretraining", "supervised", "task"):
        stage = getattr(recipe, name)
        if stage is not None:
            held, known = values[name]["training"], type(stage.training).model_fields
            absent = {key: value for key, value in BEFORE.items() if key in known and key not in held}
            values = values | {name: values[name] | {"training": held | absent}}
    return with_aliases(with_changes(values, (), path), path)


def recipe_path(name: str | Path) -> Path:
    """The file of a shipped recipe, or one's own."""
    return SHIPPED / f"{name}.yaml" if str(name) in shipped_recipes() else Path(name)


def with_aliases(recipe: Recipe, path: Path) -> Recipe:
    """The recipe with its file of ROI names, which lies beside ``path``, by an absolute path.

    Raises:
        BadInput: where it isn't there.
    """
    if recipe.aliases is None:
        return recipe
    aliases = path.parent / recipe.aliases
    if not aliases.is_file():
        raise BadInput(f"aliases in {path} names {aliases}, which is not there; expected a YAML file of ROI names.")
    return recipe.model_copy(update={"aliases": aliases.absolute()})


def with_changes(values: dict[str, Any], changes: Sequence[str], path: Path) -> Recipe:
    """The recipe of ``values``, read from ``path``, with single settings changed as in :func:`load_recipe`.

    Raises:
        BadInput: an unknown key, a wrong type or value.
    """
    return settings_of(Recipe, values, changes, path)


def settings_of(kind: type[T], values: dict[str, Any], changes: Sequence[str], path: Path) -> T:
    """As :func:`with_changes`, for settings of any kind that a file holds.

    Raises:
        BadInput: an unknown key, a wrong type or value.
    """
    for change in changes:
        values = _changed(values, change)
    try:
        return kind.model_validate(values)
    except ValidationError as problems:
        where = f"{path}, changed by --set" if changes else str(path)
        raise BadInput(_sentence(problems, where, values, kind)) from problems


def save_recipe(recipe: Settings, path: Path) -> None:
    """Write a recipe with every setting in it, whole or not at all."""
    with atomic_write(path) as partial:
        values = recipe.model_dump(mode="json")
        partial.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, unchecked.

    Raises:
        BadInput: where the file is absent, no YAML, or holds no settings.
    """
    try:
        values = load_yaml(path)
    except FileNotFoundError as error:
        known = ", ".join(shipped_recipes())
        raise BadInput(
            f"There is no recipe {path}; expected a YAML file or one of the shipped ones: {known}."
        ) from error
    except PlainDataError as error:
        raise BadInput(f"The recipe {path} can't be used: {error}; see a shipped recipe for the form.") from error
    except (UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{path} is no YAML file; see a shipped recipe for the form.") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no settings; expected keys such as name, structures, task.")
    return _unshared(values)  # type: ignore[no-any-return]


def _unshared(values: Any) -> Any:
    """A copy in which what a YAML anchor shares stands in each place by itself: a change then changes one place."""
    if isinstance(values, dict):
        return {key: _unshared(value) for key, value in values.items()}
    return [_unshared(value) for value in values] if isinstance(values, list) else values


def _changed(values: dict[str, Any], change: str) -> dict[str, Any]:
    """Copy ``values`` with one setting changed; what doesn't change is shared."""
    key, equals, text = change.partition("=")
    places = key.strip().split(".")
    if not equals or not places[-1]:
        raise BadInput(f"--set {change} can't be read; expected KEY=VALUE, for example task.training.epochs=10.")
    try:
        value = parse_yaml(text)
    except PlainDataError as error:
        raise BadInput(f"--set {change} can't be read; expected a YAML value after the equals sign.") from error
    return _with(values, places, value, change)


def _with(values: dict[str, Any], places: Sequence[str], value: Any, change: str) -> dict[str, Any]:
    first, *others = places
    if not others:
        return values | {first: value}
    group = values.get(first, {})
    if not isinstance(group, dict):
        raise BadInput(f"--set {change} can't be applied: {first} is a value, not a group of settings.")
    return values | {first: _with(group, others, value, change)}


def _sentence(problems: ValidationError, path: str, values: dict[str, Any], kind: type[BaseModel]) -> str:
    first = problems.errors()[0]
    places = _key_in_file(first["loc"], values)
    key = ".".join(str(part) for part in places)
    if first["type"] == "extra_forbidden":
        known = _settings_at(kind, places[:-1], values)
        name = RENAMED.get((str(places[-2]) if len(places) > 1 else "", str(places[-1])))
        if name in known:
            return f"{key} in {path} is now called {name}; rename it."
        return f"{key} in {path} is no setting; expected one of: {', '.join(known)}."
    if first["type"] == "missing":
        return f"{key} is missing in {path}; see a shipped recipe for the form."
    expected = first["msg"].removeprefix("Value error, ")
    if not places:
        return f"The recipe {path} doesn't fit together: {expected}."
    return f"{key} in {path} is {first['input']!r}; {expected[0].lower()}{expected[1:]}."


def _key_in_file(places: Sequence[str | int], values: Any) -> list[str | int]:
    """The places that the file has; before or after them pydantic names the branch of a union that it tried."""
    key: list[str | int] = []
    for place in places:
        if place in NETWORKS:  # a branch, and the name of no setting
            continue
        key.append(place)
        if isinstance(values, dict):
            values = values.get(place)
        elif isinstance(values, list) and isinstance(place, int):
            values = values[place] if place < len(values) else None
        if not isinstance(values, dict | list):
            break
    return key


def _settings_at(kind: type[BaseModel], places: Sequence[str | int], values: dict[str, Any]) -> list[str]:
    """Names of the settings of the class that stands at a key of a file of ``kind``."""
    for place in places:
        choices = list(_classes(kind.model_fields[str(place)].annotation))
        kind = stage_class(values[place]) if place == "pretraining" else choices[0]
    return list(kind.model_fields)


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for choice in getattr(annotation, "__args__", ()):
        yield from _classes(choice)
