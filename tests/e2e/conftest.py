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
from peers.postgres import Postgres  # noqa: E402
from peers.daemon import Daemon  # noqa: E402
from peers.sipp import Sipp  # noqa: E402
from peers.ear import Ear  # noqa: E402
from peers.rooms import Party, conference, look  # noqa: E402
from peers.talk import hear_each_other  # noqa: E402
from peers.ua import UserAgent  # noqa: E402


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

    def get(own=False, tls=True, start=True, **settings):
        if not own:
            return _providers(**settings)
        provider = Provider(tmp_path_factory.mktemp("provider"), tls=authority if tls else None,
                            **settings)
        owned.append(provider)
        return provider.start() if start else provider

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


# ---- the daemon ----


def pytest_generate_tests(metafunc):
    """Tests marked `core` run on both databases, the others on SQLite."""
    if "engine" in metafunc.fixturenames:
        core = metafunc.definition.get_closest_marker("core")
        metafunc.parametrize("engine", ["sqlite", "postgresql"] if core else ["sqlite"],
                             scope="session")


@pytest.fixture(scope="session")
def _postgres():
    """_postgres(): the worker's server; with own=True one that a test may stop."""
    servers, shared = [], []

    def get(own=False):
        if own or not shared:
            server = Postgres().start()
            servers.append(server)
            if own:
                return server
            shared.append(server)
        return shared[0]

    yield get
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def _make_daemon(tmp_path_factory, authority, _postgres):
    """Starts daemons that live until the worker ends or a test stops them."""
    made = []

    def make(engine="sqlite", postgres=None, env=None, sip=None):
        database = None
        if engine == "postgresql":
            database = (postgres or _postgres()).database()
        daemon = Daemon(tmp_path_factory.mktemp("daemon"), database, authority, env, sip)
        daemon.database = database
        made.append(daemon)
        return daemon.start()

    yield make
    for daemon in made:
        daemon.stop()


@pytest.fixture(scope="session")
def _daemons():
    return {}


@pytest.fixture
def daemon(engine, _make_daemon, _daemons):
    """The worker's daemon on this database; a new one if a test has brought the last one down."""
    running = _daemons.get(engine)
    if running is None or running.process is None or running.process.poll() is not None:
        _daemons[engine] = _make_daemon(engine)
    return _daemons[engine]


@pytest.fixture
def own_daemon(engine, _make_daemon):
    """own_daemon(env=…): a daemon for this test alone, which may stop, kill and restart it."""
    made = []

    def make(**settings):
        made.append(_make_daemon(engine, **settings))
        return made[-1]

    yield make
    for daemon in made:
        daemon.stop()


@pytest.fixture
def tenants(daemon):
    """tenants(): a new tenant's admin."""
    made = []

    def make(at=None, **fields):
        made.append((at or daemon).signup(**fields))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def tenant(tenants):
    return tenants()


@pytest.fixture
def agents():
    """agents(user, password, domain=…): a user agent of the tests, closed after the test."""
    made = []

    def make(user=None, password=None, **settings):
        made.append(UserAgent(net.fresh_address(), user, password, **settings))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def far_ends(provider, agents):
    """far_ends(): someone in the telephone network, who can be called at agent.number."""
    def make(at=None):
        agent = agents(net.token("far"))
        number = f"+4930{net.digits(7)}"
        (at or provider).add_number(number, agent.address)
        agent.number = number
        return agent
    return make


@pytest.fixture
def far_end(far_ends):
    return far_ends()


@pytest.fixture
def desk_phones(agents):
    """desk_phones(client): a registered phone of that user, as a user agent of the tests."""
    def make(client, name="desk", **settings):
        device = client.add_device(name)
        agent = agents(device["username"], device["password"],
                       domain=f"{device['server']}:{device['port']}", **settings)
        response = agent.register()
        assert response.status == 200, response
        agent.device = device
        return agent
    return make


@pytest.fixture
def line(tenant, provider):
    """A registered profile of the tenant's admin."""
    return tenant.registered_profile(provider)


@pytest.fixture
def room():
    """The name of a conference room that nobody has."""
    return net.token("room")


@pytest.fixture
def add(tenant, line, far_ends):
    """add(room, tone): dialled into the room, and answered."""
    def make(room, tone, codecs=("PCMU", "PCMA"), through=None, client=tenant):
        agent = far_ends()
        profile = through or line
        added = conference(client, room, "add", 202, profile_id=profile["id"], to=agent.number)
        assert added["call"]["state"] in ("dialing", "ringing")
        before = {m["id"] for m in added["members"]}
        call = agent.expect_invite(ear=Ear(agent.address, tone=tone, codecs=codecs))
        call.ring()
        call.answer()
        joined = net.until(lambda: [m for m in look(client, room)["members"]
                                    if m["call_id"] == added["call"]["id"]], 5, "a new member")
        assert joined[0]["id"] not in before
        return Party(agent, call, joined[0]["id"], added["call"]["id"])
    return make


@pytest.fixture
def talk(tenant, line, far_end, desk_phones):
    """talk(): the tenant's admin at a desk phone (440 Hz) talks to somebody outside (620 Hz)."""
    def make(**fields):
        phone = desk_phones(tenant)
        events = tenant.events()
        call = tenant.make_call(line, far_end.number, **fields)
        desk = phone.expect_invite(ear=Ear(phone.address, tone=440)).answer()
        remote = far_end.expect_invite(ear=Ear(far_end.address, tone=620)).answer()
        events.wait_call("answered", call["id"])
        hear_each_other(desk.ear, remote.ear, remote.answered_at)
        return call["id"], events, desk, remote
    return make


@pytest.fixture
def colleague(tenant, desk_phones):
    """Another user of the tenant, with a phone."""
    other = tenant.add_user(name="Carla")
    other.phone = desk_phones(other)
    yield other
    other.close()
