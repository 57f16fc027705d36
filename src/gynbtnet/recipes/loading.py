"""Recipes from YAML files, with one clear sentence for every error in them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gynbtnet.recipes.recipe import NETWORKS, Recipe, stage_class
from gynbtnet.runtime.atomic_files import atomic_write
from gynbtnet.runtime.errors import BadInput
from gynbtnet.runtime.plain_data import PlainDataError, load_yaml, parse_yaml
from gynbtnet.runtime.settings import Settings
from gynbtnet.training.renamed_settings import RENAMED_SETTINGS, with_current_names
from gynbtnet.training.run_folder import LEGACY_VALUES

T = TypeVar("T", bound=Settings)

_FOLDER_NAME = re.compile(r"[\w][\w.+-]*")

RECIPE_FOLDER = Path(__file__).parent
"""Folder of the shipped recipes."""

_FORMS = {
    "model_type": "expected a group of settings",
    "dict_type": "expected a group of settings",
    "tuple_type": "expected a list",
}
"""Expected form of a value by pydantic's type of the error, if its message names a class of Python."""


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package, e.g. ``small/gpu``; variants of them are not included.

    Returns:
        Names in alphabetical order, as :func:`load_recipe` takes them.
    """
    files = [*RECIPE_FOLDER.glob("*.yaml"), *RECIPE_FOLDER.glob("small/*.yaml")]
    return sorted(path.relative_to(RECIPE_FOLDER).with_suffix("").as_posix() for path in files)


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or its path, change single settings, and check the result.

    Args:
        name: name from :func:`shipped_recipes`, or a YAML file.
        changes: ``"key.to.setting=value"`` with the value as YAML, e.g. ``"task.training.epochs=10"``.

    Returns:
        The recipe, with all its settings.

    Raises:
        BadInput: If the recipe or a key is unknown, a value has the wrong type or range, the YAML is invalid or a path
            doesn't exist.

    Example:
        >>> recipe = load_recipe("smoke", ["task.training.epochs=10"])
        >>> recipe.name, recipe.task.training.epochs
        ('smoke', 10)
    """
    path = recipe_path(name)
    values = read_yaml(path)
    if "settings" in values and "name" not in values:
        raise BadInput(f"{path} has the settings of one training run, not a recipe. {_recipe_instead(path)}")
    return with_aliases(with_changes(values, [_from_here(change) for change in changes], path), path)


def _recipe_instead(run_settings: Path) -> str:
    """Return which recipe to give instead of the settings of one training run."""
    for folder in run_settings.parents:
        if (folder / "split.json").is_file() and (folder / "recipe.yaml").is_file():
            return f"Give the recipe of its experiment, {folder / 'recipe.yaml'}."
    return "Give the recipe of its experiment, the recipe.yaml next to split.json, or a shipped recipe with --set."


def load_run_recipe(path: Path) -> Recipe:
    """Read the resolved recipe of an existing experiment, possibly of an earlier version.

    A training setting that is missing from the file didn't exist at that time. It gets the value by which runs behaved
    then, which may differ from the current default.

    Args:
        path: file of the recipe.

    Raises:
        BadInput: If :func:`load_recipe` refuses the file.
    """
    values = with_current_names(read_yaml(path))
    recipe = with_aliases(with_changes(values, (), path), path)
    for name in ("pretraining", "supervised", "task"):
        stage = getattr(recipe, name)
        if stage is not None:
            stored, known = values[name]["training"], type(stage.training).model_fields
            absent = {key: value for key, value in LEGACY_VALUES.items() if key in known and key not in stored}
            values = values | {name: values[name] | {"training": stored | absent}}
    return with_aliases(with_changes(values, (), path), path)


def _from_here(change: str) -> str:
    """Return a change that names a file of ROI names relative to the working folder with its absolute path."""
    key, equals, value = change.partition("=")
    return (
        f"{key}={Path(value).absolute()}" if equals and key.strip() == "aliases" and value.strip() != "null" else change
    )


def recipe_path(name: str | Path) -> Path:
    """Return the file of a shipped recipe, or the given path."""
    return RECIPE_FOLDER / f"{name}.yaml" if str(name) in shipped_recipes() else Path(name)


