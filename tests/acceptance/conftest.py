import shutil

import pytest

from tests.support.command import World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.fixture(scope="session")
def a_model(tmp_path_factory):
    """The model store of one fit, to be copied: a fit in a process of its own takes seconds."""
    world = World(tmp_path_factory.mktemp("fitted"))
    done = world.fit()
    assert done.returncode == 0, done.stderr
    return world.home / "models"


@pytest.fixture
def fitted(world, a_model):
    """A world with a model."""
    shutil.copytree(a_model, world.home / "models")
    return world
