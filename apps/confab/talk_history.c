/* SPDX-License-Identifier: MIT */
/* Scrolling back: /history shows the newest page of a conversation, /more the one before. */
#include <stdio.h>

#include "base/panic.h"
#include "line.h"
#include "show.h"
#include "talk.h"
#include "words.h"

static void
put_page(struct talk *talk, struct json messages, struct buf *out)
{
	struct buf scratch = {0};
	struct client_entry entry;
	struct json_iter it;
	struct json one;
	bool first = true;

	json_iter_init(&it, messages);
	while (json_next_element(&it, &one)) {
		buf_clear(&scratch);
		(void)buf_reserve(&scratch, one.text.len + 1);
		if (!inbound_entry(one, &scratch, &entry))
			continue;
		if (first)
			talk->back.before = entry.seq;
		first = false;
		names_note(&talk->names, '@', entry.from);
		show_entry(out, &entry, client_user(talk->app->client), false, SHOW_INDENTED);
	}
	buf_fini(&scratch);
}

static void
answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct talk *talk = cookie;
	bool further = talk->back.before != 0;
	struct json messages;
	struct buf out = {0};

	(void)client;
	talk->back.asked = false;
	if (answer->error != NULL) {
		talk_refused(talk, "/history", answer->error);
		return;
	}
	messages = inbound_member(answer->result, S("messages"), JSON_ARRAY);
	put_page(talk, messages, &out);
	if (buf_len(&out) == 0)
		buf_put(&out,
		    further ? S("-- there is nothing before\n") : S("-- there are no messages\n"));
	else if (inbound_true(answer->result, S("more")))
		buf_put(&out, S("-- /more goes further back\n"));
	talk->back.end = !inbound_true(answer->result, S("more"));
	line_print(buf_slice(&out));
	buf_fini(&out);
}

static void
ask(struct talk *talk)
{
	struct back *back = &talk->back;
	struct buf params = {0};

	buf_put(&params, S("{"));
	app_put_target(&params, "cid", slice_str(back->target));
	json_uint(&params, "limit", back->count);
	if (back->before != 0)
		json_uint(&params, "before", back->before);
	buf_put(&params, S("}"));
	back->asked = talk_asked(
	    talk, client_call(talk->app->client, "history", buf_slice(&params), answered, talk));
	buf_fini(&params);
	talk_hold_pipe(talk);
}

void
talk_history(struct talk *talk, slice rest)
{
	unsigned long count = rest.len > 0 ? 0 : HISTORY_DEFAULT;

	for (size_t i = 0; words_digits(rest) && i < rest.len && rest.len <= 3; i++)
		count = count * 10 + (unsigned long)(rest.ptr[i] - '0');
	if (count == 0 || count > HISTORY_PAGE_MOST) {
		talk_notice(talk, "/history takes a number from 1 to %d", HISTORY_PAGE_MOST);
		return;
	}
	if (talk->target[0] == '\0') {
		talk_notice(talk, "choose whose history first: /to @bob or /to #ops");
		return;
	}
	if (talk->back.asked) {
		talk_notice(talk, "the page before has not come yet");
		return;
	}
	talk->back = (struct back){.count = count};
	(void)snprintf(talk->back.target, sizeof(talk->back.target), "%s", talk->target);
	talk->more = MORE_HISTORY;
	ask(talk);
}

void
talk_history_more(struct talk *talk)
{
	assert(talk->back.count > 0);
	if (talk->back.asked)
		talk_notice(talk, "the page before has not come yet");
	else if (talk->back.end)
		talk_notice(talk, "this was the beginning");
	else
		ask(talk);
}
