"""`server` over both stores, for the modules that import this: one server a module and store.

    from lib.stores import either, server, store
    pytestmark = pytest.mark.usefixtures("server")

store   the configuration of the store under test, for servers of a test's own
"""

import pytest

from .across import ACROSS, serve

STORES = {"across": {}} if ACROSS else {"sqlite": {}, "memory": {"store": "memory:"}}
# For tests of what is kept on disk.
on_disk = pytest.mark.parametrize("store", list(STORES)[:1], indirect=True)


@pytest.fixture(scope="module", params=list(STORES))
def store(request):
    return STORES[request.param]


@pytest.fixture(scope="module")
def either(store, tmp_path_factory):
    server = serve(tmp_path_factory.mktemp("either"), config=store).start()
    yield server
    server.finish()


@pytest.fixture
def server(either):
    yield either
    either.check_log()
