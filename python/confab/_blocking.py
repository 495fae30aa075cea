# SPDX-License-Identifier: MIT
# Made by make_blocking.py from methods.py and client.py; change those.
"""Every method of the asynchronous client, as one that waits."""

from __future__ import annotations

from typing import Any, Coroutine, List, Mapping, Optional, Sequence, TypeVar, Union

from . import client as _client
from . import model
from .model import Json, Message, Sent, Target
from .outbox import Outgoing

T = TypeVar("T")


class BlockingMethods:
    _client: "_client.Client"

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        raise NotImplementedError

    def login(self, user: str, password: str) -> model.Login:
        """For a client that needs a login; retries until the server is there."""
        return self._wait(self._client.login(user, password))

    def register(self, user: str, password: str, display: Optional[str]=None) -> model.Login:
        """Makes a new user and logs in."""
        return self._wait(self._client.register(user, password, display))

    def logout(self, all: Optional[bool]=None) -> None:
        """Ends this device's login, or all of the user's."""
        self._wait(self._client.logout(all))

    def account_delete(self, password: str) -> None:
        """For good. Messages stay, without their author."""
        self._wait(self._client.account_delete(password))

    def call(self, method: str, params: Optional[Mapping[str, Any]]=None, timeout: Optional[float]=None) -> Json:
        """Any method: waits for a connection if there is none, and tries again where that does no harm.

        Parameters that are None are left out.  Disconnected: after the timeout, or when the connection ended
        before the answer to what should not be asked twice.
        """
        return self._wait(self._client.call(method, params, timeout))

    def hello(self) -> model.Hello:
        """What the server is like; also before a login."""
        return self._wait(self._client.hello())

    def post(self, to: Target, body: str='', *, kind: Optional[str]=None, data: Optional[Json]=None,
             re: Optional[int]=None, cmid: Optional[str]=None) -> Outgoing:
        """Says something, and returns when it is kept: it will be sent, once. Await the result for its place."""
        return self._wait(self._client.post(to, body, kind=kind, data=data, re=re, cmid=cmid))

    def send(self, to: Target, body: str='', *, kind: Optional[str]=None, data: Optional[Json]=None,
             re: Optional[int]=None, cmid: Optional[str]=None) -> Sent:
        """Says something, and returns when the server has committed it, however long that takes.

        A caller that stops waiting does not take the message back.
        """
        return self._wait(self._client.send(to, body, kind=kind, data=data, re=re, cmid=cmid))

    def reply(self, message: Message, body: str='', *, kind: Optional[str]=None,
              data: Optional[Json]=None) -> Sent:
        """Answers a message, where it was said."""
        return self._wait(self._client.reply(message, body, kind=kind, data=data))

    def edit(self, cid: Target, seq: int, body: str, *, data: Optional[Json]=None,
             cmid: Optional[str]=None) -> Sent:
        """Another body for one's own message; data that is left out stays."""
        return self._wait(self._client.edit(cid, seq, body, data=data, cmid=cmid))

    def delete(self, cid: Target, seq: int) -> Sent:
        """Erases a message; there is no cmid, since a second time gives the same answer."""
        return self._wait(self._client.delete(cid, seq))

    def ready(self, timeout: Optional[float]=None) -> None:
        """Waits until it is logged in and in step."""
        self._wait(self._client.ready(timeout))

    def flush(self, timeout: Optional[float]=None) -> bool:
        """Waits until all messages are answered; False if some are not in time."""
        return self._wait(self._client.flush(timeout))

    def ping(self) -> int:
        """The server's time, in milliseconds since 1970."""
        return self._wait(self._client.ping())

    def session_list(self) -> List[model.Session]:
        """The devices on which one is logged in."""
        return self._wait(self._client.session_list())

    def session_revoke(self, session: str) -> None:
        """Ends another device's login."""
        self._wait(self._client.session_revoke(session))

    def password_change(self, old: str, new: str) -> None:
        """Every other session is revoked."""
        self._wait(self._client.password_change(old, new))

    def profile_set(self, display: Optional[str]=None, status: Optional[str]=None,
                    accept: Optional[str]=None) -> None:
        """accept: who may begin a conversation, "all" or "contacts"."""
        self._wait(self._client.profile_set(display, status, accept))

    def profile_get(self, users: Sequence[str]) -> List[model.Profile]:
        """Of at most 100 users; those that are unknown are left out."""
        return self._wait(self._client.profile_get(users))

    def user_find(self, query: str, limit: Optional[int]=None) -> List[model.Found]:
        """By the beginning of name or display name."""
        return self._wait(self._client.user_find(query, limit))

    def history(self, cid: Target, before: Optional[int]=None, after: Optional[int]=None,
                limit: Optional[int]=None) -> model.History:
        """Entries between the two, in rising seq: those next to `after`, otherwise the newest."""
        return self._wait(self._client.history(cid, before, after, limit))

    def mark(self, cid: Target, read: Optional[int]=None, delivered: Optional[int]=None) -> model.Marks:
        """Marks only grow; `read` draws `delivered` along."""
        return self._wait(self._client.mark(cid, read, delivered))

    def receipts(self, cid: Target, seq: int, limit: Optional[int]=None,
                 after: Optional[str]=None) -> model.Receipts:
        """How many members a message has reached, and a page of who."""
        return self._wait(self._client.receipts(cid, seq, limit, after))

    def signal(self, to: Target, kind: str='typing', data: Optional[Json]=None) -> None:
        """Something passing, to those who are online now."""
        self._wait(self._client.signal(to, kind, data))

    def group_create(self, title: str, handle: Optional[str]=None, open: Optional[bool]=None,
                     members: Optional[Sequence[str]]=None, history: Optional[bool]=None) -> model.Created:
        """history: later members may read from the start, for good."""
        return self._wait(self._client.group_create(title, handle, open, members, history))

    def group_join(self, cid: Target) -> model.Joined:
        return self._wait(self._client.group_join(cid))

    def group_leave(self, cid: Target) -> model.Change:
        return self._wait(self._client.group_leave(cid))

    def group_invite(self, cid: Target, users: Sequence[str]) -> model.Invited:
        return self._wait(self._client.group_invite(cid, users))

    def group_remove(self, cid: Target, user: str, ban: Optional[bool]=None) -> model.Change:
        return self._wait(self._client.group_remove(cid, user, ban))

    def group_unban(self, cid: Target, user: str) -> None:
        self._wait(self._client.group_unban(cid, user))

    def group_role(self, cid: Target, user: str, role: str) -> model.Change:
        """role: "owner", "admin" or "member"."""
        return self._wait(self._client.group_role(cid, user, role))

    def group_mute(self, cid: Target, user: str, seconds: int) -> model.Change:
        """He reads but may not send; 0 ends it."""
        return self._wait(self._client.group_mute(cid, user, seconds))

    def group_set(self, cid: Target, title: Optional[str]=None, topic: Optional[str]=None,
                  handle: Optional[str]=None, open: Optional[bool]=None, post: Optional[str]=None,
                  invite: Optional[str]=None) -> model.Change:
        """post and invite: "all" or "admins"; "" takes topic or handle away."""
        return self._wait(self._client.group_set(cid, title, topic, handle, open, post, invite))

    def group_info(self, cid: Target) -> model.GroupInfo:
        return self._wait(self._client.group_info(cid))

    def group_members(self, cid: Target, role: Optional[str]=None, after: Optional[str]=None,
                      limit: Optional[int]=None) -> model.Members:
        """A page, by name; `after` is the last one seen."""
        return self._wait(self._client.group_members(cid, role, after, limit))

    def group_list(self, query: Optional[str]=None, after: Optional[int]=None,
                   limit: Optional[int]=None) -> model.Groups:
        """A page of the open groups; `after` is the cid last seen."""
        return self._wait(self._client.group_list(query, after, limit))

    def group_dismiss(self, cid: Target) -> model.Change:
        """The group ends for all."""
        return self._wait(self._client.group_dismiss(cid))

    def contact_add(self, user: str, note: Optional[str]=None) -> str:
        """"requested", or "contact" if he had asked too."""
        return self._wait(self._client.contact_add(user, note))

    def contact_accept(self, user: str) -> None:
        self._wait(self._client.contact_accept(user))

    def contact_reject(self, user: str) -> None:
        self._wait(self._client.contact_reject(user))

    def contact_remove(self, user: str) -> None:
        self._wait(self._client.contact_remove(user))

    def contact_block(self, user: str) -> None:
        """Ends the contact; nothing passes between the two any more."""
        self._wait(self._client.contact_block(user))

    def contact_unblock(self, user: str) -> None:
        self._wait(self._client.contact_unblock(user))

    def contact_list(self, after: Optional[str]=None, limit: Optional[int]=None) -> model.Contacts:
        return self._wait(self._client.contact_list(after, limit))

    def presence_set(self, state: str, text: Optional[str]=None) -> None:
        """state: "online", "away", "busy" or "invisible"; `away` is this client's, the others the user's."""
        self._wait(self._client.presence_set(state, text))

    def presence_get(self, users: Sequence[str]) -> List[model.Presence]:
        return self._wait(self._client.presence_get(users))

    def presence_watch(self, users: Sequence[str]) -> List[model.Presence]:
        """Tells of their presence from now on, in place of those watched before; contacts always are."""
        return self._wait(self._client.presence_watch(users))

    def who(self, scope: Union[str, int]='all', after: Optional[str]=None,
            limit: Optional[int]=None) -> model.Who:
        """Who is online: of "contacts", of "all", or in a group."""
        return self._wait(self._client.who(scope, after, limit))
