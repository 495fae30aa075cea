# SPDX-License-Identifier: MIT
"""The protocol's methods as typed functions, all on one call().

Each is named as in the protocol, with `_` for the point.  confab/_blocking.py is made from this file by
make_blocking.py.
"""

from __future__ import annotations

from typing import Any, List, Mapping, Optional, Sequence, Union

from . import model
from .model import Json, Target, build, build_list

# What may be asked again after a connection was lost: it changes nothing, or the same the second time.
REPEATABLE = frozenset((
    "hello", "ping", "history", "mark", "receipts", "session.list", "profile.get", "profile.set", "user.find",
    "group.info", "group.members", "group.list", "contact.list", "presence.set", "presence.get", "presence.watch",
    "who"))


class Methods:
    """What a client can ask a server, beside login and sending."""

    async def call(self, method: str, params: Optional[Mapping[str, Any]] = None,
                   timeout: Optional[float] = None) -> Json:
        raise NotImplementedError

    # --- Server and session ---

    async def ping(self) -> int:
        """The server's time, in milliseconds since 1970."""
        return int((await self.call("ping"))["ts"])

    async def session_list(self) -> List[model.Session]:
        """The devices on which one is logged in."""
        return build_list(model.Session, await self.call("session.list"), "sessions")

    async def session_revoke(self, session: str) -> None:
        """Ends another device's login."""
        await self.call("session.revoke", {"session": session})

    async def password_change(self, old: str, new: str) -> None:
        """Every other session is revoked."""
        await self.call("password.change", {"old": old, "new": new})

    async def profile_set(self, display: Optional[str] = None, status: Optional[str] = None,
                          accept: Optional[str] = None) -> None:
        """accept: who may begin a conversation, "all" or "contacts"."""
        await self.call("profile.set", {"display": display, "status": status, "accept": accept})

    async def profile_get(self, users: Sequence[str]) -> List[model.Profile]:
        """Of at most 100 users; those that are unknown are left out."""
        return build_list(model.Profile, await self.call("profile.get", {"users": list(users)}), "users")

    async def user_find(self, query: str, limit: Optional[int] = None) -> List[model.Found]:
        """By the beginning of name or display name."""
        return build_list(model.Found, await self.call("user.find", {"query": query, "limit": limit}), "users")

    # --- Messages ---

    async def history(self, cid: Target, before: Optional[int] = None, after: Optional[int] = None,
                      limit: Optional[int] = None) -> model.History:
        """Entries between the two, in rising seq: those next to `after`, otherwise the newest."""
        return build(model.History, await self.call(
            "history", {"cid": cid, "before": before, "after": after, "limit": limit}))

    async def mark(self, cid: Target, read: Optional[int] = None, delivered: Optional[int] = None) -> model.Marks:
        """Marks only grow; `read` draws `delivered` along."""
        return build(model.Marks, await self.call("mark", {"cid": cid, "read": read, "delivered": delivered}))

    async def receipts(self, cid: Target, seq: int, limit: Optional[int] = None,
                       after: Optional[str] = None) -> model.Receipts:
        """How many members a message has reached, and a page of who."""
        return build(model.Receipts, await self.call(
            "receipts", {"cid": cid, "seq": seq, "limit": limit, "after": after}))

    async def signal(self, to: Target, kind: str = "typing", data: Optional[Json] = None) -> None:
        """Something passing, to those who are online now."""
        await self.call("signal", {"to": to, "kind": kind, "data": data})

    # --- Groups ---

    async def group_create(self, title: str, handle: Optional[str] = None, open: Optional[bool] = None,
                           members: Optional[Sequence[str]] = None, history: Optional[bool] = None) -> model.Created:
        """history: later members may read from the start, for good."""
        return build(model.Created, await self.call("group.create", {
            "title": title, "handle": handle, "open": open, "history": history,
            "members": None if members is None else list(members)}))

    async def group_join(self, cid: Target) -> model.Joined:
        return build(model.Joined, await self.call("group.join", {"cid": cid}))

    async def group_leave(self, cid: Target) -> model.Change:
        return build(model.Change, await self.call("group.leave", {"cid": cid}))

    async def group_invite(self, cid: Target, users: Sequence[str]) -> model.Invited:
        return build(model.Invited, await self.call("group.invite", {"cid": cid, "users": list(users)}))

    async def group_remove(self, cid: Target, user: str, ban: Optional[bool] = None) -> model.Change:
        return build(model.Change, await self.call("group.remove", {"cid": cid, "user": user, "ban": ban}))

    async def group_unban(self, cid: Target, user: str) -> None:
        await self.call("group.unban", {"cid": cid, "user": user})

    async def group_role(self, cid: Target, user: str, role: str) -> model.Change:
        """role: "owner", "admin" or "member"."""
        return build(model.Change, await self.call("group.role", {"cid": cid, "user": user, "role": role}))

    async def group_mute(self, cid: Target, user: str, seconds: int) -> model.Change:
        """He reads but may not send; 0 ends it."""
        return build(model.Change, await self.call("group.mute", {"cid": cid, "user": user, "seconds": seconds}))

    async def group_set(self, cid: Target, title: Optional[str] = None, topic: Optional[str] = None,
                        handle: Optional[str] = None, open: Optional[bool] = None, post: Optional[str] = None,
                        invite: Optional[str] = None) -> model.Change:
        """post and invite: "all" or "admins"; "" takes topic or handle away."""
        return build(model.Change, await self.call("group.set", {
            "cid": cid, "title": title, "topic": topic, "handle": handle, "open": open, "post": post,
            "invite": invite}))

    async def group_info(self, cid: Target) -> model.GroupInfo:
        return build(model.GroupInfo, await self.call("group.info", {"cid": cid}))

    async def group_members(self, cid: Target, role: Optional[str] = None, after: Optional[str] = None,
                            limit: Optional[int] = None) -> model.Members:
        """A page, by name; `after` is the last one seen."""
        return build(model.Members, await self.call(
            "group.members", {"cid": cid, "role": role, "after": after, "limit": limit}))

    async def group_list(self, query: Optional[str] = None, after: Optional[int] = None,
                         limit: Optional[int] = None) -> model.Groups:
        """A page of the open groups; `after` is the cid last seen."""
        return build(model.Groups, await self.call("group.list", {"query": query, "after": after, "limit": limit}))

    async def group_dismiss(self, cid: Target) -> model.Change:
        """The group ends for all."""
        return build(model.Change, await self.call("group.dismiss", {"cid": cid}))

    # --- People ---

    async def contact_add(self, user: str, note: Optional[str] = None) -> str:
        """"requested", or "contact" if he had asked too."""
        return str((await self.call("contact.add", {"user": user, "note": note}))["state"])

    async def contact_accept(self, user: str) -> None:
        await self.call("contact.accept", {"user": user})

    async def contact_reject(self, user: str) -> None:
        await self.call("contact.reject", {"user": user})

    async def contact_remove(self, user: str) -> None:
        await self.call("contact.remove", {"user": user})

    async def contact_block(self, user: str) -> None:
        """Ends the contact; nothing passes between the two any more."""
        await self.call("contact.block", {"user": user})

    async def contact_unblock(self, user: str) -> None:
        await self.call("contact.unblock", {"user": user})

    async def contact_list(self, after: Optional[str] = None, limit: Optional[int] = None) -> model.Contacts:
        return build(model.Contacts, await self.call("contact.list", {"after": after, "limit": limit}))

    async def presence_set(self, state: str, text: Optional[str] = None) -> None:
        """state: "online", "away", "busy" or "invisible"; `away` is this client's, the others the user's."""
        await self.call("presence.set", {"state": state, "text": text})

    async def presence_get(self, users: Sequence[str]) -> List[model.Presence]:
        return build_list(model.Presence, await self.call("presence.get", {"users": list(users)}), "users")

    async def presence_watch(self, users: Sequence[str]) -> List[model.Presence]:
        """Tells of their presence from now on, in place of those watched before; contacts always are."""
        return build_list(model.Presence, await self.call("presence.watch", {"users": list(users)}), "users")

    async def who(self, scope: Union[str, int] = "all", after: Optional[str] = None,
                  limit: Optional[int] = None) -> model.Who:
        """Who is online: of "contacts", of "all", or in a group."""
        return build(model.Who, await self.call("who", {"scope": scope, "after": after, "limit": limit}))
