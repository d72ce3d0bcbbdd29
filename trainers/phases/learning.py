"""Learning stores as a phase of a run, which can be killed and continued.

    search/stores.json  the learned coefficients, one row per kernel, the store
                        of each kernel, losses; written last, so a run that has
                        it is done with this phase
    search/SHA256SUMS   its checksum
    search/backup/      the pretraining

Stores follow from the coefficients: a continued run derives them again.
"""

from keras_superweights import files
from keras_superweights.search import learning
from trainers.phases import experiment
from trainers.phases.pretraining import begin
from trainers.phases.pretraining import is_measured
from trainers.runs.reading import NUMBER
from trainers.runs.reading import check_sound
from trainers.runs.reading import check_unchanged
from trainers.runs.reading import read_json


def learn(config, workdir, images, start):
    """Learns which layers of a run share a store, or reads what it learned.

    Takes and refuses the same as `search.search`; `start` is the `Allocation`
    of the pretraining. Returns the `Allocation` to train, and the seconds that
    the pretraining's epochs took.
    """
    learned = workdir.search / "stores.json"
    rule = experiment.sharing(config)
    if not is_measured(learned, workdir):
        arguments, backup = begin(config, workdir.search, images, "stores")
        found = learning.learn_stores(
            experiment.members(config),
            start.budget_params,
            sharing=rule,
            seed=config.seed,
            **arguments,
        )
        notes = {
            "stores": list(found.sharing.stores),
            "coefficients": found.coefficients.tolist(),
            "history": backup.history,
        }
        workdir.search.mkdir(exist_ok=True)
        with files.replacing(learned) as unfinished:
            files.write_json(unfinished, notes)
            files.write_checksums([unfinished])
    check_sound([learned])
    history = {"seconds": [NUMBER]}
    notes = read_json(learned, {"coefficients": [[NUMBER]], "history": history})
    rule = learning.with_stores(rule, notes["coefficients"], config.seed)
    told = {name: notes[name] for name in ("coefficients", "history")}
    check_unchanged(learned, {"stores": list(rule.stores), **told})
    allocation = rule.allocate(start.members, start.budget_params)
    return allocation, sum(notes["history"]["seconds"])
