/* SPDX-License-Identifier: MIT */
/* Messages for scripts: each command makes a client, lets it run until there is an answer, and ends. */
#include "app.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "show.h"

enum { BODY_READ_MAX = 64 * 1024, HISTORY_PAGE = 200 };

/* --- send --- */

struct sending {
	char cmid[CMID_MAX + 1];
	unsigned earlier;
};

static void
on_sent(struct client *client, const struct client_sent *sent, void *cookie)
{
	struct app *app = cookie;
	struct sending *sending = app->own;
	struct buf text = {0};

	(void)client;
	show_text(&text, sent->to, SHOW_ONE_LINE);
	buf_append(&text, "", 1);
	if (!slice_eq(sent->cmid, slice_str(sending->cmid))) {
		sending->earlier++;
		if (sent->error != NULL)
			app_say("a message to %s that was kept from before is refused and dropped",
			    buf_head(&text));
	} else if (sent->error != NULL) {
		app_refused(app, buf_head(&text), sent->error);
	} else {
		buf_clear(&text);
		if (app->opt->json) {
			show_json(&text, sent->raw.text);
			buf_put(&text, S("\n"));
		}
		app_end(app, show_out(&text) ? EXIT_DONE : EXIT_REFUSED);
	}
	buf_fini(&text);
}

/* Everything after the target, with single spaces; or all of the standard input but its last line's
 * end. */
static bool
get_body(struct app *app, struct buf *ret_body)
{
	for (int i = 1; i < app->opt->operand_count; i++) {
		if (i > 1)
			buf_put(ret_body, S(" "));
		buf_put(ret_body, slice_str(app->opt->operands[i]));
	}
	if (app->opt->operand_count > 1)
		return true;
	for (;;) {
		ssize_t n = read(STDIN_FILENO, buf_reserve(ret_body, 4096), 4096);

		if (n < 0 && errno == EINTR && app_signal() == 0)
			continue;
		if (n < 0)
			return false;
		if (n == 0)
			break;
		buf_grew(ret_body, (size_t)n);
		if (buf_len(ret_body) > BODY_READ_MAX)
			return true; /* too long in any case: the refusal says so */
	}
	if (buf_len(ret_body) > 0 && ret_body->bytes[ret_body->end - 1] == '\n')
		ret_body->end--;
	return true;
}

static int
not_taken(int refusal)
{
	static const struct {
		int refusal;
		const char *why;
		int exit_code;
	} reasons[] = {
	    {CLIENT_BAD_TEXT,
		"this is not UTF-8, or has a zero byte, or --data is no JSON object, or --cmid is "
		"not 1 to 64 of A-Z a-z 0-9 _ . : -",
		EXIT_USAGE},
	    {CLIENT_TOO_LARGE, "the message is too long", EXIT_REFUSED},
	    {CLIENT_FULL, "1000 messages wait to be sent; log in or wait until they are",
		EXIT_REFUSED},
	};

	for (size_t i = 0; i < LEN(reasons); i++)
		if (reasons[i].refusal == refusal) {
			app_say("%s", reasons[i].why);
			return reasons[i].exit_code;
		}
	app_say("the message could not be kept, and was not sent: %s", strerror(errno));
	return EXIT_REFUSED;
}

/* Kept on disk before anything is tried; then until its answer. */
static int
send_kept(struct app *app, const struct client_message *message, struct sending *sending)
{
	int rc = client_send(app->client, message, sending->cmid);

	if (rc < 0)
		return not_taken(rc);
	(void)app_run(app);
	if (sending->earlier > 0)
		app_say("%u kept from before went first", sending->earlier);
	if (app->exit_code != EXIT_DONE && client_unsent(app->client) > 0)
		app_say("the message is kept, and goes out with the next confab of %.*s that "
			"reaches the server",
		    SLICE_ARG(vault_user(app->vault)));
	return app->exit_code;
}

int
command_send(struct app *app)
{
	const struct options *opt = app->opt;
	struct client_message message = {.re = opt->re,
	    .cmid = slice_str(opt->cmid),
	    .kind = slice_str(opt->kind),
	    .data = slice_str(opt->data)};
	struct sending sending = {.earlier = 0};
	struct client_hooks hooks;
	struct buf body = {0};
	int exit_code;

	if (opt->operand_count < 1)
		return app_usage("send TARGET [TEXT...]");
	if (!app_target(app, opt->operands[0], &message.to) || !app_open_logged_in(app))
		return app->exit_code;
	if (!get_body(app, &body) || (buf_len(&body) == 0 && opt->data == NULL)) {
		app_say("there is nothing to send: give a text, or write it to the standard input");
		buf_fini(&body);
		return EXIT_USAGE;
	}
	message.body = buf_slice(&body);
	app_hooks(&hooks);
	hooks.sent = on_sent;
	app->own = &sending;
	exit_code = app_make_client(app, false, &hooks) ? send_kept(app, &message, &sending)
							: app->exit_code;
	buf_fini(&body);
	return exit_code;
}

