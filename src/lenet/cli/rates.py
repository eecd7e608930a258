"""`lenet find-rate`: which learning rate suits a network and a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from lenet.cli.options import (
    Data,
    Device,
    Engine,
    Json,
    Network,
    Preparation,
    RecipeName,
    Settings,
    SkipDamaged,
    StartWeights,
    was_given,
)
from lenet.cli.output import show, show_json, show_table
from lenet.cli.settings import as_typed, network_of, read_changes
from lenet.progress import Progress

if TYPE_CHECKING:
    from lenet.data.preprocessing import Wish
    from lenet.training.rates import RateTest

_ROWS = 10  # every so many steps


def find_rate(
    context: typer.Context,
    data: Data = "digits",
    network: Network = "modern",
    recipe: RecipeName = None,
    settings: Settings = None,
    preparation: Preparation = "auto",
    skip_damaged: SkipDamaged = False,
    weights: StartWeights = None,
    engine: Engine = "auto",
    device: Device = "auto",
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the losses into this file.", metavar="PNG"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Try which learning rate suits: it rises step by step, and the loss is watched."""
    with Progress() as progress:
        progress.wait("loading torch")
        from lenet.engines import select_engine
        from lenet.runs.plan import make_plan
        from lenet.training.rates import find_rate

        progress.wait(f"reading {data}")
        kind = network if weights is None or was_given(context, "network") else None
        changes, typed = read_changes({}, settings or [], kind or network_of(weights))
        with as_typed(typed):
            plan = make_plan(
                *(data, kind, recipe),
                preparation=cast("Wish", preparation),
                skip_damaged=skip_damaged,
                changes=changes,
                weights=weights,
            )
        for remark in plan.splits.remarks:
            progress.say(remark)
        chosen = select_engine(engine, device)
        progress.say(chosen.notice)
        test = find_rate(
            *(plan.network, plan.splits, plan.recipe, plan.preprocessing),
            engine=chosen,
            initial=plan.initial,
            on_step=lambda n, of: progress.bar("trying", n / of, "") if progress.moves else None,
            on_progress=progress.wait,
        )
        if figure is not None:
            progress.wait("drawing")
            from lenet.figures.rates import draw_rates
            from lenet.figures.style import write

            write(figure, draw_rates(test))
            progress.say(f"figure in {figure}")
    if as_json:
        named = {
            "data": plan.splits.name,
            "network": plan.network.name,
            "recipe": plan.recipe.name,
            "seed": plan.recipe.seed,
        }
        show_json(named | _describe(test))
        return
    _show(test)
    show(
        f"recipe {plan.recipe.name}, {plan.recipe.optimizer}, {plan.recipe.schedule}: it has "
        f"{plan.recipe.learning_rate:g}; try --learning-rate {test.suggestion:g} with lenet train"
    )


def _describe(test: "RateTest") -> dict[str, object]:
    return {
        "suggestion": test.suggestion,
        "lowest": test.lowest,
        "share": test.share,
        "rates": test.rates.tolist(),
        "losses": test.losses.tolist(),
    }


def _show(test: "RateTest") -> None:
    rows = [
        (f"{rate:.2g}", f"{loss:.3f}")
        for rate, loss in list(zip(test.rates, test.averaged, strict=True))[::_ROWS]
    ]
    show_table(("learning rate", "loss"), rows, text_columns=0)
    show(
        f"lowest loss at {test.lowest:.2g}, suggested is {100 * test.share:.0f} % of that: "
        f"{test.suggestion:g}"
    )
