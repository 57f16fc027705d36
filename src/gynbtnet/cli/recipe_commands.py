"""Command that lists, shows and copies the shipped recipes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gynbtnet.cli.application import command, console, print_table
from gynbtnet.cli.options import Force
from gynbtnet.runtime.errors import BadInput


class RecipeAction(StrEnum):
    """Action on the shipped recipes."""

    list = "list"
    show = "show"
    copy = "copy"


@command("gynbtnet recipes list")
def recipes(
    action: Annotated[RecipeAction, typer.Argument(help="List the recipes, show one, or copy one to change it.")],
    name: Annotated[str | None, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File of the copy. Default: RECIPE.yaml.")] = None,
    force: Force = False,
) -> None:
    """List the shipped recipes, show one with its comments, or copy one to change it."""
    from gynbtnet.recipes.loading import load_recipe, recipe_path, shipped_recipes
    from gynbtnet.runtime.atomic_files import atomic_write

    shipped = shipped_recipes()
    if action == RecipeAction.list:
        table = Table("recipe", "stages", "description", box=None, header_style="bold", padding=(0, 2, 0, 0))
        for known in shipped:
            recipe = load_recipe(known)
            stages = [stage for stage in ("pretraining", "supervised", "task") if getattr(recipe, stage) is not None]
            table.add_row(known, ", ".join(stages), " ".join(recipe.description.split()))
        print_table(table)
        return
    if name not in shipped:
        given = f"{name} is not a shipped recipe" if name else "No recipe is named"
        raise BadInput(f"{given}; expected one of {', '.join(shipped)}.")
    text = recipe_path(name).read_text(encoding="utf-8")
    if action == RecipeAction.show:
        console.print(text.rstrip())
        return
    copy = out or Path(f"{name.replace('/', '_')}.yaml")
    if copy.exists() and not force:
        raise BadInput(f"{copy} exists already; replace it with --force, or give another --out.")
    with atomic_write(copy) as partial:
        partial.write_text(text, encoding="utf-8")
    console.print(f"Wrote {copy}; change it, and give it instead of the name of a recipe")
