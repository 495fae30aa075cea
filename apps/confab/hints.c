/* SPDX-License-Identifier: MIT */
/* What a refusal means for what was asked, and what can be done: more than the server can know. */
#include "deed.h"

#define NO_MESSAGE "there is no such message here; history shows their numbers"
#define NO_GROUP "there is no such group, or no such member, that you can see"

static const struct {
	const char *method; /* or the beginning of several, with the dot */
	slice error;
	const char *hint;
} hints[] = {
    {"group.create", {"name_taken", 10}, "the handle is taken or reserved; choose another"},
    {"group.set", {"name_taken", 10}, "the handle is taken or reserved; choose another"},
    {"group.join", {"not_found", 9},
	"there is no open group of that name; into a closed one a member invites"},
    {"group.join", {"forbidden", 9}, "you are banned there; an admin can end that"},
    {"group.join", {"already", 7}, "you are a member already"},
    {"group.leave", {"forbidden", 9},
	"you are its last owner: hand it over first (role @USER owner), or dismiss it"},
    {"group.invite", {"forbidden", 9}, "you may not invite here; an admin can"},
    {"group.remove", {"forbidden", 9}, "this is for admins, and for lower roles than one's own"},
    {"group.remove", {"already", 7}, "he is banned already"},
    {"group.mute", {"forbidden", 9}, "this is for admins, and for lower roles than one's own"},
    {"group.unban", {"forbidden", 9}, "this is for admins"},
    {"group.unban", {"not_found", 9},
	"he is not banned, or there is no such group that you can see"},
    {"group.role", {"forbidden", 9}, "this is for owners, and one owner must remain"},
    {"group.set", {"forbidden", 9}, "this is for admins; handle and open for owners"},
    {"group.dismiss", {"forbidden", 9}, "this is for owners"},
    {"group.members", {"forbidden", 9}, "who is banned is told to admins"},
    {"group.", {"not_found", 9}, NO_GROUP},
    {"group.", {"not_member", 10}, "you are no member; an open group can be joined (join)"},
    {"edit", {"forbidden", 9}, "only its author can edit a message, while he may write here"},
    {"edit", {"not_found", 9}, NO_MESSAGE "; a deleted one can't be edited"},
    {"delete", {"forbidden", 9}, "only its author or an admin of the group can delete a message"},
    {"delete", {"not_found", 9}, NO_MESSAGE},
    {"receipts", {"not_found", 9}, NO_MESSAGE},
    {"contact.add", {"not_found", 9}, "there is no user of that name; find looks for one"},
    {"contact.add", {"already", 7}, "you have asked already, or are contacts"},
    {"contact.accept", {"not_found", 9}, "he has not asked you; contacts lists who has"},
    {"contact.reject", {"not_found", 9}, "he has not asked you; contacts lists who has"},
    {"contact.remove", {"not_found", 9}, "he is no contact of yours"},
    {"contact.unblock", {"not_found", 9}, "he is not blocked"},
    {"session.revoke", {"not_found", 9}, "you have no such session; sessions lists them"},
    {"who", {"forbidden", 9}, "this server keeps that to itself; ask for contacts or a group"},
};

void
deed_explain(const struct deed *deed, struct client_error *error)
{
	for (size_t i = 0; i < LEN(hints); i++) {
		const char *method = hints[i].method;
		size_t len = strlen(method);
		bool fits = method[len - 1] == '.' ? strncmp(deed->method, method, len) == 0
						   : strcmp(deed->method, method) == 0;

		if (fits && slice_eq(error->name, hints[i].error)) {
			error->message = slice_str(hints[i].hint);
			error->param = SLICE_NONE;
			return;
		}
	}
}
