/* SPDX-License-Identifier: MIT */
#include "deed.h"

#include "show.h"

/* --- Finding a row --- */

const struct deed *
deed_after(const struct deed *deed)
{
	static const struct deed *const tables[] = {deeds_groups, deeds_people, deeds_messages};

	if (deed == NULL)
		return tables[0];
	deed++;
	for (size_t i = 0; deed->method == NULL && i + 1 < LEN(tables); i++) {
		const struct deed *at = tables[i];

		while (at->method != NULL)
			at++;
		if (at == deed)
			return tables[i + 1];
	}
	return deed->method != NULL ? deed : NULL;
}

int
deed_named(char **words, int count, const struct deed **ret_deed)
{
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;) {
		const char *blank = deed->words != NULL ? strchr(deed->words, ' ') : NULL;
		size_t first = blank != NULL ? (size_t)(blank - deed->words) : 0;
		bool fits;

		if (deed->words == NULL || count < 1)
			continue;
		if (blank == NULL)
			fits = strcmp(words[0], deed->words) == 0;
		else
			fits = count > 1 && strlen(words[0]) == first &&
			       memcmp(words[0], deed->words, first) == 0 &&
			       strcmp(words[1], blank + 1) == 0;
		if (!fits)
			continue;
		*ret_deed = deed;
		return blank != NULL ? 2 : 1;
	}
	return 0;
}

/* Whether the line begins with that, as whole words. */
static bool
begins(slice line, const char *name, slice *ret_rest)
{
	size_t len = name != NULL ? strlen(name) : 0;

	if (len == 0 || !slice_starts(line, slice_str(name)) ||
	    (line.len > len && line.ptr[len] != ' ' && line.ptr[len] != '\t'))
		return false;
	*ret_rest = slice_of(line.ptr + len, line.len - len);
	return true;
}

const struct deed *
deed_typed(slice line, slice *ret_rest)
{
	slice without = slice_of(line.ptr + 1, line.len - 1);

	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL;)
		if (begins(line, deed->typed, ret_rest) || begins(without, deed->words, ret_rest))
			return deed;
	return NULL;
}

bool
deed_takes_text(const struct deed *deed)
{
	for (size_t i = 0; i < DEED_ARGS; i++)
		if (deed->args[i].kind == ARG_TEXT || deed->args[i].kind == ARG_CLEAR ||
		    deed->args[i].kind == ARG_SETTING)
			return true;
	return false;
}

bool
deed_takes_names(const struct deed *deed)
{
	for (size_t i = 0; i < DEED_ARGS; i++)
		switch (deed->args[i].kind) {
		case ARG_GROUP:
		case ARG_THIS:
		case ARG_SCOPE:
		case ARG_USER:
		case ARG_ONE_USER:
		case ARG_USERS:
		case ARG_QUERY:
		case ARG_FOUNDING:
			return true;
		default:
			break;
		}
	return false;
}

/* --- Words for people --- */

/* A person types no quotes around a #. */
static void
put_operands(struct buf *to, const char *operands, bool typed)
{
	for (const char *at = operands; *at != '\0'; at++)
		if (!typed || *at != '\'')
			buf_append(to, at, 1);
}

void
deed_usage(const struct deed *deed, bool typed, struct buf *to)
{
	enum arg_kind first = deed->args[0].kind;

	if (typed && deed->typed != NULL)
		buf_put(to, slice_str(deed->typed));
	else
		buf_printf(to, "%s%s", typed ? "/" : "confab ", deed->words);
	if (first == ARG_THIS)
		buf_put(to, typed ? S(" #GROUP") : S(" '#GROUP'"));
	else if (first == ARG_GROUP)
		buf_put(to, typed ? S(" [#GROUP]") : S(" '#GROUP'"));
	else if (first == ARG_TARGET)
		buf_put(to, typed ? S("") : S(" TARGET"));
	if (deed->operands == NULL)
		return;
	if (typed && strncmp(deed->operands, "SEQ", 3) == 0) {
		buf_put(to, S(" [SEQ]"));
		put_operands(to, deed->operands + 3, true);
	} else {
		buf_put(to, S(" "));
		put_operands(to, deed->operands, typed);
	}
}

/* The names of errors that one user of several can meet, for people. */
static const char *
why_failed(slice name)
{
	static const struct {
		slice name;
		const char *why;
	} whys[] = {
	    {{"not_found", 9}, "there is no user of that name"},
	    {{"already", 7}, "is a member already"},
	    {{"blocked", 7}, "one of you has blocked the other"},
	    {{"forbidden", 9}, "is banned, or lets only contacts add him"},
	    {{"limit", 5}, "the group is full, or is in too many"},
	};

	for (size_t i = 0; i < LEN(whys); i++)
		if (slice_eq(whys[i].name, name))
			return whys[i].why;
	return NULL;
}

size_t
deed_each_failed(
    struct json result, void (*each)(const char *user, const char *why, void *cookie), void *cookie)
{
	struct json failed = inbound_member(result, S("failed"), JSON_OBJECT), key, value;
	struct buf user = {0}, error = {0}, scratch = {0};
	struct json_iter it;
	size_t count = 0;

	if (!slice_given(failed.text))
		return 0;
	(void)buf_reserve(&scratch, failed.text.len + 1);
	json_iter_init(&it, failed);
	while (json_next_member(&it, &key, &value)) {
		slice name =
		    json_type(value) == JSON_STRING ? json_string(value, &scratch) : S("refused");

		buf_clear(&user);
		buf_clear(&error);
		show_text(&user, json_string(key, &scratch), SHOW_ONE_LINE);
		show_text(&error, name, SHOW_ONE_LINE);
		buf_append(&user, "", 1);
		buf_append(&error, "", 1);
		each(buf_head(&user),
		    why_failed(name) != NULL ? why_failed(name) : buf_head(&error), cookie);
		count++;
	}
	buf_fini(&scratch);
	buf_fini(&error);
	buf_fini(&user);
	return count;
}