/* --- tail --- */

struct tailing {
	slice target; /* none: everything */
	uint64_t cid; /* of the target; 0: not known yet */
	unsigned long shown;
	bool person; /* somebody looks at it */
	bool told;   /* that the target is not there */
};

static bool
named_so(slice target, char sign, slice name)
{
	return name.len > 0 && target.len == name.len + 1 && target.ptr[0] == sign &&
	       slice_eq(slice_of(target.ptr + 1, name.len), name);
}

static void
on_conversation(struct client *client, const struct client_conversation *told, void *cookie)
{
	struct app *app = cookie;
	struct tailing *tail = app->own;

	(void)client;
	if (slice_given(tail->target) &&
	    (named_so(tail->target, '@', told->peer) || named_so(tail->target, '#', told->handle)))
		tail->cid = told->cid;
}

static bool
wanted(const struct tailing *tail, uint64_t cid)
{
	return !slice_given(tail->target) || tail->cid == cid;
}

static bool
print_entry(struct app *app, const struct client_entry *entry)
{
	struct buf line = {0};
	bool fine;

	if (app->opt->json) {
		show_json(&line, entry->raw.text);
		buf_put(&line, S("\n"));
	} else {
		show_entry(&line, entry, client_user(app->client), true, SHOW_ONE_LINE);
	}
	fine = show_out(&line);
	buf_fini(&line);
	return fine;
}

static bool
on_entry(struct client *client, const struct client_entry *entry, void *cookie)
{
	struct app *app = cookie;
	struct tailing *tail = app->own;

	if (app->done || !wanted(tail, entry->cid))
		return false;
	if (!app->opt->all && slice_eq(entry->from, client_user(client)))
		return true;
	if (!print_entry(app, entry)) {
		app_end(app, EXIT_DONE); /* nobody reads any more */
		return false;
	}
	client_mark(client, entry->cid, tail->person ? entry->seq : 0, entry->seq);
	if (++tail->shown == app->opt->count)
		app_end(app, EXIT_DONE);
	return true;
}

static bool
on_gap(struct client *client, uint64_t cid, uint64_t from, uint64_t to, bool gone, void *cookie)
{
	struct app *app = cookie;

	(void)client;
	if (app->done || !wanted(app->own, cid))
		return false;
	if (gone)
		app_say("conversation %" PRIu64 ": %" PRIu64 " to %" PRIu64
			" can't be had any more",
		    cid, from, to);
	else
		app_say("conversation %" PRIu64 ": %" PRIu64 " to %" PRIu64
			" are left out; to see them: confab history %" PRIu64 " --before %" PRIu64,
		    cid, from, to, cid, to + 1);
	return true;
}

static void
on_reset(struct client *client, void *cookie)
{
	(void)client;
	(void)cookie;
	app_say("the server was set back to an earlier state; some messages may come again");
}

static void
tail_turned(struct app *app)
{
	struct tailing *tail = app->own;

	if (app->done || !client_up_to_date(app->client))
		return;
	if (app->opt->missed) {
		app_end(app, EXIT_DONE);
	} else if (slice_given(tail->target) && tail->cid == 0 && !tail->told) {
		tail->told = true;
		app_say("there is no conversation with %.*s yet; waiting for it",
		    SLICE_ARG(tail->target));
	}
}

int
command_tail(struct app *app)
{
	struct tailing tail = {.person = isatty(STDOUT_FILENO) == 1};
	struct client_hooks hooks;

	if (app->opt->operand_count > 1)
		return app_usage("tail [TARGET] [--json] [--count N] [--missed]");
	if (app->opt->operand_count == 1 && !app_target(app, app->opt->operands[0], &tail.target))
		return app->exit_code;
	if (slice_given(tail.target) && tail.target.ptr[0] >= '0' && tail.target.ptr[0] <= '9')
		tail.cid = strtoull(tail.target.ptr, NULL, 10);
	if (!app_open_logged_in(app))
		return app->exit_code;
	if (vault_lock(app->vault) < 0)
		app_say("another confab of %.*s keeps the place; this one will not remember what "
			"it has shown",
		    SLICE_ARG(vault_user(app->vault)));
	app_hooks(&hooks);
	hooks.conversation = on_conversation;
	hooks.entry = on_entry;
	hooks.gap = on_gap;
	hooks.reset = on_reset;
	app->own = &tail;
	app->keep_trying = true;
	app->turned = tail_turned;
	if (!app_make_client(app, true, &hooks))
		return app->exit_code;
	(void)app_run(app);
	if (app->exit_code == EXIT_DONE)
		app_linger(app);
	return app->exit_code;
}

