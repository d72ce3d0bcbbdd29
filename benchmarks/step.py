"""Step time and memory of a shared ensemble against the plain Keras one.

    python benchmarks/step.py --members 28-10 28-10 --budget 0.6 --batch 8 32

Each model has a process to itself, so that its peak memory can be told; the
processes take steps in turn, so that both see the same machine load, and
figures are ratios of medians. Those of CPU seconds, over all threads, depend
least on what else the machine does. The plain ensemble is one Keras model with
the members' outputs and the same loss for each. Generation alone is timed
against copying as many bytes as it produces, both inside TensorFlow. With
`--optimizers adam ivon` both ensembles are shared, and the first named trains
the one that is called plain.

Writes everything to --json and prints a table.
"""

import argparse
import functools
import json
import multiprocessing
import os
import resource
import statistics
import time
import types


def peak_mib():
    """Returns the peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build(kind, arguments):
    """Returns the compiled model of one kind, `"plain"` or `"shared"`."""
    import keras

    import keras_superweights as ksw

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(arguments.precision)
    image_shape = (arguments.side, arguments.side, 3)

    def member(index):
        name, architecture = f"member_{index}", arguments.members[index]
        if hasattr(keras.applications, architecture):
            return getattr(keras.applications, architecture)(
                weights=None,
                input_shape=image_shape,
                classes=100,
                classifier_activation=None,
                name=name,
            )
        depth, width = map(int, architecture.split("-"))
        return ksw.models.wide_resnet(depth, width, 100, image_shape, name=name)

    indices = range(len(arguments.members))
    builders = [functools.partial(member, index) for index in indices]
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if kind == "shared" or arguments.optimizers:
        options = json.loads(arguments.rule_arguments)
        rule = getattr(ksw.sharing, arguments.rule)(**options)
        if arguments.pretraining:
            rule = types.SimpleNamespace(allocate=rule.allocate_pretraining)
        model = ksw.SuperWeightNetwork(builders, arguments.budget, rule)
    else:
        inputs = keras.Input(image_shape)
        outputs = [builder()(inputs) for builder in builders]
        model = keras.Model(inputs, outputs)
        losses = [losses] * len(outputs)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    if arguments.optimizers:
        name = arguments.optimizers[kind == "shared"]
        needed = {"ess": 50_000} if name == "ivon" else {}
        optimizer = ksw.planning.OPTIMIZERS[name](0.01, **needed)
    model.compile(
        optimizer,
        losses,
        jit_compile=arguments.jit_compile,
    )
    return model


def measure(kind, batch, arguments, pipe):
    """Runs in a process: answers `"step"` with seconds, then with the rest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    import tensorflow as tf

    before = peak_mib()
    model = build(kind, arguments)
    rng = np.random.default_rng(0)
    shape = (batch, arguments.side, arguments.side, 3)
    images = rng.normal(size=shape).astype("float32")
    labels = rng.integers(0, 100, batch)
    if kind == "plain" and not arguments.optimizers:
        labels = [labels] * len(arguments.members)
    for _ in range(2):
        model.train_on_batch(images, labels)
    pipe.send("ready")
    while pipe.recv() == "step":
        start = time.perf_counter(), time.process_time()
        model.train_on_batch(images, labels)
        end = time.perf_counter(), time.process_time()
        pipe.send([b - a for a, b in zip(start, end, strict=True)])
    result = {"peak_mib": peak_mib(), "after_import_mib": before}
    if kind == "shared":
        result["params"] = model.allocation.num_params
        result["generation"] = time_generation(tf, model.generator)
    pipe.send(result)


def time_generation(tf, generator, repeats=15):
    """Times generating all vectors, and copying as many bytes."""
    generate = tf.function(generator.superweights)
    vectors = generate()
    copy = tf.function(lambda: [tf.raw_ops.DeepCopy(x=v) for v in vectors])
    times = {"generate": [], "copy": []}
    for _ in range(repeats):
        for name, function in (("generate", generate), ("copy", copy)):
            start = time.perf_counter()
            tensors = function()
            tensors[-1].numpy()[0, 0]
            times[name].append(time.perf_counter() - start)
    return {
        "bytes": sum(int(tf.size(v)) * v.dtype.size for v in vectors),
        **{name: statistics.median(t) for name, t in times.items()},
    }


