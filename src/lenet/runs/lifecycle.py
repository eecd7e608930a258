"""The run folder: a training on disk that can be interrupted at any moment and continued."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lenet.checkpoints import load_checkpoint
from lenet.data.preprocessing import Wish
from lenet.engines import Engine, select_engine
from lenet.errors import RunError
from lenet.networks import build_network
from lenet.runs.folders import (
    STATE_FOLDER,
    check_name,
    locked,
    make_folder,
    read_settings,
    remove_leftovers,
    trusting_settings,
)
from lenet.runs.measuring import list_metrics, measured
from lenet.runs.origin import find_origin
from lenet.runs.plan import Plan, make_plan
from lenet.runs.records import write_best, write_history, write_run, write_weights
from lenet.runs.run import OWN, Run
from lenet.runs.starts import keep_start, read_start
from lenet.runs.states import read_state, write_state
from lenet.training.changes import change_recipe
from lenet.training.history import Epoch, State
from lenet.training.loop import says_stop, train
from lenet.training.losses import Loss
from lenet.training.optimizers import BuildOptimizer
from lenet.training.recipes import Recipe


def create_run(
    data: str | Path = "digits",
    network: str | None = None,
    recipe: Recipe | str | None = None,
    *,
    validation: int | float | None = None,
    preparation: Wish = "auto",
    skip_damaged: bool = False,
    changes: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    fold: str | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    out: str | Path = "runs",
    name: str | None = None,
    engine: Engine | None = None,
) -> Run:
    """Load the data and make a folder with the settings; nothing is trained yet.

    Parameters
    ----------
    data : str or Path
        A name in `lenet.data.catalogue.DATASETS`, or a folder of pictures.
    network : str, optional
        The weights', or ``modern``, when not given.
    recipe : Recipe or str, optional
        One, or the name of one; the network's default for such data when not given.
    validation : int or float, optional
        As for `lenet.load_dataset`; with 0 the last epoch's weights are kept.
    preparation, skip_damaged, fold
        As for `lenet.load_dataset`.
    changes : dict, optional
        Fields of the recipe that shall have other values, and options of the network:
        ``{"epochs": 3, "distortions.rotate": 0.1, "network.dropout": 0.2}``. The first word may be
        left out.
    weights : str or Path, optional
        Trained weights to start from, by what `lenet.load_checkpoint` takes. Their network, its
        options, the scale of their input and, unless another is named, the preparation of a
        folder's pictures are kept. So is their output layer if the data have
        the same classes in the same order; else it is drawn anew.
    loss, optimizer : callable, optional
        As for `lenet.train`. Whoever opens the run again must give them again.
    out : str or Path
        Where the folder is made.
    name : str, optional
        The folder's; ``<data>-<network>-<n>`` when not given.
    engine : Engine, optional

    Raises
    ------
    LenetError
        When the data, the weights, the network or the folder cannot be had.
    """
    if name is not None:
        check_name(name)
    plan = make_plan(
        *(data, network, recipe),
        validation=validation,
        preparation=preparation,
        skip_damaged=skip_damaged,
        changes=changes,
        weights=weights,
        fold=fold,
    )
    own = {"loss": loss, "optimizer": optimizer}
    return begin_run(plan, out=out, name=name, engine=engine, own=own)


def begin_run(
    plan: Plan,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    engine: Engine | None = None,
    own: Mapping[str, Any] | None = None,
) -> Run:
    """Make a folder for what is planned, as `create_run` does.

    Raises
    ------
    RunError
        When it cannot be made.
    """
    engine = engine or select_engine()
    folder = make_folder(Path(out), f"{plan.splits.name}-{plan.network.name}", name)
    if plan.start is not None:
        keep_start(folder / STATE_FOLDER, plan.start)
    run = Run(folder, **vars(plan), engine=engine, own=own or dict.fromkeys(OWN))
    write_run(run)
    return run


def open_run(
    folder: str | Path,
    *,
    data: str | Path | None = None,
    loss: Loss | None = None,
    optimizer: BuildOptimizer | None = None,
    engine: Engine | None = None,
) -> Run:
    """A run from its folder, ready to be finished, or finished already.

    Parameters
    ----------
    folder : str or Path
    data : str or Path, optional
        Where its data set is now, when it has moved; it must be the same to the last bit.
    loss, optimizer : callable, optional
        What `create_run` was given.
    engine : Engine, optional
        The one it began with when not given. Another one gives slightly other weights.

    Raises
    ------
    RunError
        When the folder is no run, is damaged, the data set is not the one it began with, or a loss
        or an optimizer of its own is missing.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    with trusting_settings(folder):
        recipe = Recipe.from_dict(settings["recipe"])
        name, options = settings["network"], settings["options"]
        wanted = (settings["engine"], settings["device"])
        results = None if settings["results"] is None else dict(settings["results"])
        about = settings.get("weights")
        extensions = tuple(
            {key: each[key] for key in ("after", "epochs", "patience")}
            for each in settings.get("extensions", ())
        )
        start = None if about is None else read_start(folder / STATE_FOLDER, about)
        own_names = [*settings.get("own", ())]
    own = {"loss": loss, "optimizer": optimizer}
    _check_own(folder, own, own_names)
    origin = find_origin(folder, settings, data)
    splits = origin.splits
    if results is not None:
        network = load_checkpoint(folder).network
    else:
        with trusting_settings(folder):
            network = build_network(name, num_classes=len(splits.class_names), **options)
    return Run(
        *(folder, origin.source, origin.loading, splits, network, recipe),
        start.preprocessing(splits) if start is not None else recipe.preprocessing(splits),
        engine or select_engine(*wanted),
        start=start,
        own=own,
        extensions=extensions,
        state=read_state(folder / STATE_FOLDER),
        results=results,
    )


