"""Short of memory: the server sheds load instead of growing, and takes it on again."""

from lib.client import Client, RpcError
from lib.fixtures import PASSWORD, new_name
from lib.raw import Raw
from lib.server import wait_for


def refused(server):
    """What a registration is answered: its error, or None."""
    client = Client(server.port, "tcp")
    try:
        client.call("register", user=new_name(), password=PASSWORD)
    except RpcError as error:
        return error
    finally:
        client.close()
    return None


def test_registrations_are_refused_near_the_budget(confabd):
    """Requests that never end hold memory; those who are there go on, and it ends with its cause."""
    server = confabd(config={"memory_budget_mib": 1})
    alice, hoarders = Client(server.port, "tcp"), [Raw(server.port) for _ in range(12)]
    alice.call("register", user="alice", password=PASSWORD)
    for hoarder in hoarders:
        hoarder.call("register", user=new_name(), password=PASSWORD)
        hoarder.write(b'{"id":1,"method":"ping","x":"' + b"y" * 60_000)
    error = wait_for(lambda: refused(server), 20, "a registration to be refused")
    assert error.name == "busy" and error.data["retry"] is True and error.data["retry_after_ms"] > 0
    assert server.metrics().total("confab_shed_total") > 0
    alice.call("ping")
    alice.call("profile.get", users=["alice"])
    for hoarder in hoarders:
        hoarder.close()
    wait_for(lambda: refused(server) is None, 20, "a registration to be taken")
    alice.close()