def recipe_values(name: str, path: Path) -> dict[str, Any]:
    """Return the unchecked settings of a recipe that another file names.

    Relative paths start at the file that they are in.

    Args:
        name: name of a shipped recipe, or a path.
        path: file that names it.

    Raises:
        BadInput: If there is no such recipe.
    """
    recipe = path.parent / recipe_path(name)
    values = read_yaml(recipe)
    if isinstance(values.get("aliases"), str):
        values["aliases"] = str((recipe.parent / values["aliases"]).absolute())
    return values


def check_folder_names(names: Iterable[str], path: Path) -> None:
    """Refuse names of models or candidates that can't be names of their folders.

    Args:
        names: the names.
        path: file that they are in.

    Raises:
        BadInput: If one has other characters than letters, digits, '.', '+', '_' and '-'.
    """
    for name in names:
        if not _FOLDER_NAME.fullmatch(name):
            raise BadInput(
                f"{path} names {name!r}; expected names of letters, digits, '.', '+', '_' and '-', because folders get "
                "them."
            )


def with_aliases(recipe: Recipe, path: Path) -> Recipe:
    """Return the recipe with the absolute path of its file of ROI names, which is relative to the recipe.

    Args:
        recipe: the recipe.
        path: file of the recipe.

    Raises:
        BadInput: If the file of ROI names doesn't exist.
    """
    if recipe.aliases is None:
        return recipe
    aliases = path.parent / recipe.aliases
    if not aliases.is_file():
        raise BadInput(f"aliases in {path} names {aliases}, which does not exist; expected a YAML file of ROI names.")
    return recipe.model_copy(update={"aliases": aliases.absolute()})


def with_changes(values: dict[str, Any], changes: Sequence[str], path: Path) -> Recipe:
    """Return the recipe with the given values, after changes of single settings.

    Args:
        values: settings as read from a file.
        changes: changes as for :func:`load_recipe`.
        path: file that error messages name.

    Raises:
        BadInput: If a key is unknown or a value has the wrong type or range.
    """
    return settings_of(Recipe, values, changes, path)


def with_settings(recipe: Recipe, changes: Mapping[str, Any], source: str) -> Recipe:
    """Return the recipe with other values of single settings.

    Args:
        recipe: recipe to change.
        changes: values by dotted key, e.g. ``{"task.training.epochs": 10}``.
        source: origin of the values, which error messages name.

    Returns:
        The changed recipe, checked as a whole.

    Raises:
        BadInput: If a key is unknown or a value has the wrong type or range.
    """
    values = recipe.model_dump(mode="json")
    for key, value in changes.items():
        values = _with(values, key.split("."), value, f"{key}={value}")
    return settings_of(Recipe, values, (), Path(source))


def settings_of(kind: type[T], values: dict[str, Any], changes: Sequence[str], path: Path) -> T:
    """Return settings of any class, as :func:`with_changes` does for recipes.

    Args:
        kind: class of the settings.
        values: settings as read from a file.
        changes: changes as for :func:`load_recipe`.
        path: file that error messages name.

    Raises:
        BadInput: If a key is unknown or a value has the wrong type or range.
    """
    for change in changes:
        values = with_change(values, change)
    try:
        return kind.model_validate(values)
    except ValidationError as problems:
        source = f"{path} (changed by --set)" if changes else str(path)
        raise BadInput(_sentence(problems, source, values, kind)) from problems


def save_recipe(recipe: Settings, path: Path, heading: str = "") -> None:
    """Write a recipe with all its settings to a file, atomically.

    Args:
        recipe: recipe to write.
        path: YAML file; an existing one is replaced.
        heading: text that becomes the comment in the first lines.
    """
    with atomic_write(path) as partial:
        comment = "".join(f"# {line}\n" for line in heading.splitlines())
        values = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        partial.write_text(comment + values, encoding="utf-8")


