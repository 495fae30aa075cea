"""Fixtures of tests/blackbox and tests/fault.

confabd   a factory of servers: confabd(config={...}, workers=3, ...) -> a Server that is ready
server    one server that all tests of this worker share; users are new in every test
transport "tcp" or "ws": who asks for it (or for dial, user) runs over both
connect   connect(server, "ws") -> a Client, closed and judged at the test's end
dial      dial(server=None) -> the same over the test's transport
user      user("alice") -> a Client of a new user, logged in and synced
people    people("olga", "mia") -> such Clients
"""

import itertools
import os

import pytest

from .across import ACROSS, finish_bell, left_out, serve
from .client import Client
from .mariadb import finish_shared
from .server import CONFABD_RELEASE, STORE, finishing

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


def new_name(base="user"):
    """A user name that no other test of this run uses."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").replace("gw", "")
    return f"{base}-{worker}-{next(_numbers)}"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes longer than some seconds, most of it waiting")
    config.addinivalue_line("markers", "disk: needs the store on disk; a file, that is; left out with CONFAB_TEST_STORE=memory or mysql")
    config.addinivalue_line("markers", "tsan: also run against a server built with ThreadSanitizer")


def pytest_unconfigure(config):
    finish_shared()
    finish_bell()


# What makes all threads of a server work on the same things: `./test tsan` runs these.
TSAN = {
    "test_the_same_cmid_on_three_connections_at_once_gives_one_message", "test_two_devices_of_one_user",
    "test_a_thousand_pipelined_sends_are_answered_in_order", "test_crossing_first_messages_make_one_conversation",
    "test_sync_racing_with_live_traffic", "test_3_with_all_writing_at_once", "test_4_live_entries_come_in_order_under_load",
    "test_marks_go_to_the_peer_and_to_the_own_other_connections", "test_presence_across_shards",
    "test_signals_reach_those_who_are_online", "test_metrics", "test_a_reader_that_lags_a_little_gets_everything",
    "test_sigterm_drains", "test_sigterm_under_load", "test_signals_under_load_do_no_harm", "test_user_add_passwd_disable",
    "test_ten_restarts_under_load", "test_clients_are_told_to_come_back", "test_sigterm_sends_many_away_in_waves",
    "test_sighup_opens_the_log_anew", "test_crossing_requests_make_contacts", "test_accept_and_block_at_once",
    "test_from_two_devices_at_once", "test_what_is_in_flight", "test_two_sessions_of_a_user_share_his_limit", "test_sighup_changes_limits",
    "test_who_guesses_from_many_addresses_does_not_lock_the_owner_out",
}

# What looks at the store's file or starts a server anew: left out where the store is in memory.
DISK = {
    "test_1_what_was_answered_survives_a_kill", "test_200_stopped_readers",
    "test_2_a_repeated_send_gives_the_same_answer_for_ever", "test_a_list_that_does_not_fit_stops_early",
    "test_a_login_too_many_ends_the_session_unused_the_longest", "test_a_long_log_is_paged_and_fed",
    "test_a_token_expires_30_days_after_its_last_use", "test_after_5000_entries_backlog_counts_as_0",
    "test_away_holds_over_a_lost_connection", "test_contacts_outlive_a_restart",
    "test_deleted_stays_deleted_after_kill_9", "test_group_commit", "test_it_outlives_a_restart",
    "test_kill_9_at_a_random_moment_under_load_twenty_times", "test_listeners_lose_nothing_over_a_kill",
    "test_marks_outlive_the_process", "test_metrics", "test_more_than_200_conversations",
    "test_offline_delivery_after_days", "test_random_requests_with_restarts", "test_secrets_are_not_stored_or_logged", "test_tail_outlives_the_server",
    "test_the_same_cmid_on_three_connections_at_once_gives_one_message",
    "test_the_terminal_says_that_it_reconnects", "test_they_outlive_the_process", "test_tokens_outlive_the_process",
    "test_what_was_set_is_kept",
}
DISK_MODULES = {"test_groups_read.py", "test_kill9.py"}


def needs_disk(item):
    return (item.get_closest_marker("disk") or getattr(item, "originalname", item.name) in DISK
            or item.path.name in DISK_MODULES or "store" in item.fixturenames)


def pytest_collection_modifyitems(config, items):
    """Slow ones spread evenly among the others, as xdist deals the list out in pieces."""
    for item in items:
        if getattr(item, "originalname", item.name) in TSAN:
            item.add_marker("tsan")
    if STORE != "sqlite":
        without = left_out if ACROSS else needs_disk
        config.hook.pytest_deselected(items=[item for item in items if without(item)])
        items[:] = [item for item in items if not without(item)]
    slow = [item for item in items if item.get_closest_marker("slow")]
    rest = [item for item in items if not item.get_closest_marker("slow")]
    places = {id(item): (i + 0.5) / len(group) for group in (slow, rest) for i, item in enumerate(group)}
    items.sort(key=lambda item: places[id(item)])


@pytest.fixture(params=["tcp", "ws"])
def transport(request):
    return request.param


@pytest.fixture
def confabd(tmp_path):
    servers = []

    def start(name=None, started=True, release=False, **options):
        if release:
            assert os.access(CONFABD_RELEASE, os.X_OK), \
                f"this test needs a release build at {CONFABD_RELEASE} (or CONFABD_RELEASE)"
            options["binary"] = CONFABD_RELEASE
        server = serve(tmp_path / (name or f"server{len(servers)}"), **options)
        servers.append(server)
        return server.start() if started else server

    yield start
    with finishing(servers):
        pass


class Shared:
    server = None


@pytest.fixture(scope="session")
def _shared(tmp_path_factory):
    yield Shared
    if Shared.server is not None:
        Shared.server.finish()


@pytest.fixture
def server(_shared, tmp_path_factory):
    if Shared.server is None:
        Shared.server = serve(tmp_path_factory.mktemp("shared")).start()
    server = Shared.server
    yield server
    dead = not server.alive
    try:
        server.check_log()
        assert not dead, f"the server ended during the test\n{server.log()[-4000:]}"
    except AssertionError:
        if server.alive:
            server.kill9()
        Shared.server = None
        raise


@pytest.fixture
def connect():
    """connect(server, "ws") -> a Client, closed and judged at the test's end."""
    clients = []

    def open_one(server, transport="tcp", beside=None, **options):
        port = options.pop("port", None) or server.deal(len(clients), beside)
        client = Client(port, transport, **options)
        client.server = server
        clients.append(client)
        return client

    yield open_one
    problems = []
    for client in clients:
        try:
            client.close()
        except AssertionError as error:
            problems.append(error)
    if problems:
        raise problems[0]


@pytest.fixture
def dial(transport, connect, request):
    def open_one(server=None, transport=transport, **options):
        return connect(server or request.getfixturevalue("server"), transport, **options)

    return open_one


@pytest.fixture
def user(dial):
    def register(base="user", sync=True, server=None, client=None, exact=False, **params):
        client = client or dial(server)
        client.login_as(client.call("register", {
            "user": base if exact else new_name(base), "password": PASSWORD, **({} if sync in (None, False) else {"sync": sync}),
            **params}))
        return client

    return register


@pytest.fixture
def people(user):
    return lambda *names, **options: [user(name, **options) for name in names]


@pytest.fixture
def again(dial):
    """again(client, sync=...) -> another connection of the same session."""

    def resume(client, sync=True, server=None, **params):
        fresh = dial(server or client.server, beside=client)
        fresh.login_as(fresh.call("resume", {"token": client.token, **({} if sync in (None, False) else {"sync": sync}), **params}))
        return fresh

    return resume
