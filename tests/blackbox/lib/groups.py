"""Groups, and those who are in them."""


def make(owner, *members, **options):
    """A group of the owner with these members, all of whom have seen its first entry; its cid."""
    options.setdefault("title", "Operations")
    cid = owner.call("group.create", members=[m.name for m in members], **options)["cid"]
    for client in (owner, *members):
        added(client, cid)
    return cid


def added(client, cid, **want):
    """The conversation turned up, and the entry of the joining follows it."""
    view = client.expect("conversation", change="added", cid=cid, **want)
    entry = client.message(cid=cid)
    assert entry["seq"] == view["next"], (view, entry)
    return view


def removed(client, cid, kind):
    """The stream ends with an entry of that kind; gives its seq."""
    assert client.expect("conversation", change="removed") == {"cid": cid, "change": "removed"}
    entry = [m for m in client.taken("message") if m["cid"] == cid][-1]
    assert entry["kind"] == kind, entry
    assert {view["change"] for view in client.taken("conversation")} <= {"added"}
    return entry["seq"]


def quiet(*clients):
    """They have got nothing since that they would have got by now."""
    for client in clients:
        client.call("ping")
        assert not client.seen("message") and not client.seen("conversation"), client.frames[-3:]


def role_of(client, cid):
    return client.call("group.info", cid=cid)["role"]
