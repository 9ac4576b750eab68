"""Fixtures of the end-to-end tests: daemons, providers, phones, SIPp, tenants.

Expensive ones live as long as a worker (a daemon on each database, the providers); each test works
in a tenant, with users and numbers, of its own, so that tests do not see each other.
"""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from peers import net  # noqa: E402
from peers.phone import Phone  # noqa: E402
from peers.provider import Authority, Provider  # noqa: E402
from peers.sipp import Sipp  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def _providers(tmp_path_factory, authority):
    """Kamailio instances by their settings, kept for the worker's life."""
    kept = {}

    def get(**settings):
        key = tuple(sorted(settings.items()))
        if key not in kept:
            kept[key] = Provider(tmp_path_factory.mktemp("provider"), tls=authority,
                                 **settings).start()
        return kept[key]

    yield get
    for provider in kept.values():
        provider.stop()


@pytest.fixture
def providers(_providers, tmp_path_factory, authority):
    """providers(algorithm=…, …): a shared Kamailio; with own=True one for this test alone."""
    owned = []

    def get(own=False, tls=True, **settings):
        if not own:
            return _providers(**settings)
        provider = Provider(tmp_path_factory.mktemp("provider"), tls=authority if tls else None,
                            **settings)
        owned.append(provider)
        return provider.start()

    yield get
    for provider in owned:
        provider.stop()


@pytest.fixture
def provider(providers):
    return providers(algorithm="MD5")


@pytest.fixture
def phones(tmp_path):
    """phones(user, password, server, …): a baresip, closed after the test."""
    made = []

    def make(*args, **settings):
        made.append(Phone(tmp_path / net.token("phone"), *args, **settings))
        return made[-1]

    yield make
    for phone in made:
        phone.close()


@pytest.fixture
def sipp(tmp_path):
    """sipp(scenario, …): a SIPp, ended after the test."""
    made = []

    def make(*args, **settings):
        made.append(Sipp(tmp_path / net.token("sipp"), *args, **settings))
        return made[-1]

    yield make
    for process in made:
        process.close()
