"""A Hydra sweeper that searches for good options with Optuna. Each run is a trial of a study.

Hydra imports the modules of `hydra_plugins` whenever one of its programs starts. So this one imports Optuna only when
it searches. Hydra's own plug-in needs version 2 of Optuna.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from face_generation.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

USERS_MISTAKE = 2  # exit status of a run that could not start or whose loss became NaN


class StudySweeper(Sweeper):
    """Asks an Optuna study for options, trains with them, and tells it what `train` returned.

    Args:
        study_name: Name of the study. One that exists in the storage is continued.
        storage: Where studies are kept, such as `sqlite:///optuna.db`.
        n_trials: Number of trials of the study, including those of earlier calls.
        direction: `minimize` or `maximize`.
        seed: Seed of the choice of options.
        params: What to try for each option, in Hydra's grammar: `choice(…)`, `range(…)`, `interval(…)`, or
            `tag(log, interval(…))`. Choices on the command line take priority.

    Raises:
        UserError: Optuna is not installed, there is nothing to search, or the figure was not measured.
    """

    def __init__(
        self,
        study_name: str,
        storage: str,
        n_trials: int,
        direction: Literal["minimize", "maximize"],
        seed: int | None,
        params: Mapping[str, str],
    ) -> None:
        self.study_name = study_name
        self.storage = storage
        self.n_trials = n_trials
        self.direction = direction
        self.seed = seed
        self.params = params
        self.launcher: Launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        try:
            import optuna
        except ImportError as error:
            raise UserError("a search needs Optuna: pip install optuna") from error
        space, fixed = search_space([*(f"{name}={what}" for name, what in self.params.items()), *arguments])
        if not space:
            raise UserError("nothing to search; give choices, such as model.optimizer.lr=1e-3,2e-3")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        states = optuna.trial.TrialState
        study = optuna.create_study(
            study_name=self.study_name,
            storage=self.storage,
            direction=self.direction,
            load_if_exists=True,
        )
        # A study that is continued gets another seed, so that it tries something new.
        seed = None if self.seed is None else self.seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(seed=seed)
        while (ended := len(study.get_trials(states=(states.COMPLETE, states.FAIL)))) < self.n_trials:
            try:
                trial = study.ask(space)
            except ValueError as error:
                raise UserError(f"the study {self.study_name} had other choices; give another study=…") from error
            chosen = [f"{name}={value}" for name, value in trial.params.items()]
            print(f"trial {ended + 1} of {self.n_trials}: {' '.join(chosen)}")
            try:
                (run,) = self.launcher.launch([[*fixed, *chosen]], initial_job_idx=trial.number)
                figure = run.return_value
            except SystemExit as error:
                if error.code == USERS_MISTAKE and study.get_trials(states=(states.COMPLETE,)):
                    study.tell(trial, state=states.FAIL)  # these options failed, and others may not
                    continue
                raise  # this trial does not count
            if figure is None:
                raise UserError("the figure to search by was not measured; set monitor=… to one of metrics.json")
            study.tell(trial, figure)
        best = " ".join(f"{name}={value}" for name, value in study.best_params.items())
        print(f"best of {self.n_trials} trials: {study.best_value:.6g} with {best}")


def search_space(arguments: Sequence[str]) -> tuple[dict[str, "BaseDistribution"], list[str]]:
    """Splits arguments into what to search, by option, and the overrides that all trials share."""
    space: dict[str, BaseDistribution] = {}
    fixed: dict[str, str] = {}
    for argument, override in zip(arguments, OverridesParser.create().parse_overrides(list(arguments)), strict=True):
        name = override.get_key_element()
        space.pop(name, None)
        fixed.pop(name, None)
        if override.is_sweep_override():
            space[name] = _distribution(override)
        else:
            fixed[name] = argument
    return space, list(fixed.values())


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    sweep: Any = override.value()
    if isinstance(sweep, IntervalSweep):
        start: Any = sweep.start
        end: Any = sweep.end
        whole = isinstance(start, int) and isinstance(end, int)
        return (IntDistribution if whole else FloatDistribution)(start, end, log="log" in sweep.tags)
    choices: Any = override.sweep_iterator(Transformer.encode)  # a list as the text of it
    return CategoricalDistribution(list(choices))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="study",
    node={
        "_target_": f"{__name__}.{StudySweeper.__name__}",
        "study_name": "${study}",
        "storage": "sqlite:///optuna.db",
        "n_trials": 20,
        "direction": "minimize",
        "seed": 0,
        "params": {},
    },
    provider="face_generation",
)
