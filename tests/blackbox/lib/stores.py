"""`server` over both stores, for the modules that import this: one server a module and store.

    from lib.stores import either, server, store
    pytestmark = pytest.mark.usefixtures("server")

store   the configuration of the store under test, for servers of a test's own
"""

import pytest

from .server import Server

STORES = {"sqlite": {}, "memory": {"store": "memory:"}}
# For tests of what is kept on disk.
on_disk = pytest.mark.parametrize("store", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=list(STORES))
def store(request):
    return STORES[request.param]


@pytest.fixture(scope="module")
def either(store, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("either"), config=store).start()
    yield server
    server.finish()


@pytest.fixture
def server(either):
    yield either
    either.check_log()