def read_yaml(path: Path, what: str = "recipe", keys: str = "name, structures, task") -> dict[str, Any]:
    """Return the unchecked settings in a YAML file.

    Args:
        path: the file.
        what: name of such a file in error messages.
        keys: some of its keys, for the same messages.

    Raises:
        BadInput: If the file is absent, isn't YAML or holds no settings.
    """
    form = "see a shipped recipe for the form" if what == "recipe" else f"expected a YAML file with the key {keys}"
    try:
        values = load_yaml(path)
    except FileNotFoundError as error:
        shipped = f" or one of the shipped ones: {', '.join(shipped_recipes())}" if what == "recipe" else ""
        raise BadInput(f"There is no {what} {path}; expected a YAML file{shipped}.") from error
    except PlainDataError as error:
        raise BadInput(f"The {what} {path} can't be used: {error}; {form}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"The {what} {path} can't be used: it is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise BadInput(f"{path} is not a YAML file; {form}.") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path} holds no settings; expected keys such as {keys}.")
    return _unshared(values)  # type: ignore[no-any-return]


def _unshared(values: Any) -> Any:
    """Return a copy in which nothing is shared by YAML anchors, so that a change affects one key only."""
    if isinstance(values, dict):
        return {key: _unshared(value) for key, value in values.items()}
    return [_unshared(value) for value in values] if isinstance(values, list) else values


def with_change(values: dict[str, Any], change: str) -> dict[str, Any]:
    """Return ``values`` with one setting changed; unchanged groups are shared with the original.

    Args:
        values: settings as read from a file.
        change: a change as for :func:`load_recipe`.

    Raises:
        BadInput: If the change has another form, or changes a setting inside a value.
    """
    key, equals, text = change.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise BadInput(f"--set {change} can't be read; expected KEY=VALUE, for example task.training.epochs=10.")
    try:
        value = parse_yaml(text)
    except PlainDataError as error:
        raise BadInput(f"--set {change} can't be read; expected a YAML value after the equals sign.") from error
    return _with(values, keys, value, change)


def _with(values: dict[str, Any], keys: Sequence[str], value: Any, change: str) -> dict[str, Any]:
    first, *others = keys
    if not others:
        return values | {first: value}
    group = values.get(first, {})
    if not isinstance(group, dict):
        raise BadInput(f"--set {change} can't be applied: {first} is a value, not a group of settings.")
    return values | {first: _with(group, others, value, change)}


def _sentence(problems: ValidationError, path: str, values: dict[str, Any], kind: type[BaseModel]) -> str:
    first = problems.errors()[0]
    keys = _keys_in_file(first["loc"], values)
    key = ".".join(str(part) for part in keys)
    if first["type"] == "extra_forbidden":
        known = _settings_at(kind, keys[:-1], values)
        name = RENAMED_SETTINGS.get((str(keys[-2]) if len(keys) > 1 else "", str(keys[-1])))
        if name in known:
            return f"{key} in {path} is now called {name}; rename it."
        return f"{key} in {path} is not a setting; expected one of: {', '.join(known)}."
    if first["type"] == "invalid_key":
        return f"{path} has the key {first['input']!r}, which is not text; write it in quotes, or remove it."
    if first["type"] == "missing":
        return f"{key} is missing in {path}; see a shipped recipe for the form."
    expected = _FORMS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    if not keys:
        return f"The recipe {path} doesn't fit together: {expected}."
    if isinstance(first["input"], dict | BaseModel):
        return f"The settings of {key} in {path} don't fit together: {expected}."
    return f"{key} in {path} is {first['input']!r}; {expected[0].lower()}{expected[1:]}."


def _keys_in_file(location: Sequence[str | int], values: Any) -> list[str | int]:
    """Return the keys of an error that exist in the file; pydantic adds the branch of a union that it tried."""
    keys: list[str | int] = []
    for key in location:
        if key in NETWORKS:  # a branch; no setting has this name
            continue
        keys.append(key)
        if isinstance(values, dict):
            values = values.get(key)
        elif isinstance(values, list) and isinstance(key, int):
            values = values[key] if key < len(values) else None
        if not isinstance(values, dict | list):
            break
    return keys


def _settings_at(kind: type[BaseModel], keys: Sequence[str | int], values: dict[str, Any]) -> list[str]:
    """Return the names of the settings of the group at ``keys`` in a file of ``kind``."""
    for key in keys:
        choices = list(_classes(kind.model_fields[str(key)].annotation))
        kind = stage_class(values[key]) if key == "pretraining" else choices[0]
    return list(kind.model_fields)


def _classes(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for choice in getattr(annotation, "__args__", ()):
        yield from _classes(choice)
