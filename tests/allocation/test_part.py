"""Parts: by which names they are known, and what they refuse."""

import dataclasses
import json
import re
from dataclasses import dataclass

import keras
import numpy as np
import pytest

from keras_superweights.allocation import Allocation
from keras_superweights.allocation import BankSpec
from keras_superweights.allocation import Geometry
from keras_superweights.allocation import Mixing
from keras_superweights.allocation import SuperWeight
from keras_superweights.allocation import Transform
from keras_superweights.banks import KernelGenerator
from keras_superweights.parts import Average
from keras_superweights.parts import Bilinear
from keras_superweights.parts import Embedded
from keras_superweights.parts import Flat
from keras_superweights.parts import Mask
from keras_superweights.parts import Plain
from keras_superweights.parts import RankOne
from keras_superweights.parts import Region
from keras_superweights.parts import Repeat
from keras_superweights.parts import Standardized
from keras_superweights.parts import WeightedSum
from tests import builders


@dataclass(frozen=True)
class OfTestPartSteps(Geometry):
    """Every other scalar of a kernel, twice."""

    length: int

    @property
    def size(self):
        return self.length

    def covers(self, kernel, geometries, size):
        return 2 * self.length == size

    def assembler(self, kernel, geometries):
        return lambda vectors: keras.ops.reshape(
            keras.ops.repeat(vectors[0], 2), kernel.shape
        )


@dataclass(frozen=True)
class OfTestPartFirst(Mixing):
    """The first template for all kernels, whatever else the bank has."""

    names: tuple[tuple[str, ...], ...] = ()
    mixes = False

    def layer(self, norms, num_templates, **kwargs):
        return None


def shared(geometry, mixing, num_templates=1, transforms=(), kernels=(0, 2)):
    """Kernels of 6 and 12 scalars in each of two members; some share."""
    members = builders.members([(2, 3), (3, 4)], [(2, 3), (3, 4)])
    return Allocation(
        tuple(members),
        (BankSpec("bank", 12),),
        (SuperWeight(0, kernels, geometry, mixing, num_templates),),
        budget_params=1000,
        transforms=transforms,
    )


def test_parts_of_ones_own_are_written_read_and_built():
    allocation = shared(
        OfTestPartSteps(3),
        OfTestPartFirst((("a", "b"), ())),
        num_templates=2,
        transforms=(
            builders.Scale(0.5, kernels=(2,)),
            builders.Scale(3.0, kernels=(0,)),
        ),
    )
    again = Allocation.from_json(allocation.to_json())
    assert again == allocation and hash(again) == hash(allocation)
    assert allocation.num_params == 12 + 6 + 2 * 12
    assert re.search(r"^scales +2 +6$", str(allocation), re.MULTILINE)
    generator = KernelGenerator(again)
    generator.banks[0].store.assign(np.arange(12.0))
    kernels = builders.made(generator)
    expected = np.array([[0, 0, 1], [1, 2, 2]])
    np.testing.assert_array_equal(kernels[0], 3 * expected)
    np.testing.assert_array_equal(kernels[2], expected / 2)


PARTS = [
    (Geometry, Region((3, 3), ((0, 2, 0, 4), (2, 3, 0, 1)))),
    (Geometry, Flat(7)),
    (Mixing, Plain()),
    (Mixing, Average()),
    (Mixing, Embedded((0, 0))),
    (Mixing, WeightedSum((0, 1), ((0, 1), (2, 0)))),
    (Transform, Mask(5, kernels=(3, 1))),
    (Transform, Repeat(5, kernels=(0,))),
    (Transform, Bilinear(5, kernels=(0,))),
    (Transform, RankOne("ones", kernels=(2, 0))),
    (Transform, Standardized(kernels=(2, 0))),
]


@pytest.mark.parametrize(("family", "part"), PARTS, ids=str)
def test_a_part_is_read_by_its_name_and_only_as_one_of_its_family(family, part):
    data = json.loads(json.dumps(part.to_data()))
    assert data["class"] == type(part).__name__
    assert family.from_data(data) == part
    for other in {Geometry, Mixing, Transform} - {family}:
        with pytest.raises(ValueError, match=f"Received: '{data['class']}'"):
            other.from_data(data)


@pytest.mark.parametrize("name", ["Fold", "Part", "Mixing", "", None, 3])
def test_a_class_that_is_not_known_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match="must name a mixing: one of") as error:
        Mixing.from_data({"class": name})
    message = str(error.value)
    for known in ("Average", "Embedded", "Plain", "WeightedSum"):
        assert f"'{known}'" in message
    assert "'Flat'" not in message and "'Mixing'," not in message
    assert message.endswith(f"Received: {name!r}.")