/* --- history --- */

struct page {
	char **lines; /* owned, newest first; JSON */
	size_t count, capacity, wanted;
	uint64_t before; /* 0: from the newest */
	slice target;
};

static void history_ask(struct app *app);

/* A page comes in rising order; it is put in reverse behind what is there. */
static void
page_take(struct page *page, struct json messages, uint64_t *ret_lowest)
{
	struct json_iter it;
	struct json one;
	size_t start = page->count;

	json_iter_init(&it, messages);
	while (json_next_element(&it, &one)) {
		if (page->count == page->capacity) {
			page->capacity = page->capacity > 0 ? page->capacity * 2 : 64;
			page->lines =
			    mem_resize(page->lines, page->capacity, sizeof(page->lines[0]));
		}
		if (page->count == start)
			*ret_lowest = inbound_uint(one, S("seq"), 0);
		page->lines[page->count++] = mem_dup(one.text);
	}
	for (size_t a = start, b = page->count; a + 1 < b; a++) {
		char *line = page->lines[--b];

		page->lines[b] = page->lines[a];
		page->lines[a] = line;
	}
}

static bool
history_print(struct app *app, const struct page *page)
{
	size_t wanted_count = page->wanted < page->count ? page->wanted : page->count;
	struct buf scratch = {0};
	bool fine = true;

	for (size_t i = wanted_count; fine && i > 0; i--) {
		struct client_entry entry;
		struct json value;

		buf_clear(&scratch);
		(void)buf_reserve(&scratch, strlen(page->lines[i - 1]) + 1);
		if (json_check(slice_str(page->lines[i - 1]), &value) &&
		    inbound_entry(value, &scratch, &entry))
			fine = print_entry(app, &entry);
	}
	buf_fini(&scratch);
	return fine;
}

static void
history_answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct app *app = cookie;
	struct page *page = app->own;
	struct json messages;
	uint64_t lowest = 0;

	(void)client;
	if (answer->error != NULL) {
		if (answer->error->code != 0) /* otherwise asked again when there is a connection */
			app_refused(app, app->opt->operands[0], answer->error);
		return;
	}
	messages = inbound_member(answer->result, S("messages"), JSON_ARRAY);
	if (slice_given(messages.text))
		page_take(page, messages, &lowest);
	page->before = lowest;
	if (page->count < page->wanted && lowest > 1 && inbound_true(answer->result, S("more")))
		history_ask(app);
	else
		app_end(app, history_print(app, page) ? EXIT_DONE : EXIT_REFUSED);
}

static void
history_ask(struct app *app)
{
	struct page *page = app->own;
	size_t missing = page->wanted - page->count;
	struct buf params = {0};

	buf_put(&params, S("{"));
	app_put_target(&params, "cid", page->target);
	json_uint(&params, "limit", missing < HISTORY_PAGE ? missing : HISTORY_PAGE);
	if (page->before != 0)
		json_uint(&params, "before", page->before);
	buf_put(&params, S("}"));
	(void)!client_call(app->client, "history", buf_slice(&params), history_answered, app);
	buf_fini(&params);
}

int
command_history(struct app *app)
{
	struct page page = {.before = app->opt->before,
	    .wanted = app->opt->limit != 0 ? app->opt->limit : HISTORY_DEFAULT};
	struct client_hooks hooks;
	int exit_code;

	if (app->opt->operand_count != 1)
		return app_usage("history TARGET [-n COUNT] [--before SEQ] [--json]");
	if (!app_target(app, app->opt->operands[0], &page.target) || !app_open_logged_in(app))
		return app->exit_code;
	app_hooks(&hooks);
	app->ready = history_ask;
	app->own = &page;
	exit_code = app_run_client(app, false, &hooks);
	for (size_t i = 0; i < page.count; i++)
		mem_free(page.lines[i]);
	mem_free(page.lines);
	return exit_code;
}