def _check_own(folder: Path, own: Mapping[str, object], names: Sequence[str]) -> None:
    """A run goes on with what it began with."""
    for name in OWN:
        if name in names and own[name] is None:
            raise RunError(
                f"{folder} is trained with its own {name}: go on from Python, with "
                f"lenet.runs.open_run(folder, {name}=…)"
            )
        if name not in names and own[name] is not None:
            raise RunError(f"{folder} began without its own {name}: leave it out")


def extend_run(run: Run, epochs: int | None = None, patience: int | None = None) -> Run:
    """A run that goes on to more epochs than it was begun with, after its end or before.

    What is left follows the recipe's schedule as it is for so many epochs, from the share of them
    that is done: a constant rate stays, a one-cycle one, which has come down, rises again and comes
    down once more.

    Parameters
    ----------
    run : Run
    epochs : int, optional
        In all; more than are done. The recipe's when not given.
    patience : int, optional
        Instead of the recipe's.

    Returns
    -------
    run : Run
        For `finish_run`. The folder's settings say so already, and what they were before.

    Raises
    ------
    RunError
        When nothing would be left to train.
    SettingError
        When a number is out of its range.
    """
    done = run.state.epoch if run.state is not None else 0
    wishes = {"epochs": epochs, "patience": patience}
    changes = {name: value for name, value in wishes.items() if value is not None}
    recipe = change_recipe(run.recipe, changes)
    if recipe.epochs <= done:
        raise RunError(f"{run.folder} has {done} epochs already: ask for more than {done} in all")
    if run.state is not None and run.state.is_over(recipe):
        raise RunError(
            f"{run.folder} stopped after {recipe.patience} epochs without a better one; "
            f"give it more patience too"
        )
    before = {"after": done, "epochs": run.recipe.epochs, "patience": run.recipe.patience}
    extended = dataclasses.replace(
        run,
        recipe=recipe,
        extensions=(*run.extensions, before),
        results=None,
        evaluation={},
        test_scores=None,
    )
    with locked(run.folder):
        write_run(extended)
    return extended


def finish_run(
    run: Run,
    on_epoch: Callable[[Epoch], object] | None = None,
    on_step: Callable[[int], None] | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Run:
    """Train what is left to train, then measure the best weights; the test part is read here, once.

    After an interruption of any kind, kill -9 included, `open_run` and this give the same weight
    file, to the last bit, as one uninterrupted run (same machine, engine, number of threads).

    Parameters
    ----------
    run : Run
        One that was finished before is measured again, and nothing else.
    on_epoch : callable, optional
        Called after every epoch, when it is safe on disk. The training ends there when it returns
        True.
    on_step : callable, optional
        Called after every step with how many images of the epoch have been learnt from.
    on_progress : callable, optional
        Told in a few words what is waited for: compiling, then the training itself.

    Returns
    -------
    run : Run
        With results and evaluation.

    Raises
    ------
    RunError
        When another process is at work in the folder.
    LenetError
        When the training diverges or a file cannot be written.
    """
    if run.results is not None:
        return run if run.evaluation else measured(run)

    def keep(epoch: Epoch, state: State) -> bool:
        if state.best_epoch == state.epoch:
            write_best(run, state)
        write_state(run.folder / STATE_FOLDER, state)
        write_history(run.folder, state)
        return on_epoch is not None and says_stop(on_epoch(epoch))

    with locked(run.folder):
        remove_leftovers(run.folder)
        state = train(
            run.network,
            run.splits,
            run.recipe,
            run.preprocessing,
            engine=run.engine,
            state=run.state,
            initial=run.start.initial(run.splits.class_names) if run.start is not None else None,
            **run.own,
            on_epoch=keep,
            on_step=on_step,
            on_progress=on_progress,
        )

        run = measured(dataclasses.replace(run, state=state))
        epochs = {"epochs_run": state.epoch, "best_epoch": state.best_epoch}
        metrics = {**epochs, **list_metrics(run.evaluation)}
        write_weights(run, run.network, metrics, final=True)
        write_history(run.folder, state)

        results = {
            "run": str(run.folder),
            "network": run.network.name,
            "data": run.splits.name,
            "recipe": run.recipe.name,
            "seed": run.recipe.seed,
            **metrics,
            "seconds": round(state.history[-1].elapsed_seconds, 3),
            "diagnosis": dataclasses.asdict(run.diagnosis),
        }
        run = dataclasses.replace(run, results=results)
        write_run(run)  # last: only now the run is finished
    return run
