"""Recipes: every setting of an experiment in one YAML file, checked when it is read.

The names below are the public ones. Each is imported when it is first used.
"""

from typing import TYPE_CHECKING

from gynbtnet.runtime.public_names import lazy_names

if TYPE_CHECKING:
    from gynbtnet.recipes.comparison_recipe import ComparisonRecipe, load_comparison, shipped_comparisons
    from gynbtnet.recipes.curves_recipe import CurvesDesign, CurvesRecipe, load_curves, shipped_curves
    from gynbtnet.recipes.loading import RECIPE_FOLDER, load_recipe, save_recipe, shipped_recipes, with_settings
    from gynbtnet.recipes.pace import Pace
    from gynbtnet.recipes.recipe import Recipe
    from gynbtnet.recipes.variant import BASELINES, load_variant, load_variants

__all__ = [
    "BASELINES",
    "RECIPE_FOLDER",
    "ComparisonRecipe",
    "CurvesDesign",
    "CurvesRecipe",
    "Pace",
    "Recipe",
    "load_comparison",
    "load_curves",
    "load_recipe",
    "load_variant",
    "load_variants",
    "save_recipe",
    "shipped_comparisons",
    "shipped_curves",
    "shipped_recipes",
    "with_settings",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "comparison_recipe": ["ComparisonRecipe", "load_comparison", "shipped_comparisons"],
        "curves_recipe": ["CurvesDesign", "CurvesRecipe", "load_curves", "shipped_curves"],
        "loading": ["RECIPE_FOLDER", "load_recipe", "save_recipe", "shipped_recipes", "with_settings"],
        "pace": ["Pace"],
        "recipe": ["Recipe"],
        "variant": ["BASELINES", "load_variant", "load_variants"],
    },
)
