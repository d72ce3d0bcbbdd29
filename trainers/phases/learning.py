"""Learning stores as a phase of a run, which can be killed and continued.

    search/stores.json  the learned coefficients, one row per kernel, the store
                        of each kernel, losses; written last, so a run that has
                        it is done with this phase
    search/backup/      the pretraining

Stores follow from the coefficients: a continued run derives them again, and so
notices when the file was edited or damaged.
"""

from keras_superweights.files import write_json
from keras_superweights.search import learn_stores
from keras_superweights.search.learning import with_stores
from trainers.phases import experiment
from trainers.phases.pretraining import begin
from trainers.phases.pretraining import check_measured
from trainers.runs.workdir import check_unchanged
from trainers.runs.workdir import read_json


def learn(config, workdir, images, start):
    """Learns which layers of a run share a store, or reads what it learned.

    Takes and refuses the same as `search.search`; `start` is the `Allocation`
    of the pretraining. Returns the `Allocation` to train, and the seconds that
    the pretraining's epochs took.
    """
    learned = workdir.search / "stores.json"
    if not learned.exists():
        check_measured(learned, workdir)
        _learn(config, workdir.search, images, start.budget_params)
    notes = read_json(learned)
    coefficients = notes.get("coefficients") or [[0.0]]
    rule = with_stores(experiment.sharing(config), coefficients, config.seed)
    told = {name: notes.get(name, {}) for name in ("coefficients", "history")}
    check_unchanged(learned, {"stores": list(rule.stores), **told})
    allocation = rule.allocate(start.members, start.budget_params)
    return allocation, sum(notes["history"]["seconds"])


def _learn(config, directory, images, budget_params):
    """Pretrains, or resumes it, and writes what was learned."""
    arguments, backup = begin(config, directory, images, "stores")
    found = learn_stores(
        experiment.members(config),
        budget_params,
        sharing=experiment.sharing(config),
        seed=config.seed,
        **arguments,
    )
    directory.mkdir(exist_ok=True)
    write_json(
        directory / "stores.json",
        {
            "stores": list(found.sharing.stores),
            "coefficients": found.coefficients.tolist(),
            "history": backup.history,
        },
    )