def compare(batch, arguments):
    """Alternates steps of both kinds at one batch size; returns figures."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    processes = []
    for kind in ("plain", "shared"):
        pipes[kind], far = context.Pipe()
        processes.append(
            context.Process(target=measure, args=(kind, batch, arguments, far))
        )
        processes[-1].start()
        assert pipes[kind].recv() == "ready"
    seconds = {kind: [] for kind in pipes}
    cpu_seconds = {kind: [] for kind in pipes}
    for _ in range(arguments.steps):
        for kind, pipe in pipes.items():
            pipe.send("step")
            elapsed, used = pipe.recv()
            seconds[kind].append(elapsed)
            cpu_seconds[kind].append(used)
    result = {"batch": batch}
    for kind, pipe in pipes.items():
        pipe.send("stop")
        result[kind] = {"seconds": seconds[kind], **pipe.recv()}
    for process in processes:
        process.join()
    median = {k: statistics.median(t) for k, t in seconds.items()}
    cpu_median = {k: statistics.median(t) for k, t in cpu_seconds.items()}
    plain, shared = result["plain"], result["shared"]
    generation = shared["generation"]
    return result | {
        "median_seconds": median,
        "median_cpu_seconds": cpu_median,
        "time_ratio": median["shared"] / median["plain"],
        "memory_ratio": shared["peak_mib"] / plain["peak_mib"],
        "generation_over_copy": generation["generate"] / generation["copy"],
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--members",
        nargs="+",
        default=["28-10", "28-10"],
        help="depth-width of wide ResNets, or names of keras.applications",
    )
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--budget", type=float, default=0.6)
    parser.add_argument("--rule", default="SuperWeights")
    parser.add_argument("--rule_arguments", default='{"clusters": "position"}')
    parser.add_argument(
        "--pretraining",
        action="store_true",
        help="of Shapeshifter: the network that learns its stores",
    )
    parser.add_argument("--optimizers", nargs=2, help="of both; else SGD")
    parser.add_argument("--precision", default="float32", help="dtype policy")
    parser.add_argument("--jit_compile", action="store_true", help="by XLA")
    parser.add_argument("--batch", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--json", default="step.json")
    arguments = parser.parse_args()
    results = [compare(batch, arguments) for batch in arguments.batch]
    with open(arguments.json, "w") as file:
        json.dump({"arguments": vars(arguments), "results": results}, file)
    print(
        f"{' '.join(arguments.members)}, budget {arguments.budget}, "
        f"{arguments.rule}({arguments.rule_arguments})"
        f"{', pretraining' if arguments.pretraining else ''}, "
        f"{arguments.precision}{', XLA' if arguments.jit_compile else ''}, "
        f"{' and '.join(arguments.optimizers or ['sgd'])}, "
        f"{arguments.steps} steps"
    )
    print("batch  plain s  shared s  ratio  plain MiB  shared MiB  ratio")
    for r in results:
        print(
            f"{r['batch']:5d}  {r['median_seconds']['plain']:7.3f}"
            f"  {r['median_seconds']['shared']:8.3f}  {r['time_ratio']:5.2f}"
            f"  {r['plain']['peak_mib']:9.0f}  {r['shared']['peak_mib']:10.0f}"
            f"  {r['memory_ratio']:5.2f}"
        )
        generation = r["shared"]["generation"]
        cpu = r["median_cpu_seconds"]
        print(
            f"       CPU seconds: {cpu['plain']:.3f} and {cpu['shared']:.3f}, "
            f"ratio {cpu['shared'] / cpu['plain']:.2f}"
        )
        print(
            f"       generation of {generation['bytes'] / 2**20:.0f} MiB: "
            f"{generation['generate']:.3f} s, copying them: "
            f"{generation['copy']:.3f} s, ratio "
            f"{r['generation_over_copy']:.2f}"
        )


if __name__ == "__main__":
    main()