def test_a_second_class_of_a_name_is_refused_unless_it_is_made_again():
    with pytest.raises(
        TypeError, match="name of its own.*elsewhere.Plain, and"
    ):
        type("Plain", (Mixing,), {"__module__": "elsewhere"})
    assert Mixing.from_data({"class": "Plain"}) == Plain()
    # As when a cell of a notebook is run twice.
    scope = {"__module__": "notebook"}
    type("OfTestPartCell", (Mixing,), scope)
    again = type("OfTestPartCell", (Mixing,), scope)
    assert type(Mixing.from_data({"class": "OfTestPartCell"})) is again


@pytest.mark.parametrize(
    ("mixing", "message"),
    [
        *[
            (kind(ties), rf"a row that uses itself.*ties={re}")
            for kind in (WeightedSum, Embedded)
            for ties, re in [
                ((1, 0), r"\(1, 0\)"),
                ((0,), r"\(0,\)"),
                ((0, 2), r"\(0, 2\)"),
                ((-1, 1), r"\(-1, 1\)"),
                ((), r"\(\) for 2 kernels"),
            ]
        ],
        *[
            (WeightedSum((0, 1), choices), "as many templates for each kernel")
            for choices in [
                ((0,), (0, 1)),
                ((0, 0), (0, 1)),
                ((0, 1), (1, 3)),
                ((0, 1), (-1, 0)),
                ((0, 1),),
                ((), ()),
            ]
        ],
        (Plain(), "`num_templates` must be 1"),
    ],
    ids=str,
)
def test_mixings_that_do_not_fit_are_refused(mixing, message):
    with pytest.raises(ValueError, match=f"In SuperWeight 0, .*{message}"):
        shared(Region.of(shared(Flat(6), Plain()).kernels[0]), mixing, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSum((0.0, 1)), r"`ties` must be of type.*\(0.0, 1\)"),
        (lambda: Embedded([0, 1]), r"tuple\[int, ...\]. Received: ties=\[0, 1"),
        (lambda: WeightedSum((0,), ((True,),)), r"`choices`.*\(\(True,\),\)"),
        (lambda: Region((3,), ((0, 2.0, 0, 4),)), "`rectangles`.*2.0"),
        (lambda: Region("3", ((0, 2, 0, 4),)), "`window`.*'3'"),
        (lambda: Flat(True), "must be of type int. Received: length=True"),
        (lambda: Mask(None), "length=None"),
        (lambda: RankOne(kernels=3), "`kernels` must be of type.*kernels=3"),
        (lambda: builders.Scale("a"), "must be of type float.*'a'"),
        (lambda: BankSpec(3, 4), "`name` must be of type str"),
        (lambda: SuperWeight(0, (0,), Flat(1), Flat(1), 1), "`mixing`.*Mixing"),
    ],
)
def test_other_types_are_refused_where_a_part_is_made(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (Mask(6, kernels=(0,)), "length=6 for 'l0' with shape"),
        (Repeat(7, kernels=(0, 2)), "length=7 for 'l0'"),
        (Bilinear(7, kernels=(0,)), "from 1 to 6. Received: length=7"),
        (Mask(5, kernels=(0,)), "must make up its shape"),
        (builders.Scale(1.0, kernels=(1,)), "that SuperWeights serve"),
        (builders.Scale(1.0, kernels=(4,)), "that SuperWeights serve"),
        (builders.Scale(1.0, kernels=(-1,)), "that SuperWeights serve"),
        (builders.Scale(1.0), r"SuperWeights serve.*kernels=\(\)"),
    ],
    ids=str,
)
def test_transforms_that_do_not_fit_are_refused(transform, message):
    good = shared(
        Flat(6), Plain(), transforms=(builders.Scale(1.0, kernels=(0,)),)
    )
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(good, transforms=(transform,))


def test_only_the_first_transform_may_take_another_size():
    mask, scale = Mask(5, kernels=(0, 2)), builders.Scale(2.0, kernels=(0,))
    shared(Flat(5), Plain(), transforms=(mask, scale))
    for chain in [(scale, mask), (mask, mask)]:
        with pytest.raises(ValueError, match="make up its shape"):
            shared(Flat(5), Plain(), transforms=chain)


def test_one_superweight_serves_kernels_of_several_shapes():
    transforms = (Bilinear(10, kernels=(0, 1)),)
    allocation = shared(
        Flat(10), WeightedSum((0, 1)), transforms=transforms, kernels=(0, 1)
    )
    generator = KernelGenerator(allocation)
    kernels = builders.made(generator)
    for index in (0, 1):
        expected = builders.kernel_of(allocation, generator, index)
        np.testing.assert_allclose(kernels[index], expected, atol=1e-5)
    with pytest.raises(ValueError, match="make up its shape"):
        shared(Flat(6), Plain(), kernels=(0, 1))
