/* SPDX-License-Identifier: MIT */
/*
 * The methods: what each takes, who may call it, what it weighs, and how it becomes a command of
 * the chat.  A row of METHODS is a method; its table of params is <name>_params, its function
 * run_<name>, both in the file of its theme: method_session.c, method_message.c, method_people.c,
 * method_contact.c, method_group.c.
 */
#ifndef GATE_METHOD_H
#define GATE_METHOD_H

#include "gate/session.h"

enum {
	WEIGHT_HEAVY = 16, /* its answer may be a frame of the largest size */
	LIMIT_PAGE = 1000,
	LIMIT_FOUND = 100,
	LIMIT_HISTORY = 200,
	LIMIT_TOKEN_BYTES = 128,
	LIMIT_SESSION_BYTES = 64,
	LIMIT_CLIENT_CHARS = 128,
};

#define ANY_SEQ PARAM_INTEGER, .min = 0
#define SOME_SEQ PARAM_INTEGER, .min = 1
#define PASSWORD PARAM_BYTES, .max = PASSWORD_MAX_BYTES

static inline slice
given_or(const struct value *v, slice otherwise)
{
	return v->given ? v->text : otherwise;
}

/* name on the wire, function run_…, params, who may call it, weight, flags; the frequent ones first
 */
#define METHODS(X)                                                                                 \
	X("send", send, send_params, NEED_SESSION, 1, .keeps_fault = true)                         \
	X("mark", mark, mark_params, NEED_SESSION, 1, )                                            \
	X("edit", edit, edit_params, NEED_SESSION, 1, .keeps_fault = true)                         \
	X("delete", delete, delete_params, NEED_SESSION, 1, .keeps_fault = true)                   \
	X("receipts", receipts, receipts_params, NEED_SESSION, WEIGHT_HEAVY, )                     \
	X("signal", signal, signal_params, NEED_SESSION, 1, )                                      \
	X("ping", ping, no_params, NEED_NOTHING, 0, )                                              \
	X("history", history, history_params, NEED_SESSION, WEIGHT_HEAVY, )                        \
	X("hello", hello, hello_params, NEED_NOTHING, 0, )                                         \
	X("resume", resume, resume_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)        \
	X("login", login, login_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)           \
	X("register", register, register_params, NEED_NO_SESSION, WEIGHT_HEAVY, .blocking = true)  \
	X("sync", sync, no_params, NEED_SESSION, WEIGHT_HEAVY, .blocking = true)                   \
	X("logout", logout, logout_params, NEED_SESSION, 1, .blocking = true, .ends = true)        \
	X("presence.get", presence_get, users_params, NEED_SESSION, 4, )                           \
	X("presence.set", presence_set, presence_set_params, NEED_SESSION, 2, )                    \
	X("presence.watch", presence_watch, presence_watch_params, NEED_SESSION, 8, )              \
	X("profile.get", profile_get, users_params, NEED_SESSION, WEIGHT_HEAVY, )                  \
	X("profile.set", profile_set, profile_set_params, NEED_SESSION, 1, )                       \
	X("user.find", user_find, user_find_params, NEED_SESSION, 4, )                             \
	X("who", who, who_params, NEED_SESSION, WEIGHT_HEAVY, )                                    \
	X("group.create", group_create, group_create_params, NEED_SESSION, 8, )                    \
	X("group.join", group_join, group_params, NEED_SESSION, 2, )                               \
	X("group.leave", group_leave, group_params, NEED_SESSION, 2, )                             \
	X("group.invite", group_invite, group_invite_params, NEED_SESSION, 8, )                    \
	X("group.remove", group_remove, group_remove_params, NEED_SESSION, 2, )                    \
	X("group.unban", group_unban, group_unban_params, NEED_SESSION, 2, )                       \
	X("group.role", group_role, group_role_params, NEED_SESSION, 2, )                          \
	X("group.mute", group_mute, group_mute_params, NEED_SESSION, 2, )                          \
	X("group.set", group_set, group_set_params, NEED_SESSION, 2, )                             \
	X("group.info", group_info, group_params, NEED_SESSION, 4, )                               \
	X("group.members", group_members, group_members_params, NEED_SESSION, WEIGHT_HEAVY, )      \
	X("group.list", group_list, group_list_params, NEED_SESSION, WEIGHT_HEAVY, )               \
	X("group.dismiss", group_dismiss, group_params, NEED_SESSION, 2, )                         \
	X("contact.add", contact_add, contact_add_params, NEED_SESSION, 2, )                       \
	X("contact.accept", contact_accept, contact_params, NEED_SESSION, 2, )                     \
	X("contact.reject", contact_reject, contact_params, NEED_SESSION, 2, )                     \
	X("contact.remove", contact_remove, contact_params, NEED_SESSION, 2, )                     \
	X("contact.block", contact_block, contact_params, NEED_SESSION, 2, )                       \
	X("contact.unblock", contact_unblock, contact_params, NEED_SESSION, 2, )                   \
	X("contact.list", contact_list, contact_list_params, NEED_SESSION, WEIGHT_HEAVY, )         \
	X("account.delete", account_delete, account_delete_params, NEED_SESSION, WEIGHT_HEAVY, )   \
	X("session.list", session_list, no_params, NEED_SESSION, 4, )                              \
	X("session.revoke", session_revoke, session_revoke_params, NEED_SESSION, 1, )              \
	X("password.change", password_change, password_change_params, NEED_SESSION, WEIGHT_HEAVY, )

#define METHOD_AS_DECLARATION(text, run_name, table, ...)                                          \
	extern const struct param table[];                                                         \
	struct fault run_##run_name(struct call *c);
METHODS(METHOD_AS_DECLARATION)

#endif
