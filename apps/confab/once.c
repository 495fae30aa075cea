/* SPDX-License-Identifier: MIT */
/* A deed for scripts: asked once, a list to its end, and what comes is printed. */
#include "deed.h"

#include <stdio.h>

#include "base/clock.h"
#include "client/cmid.h"
#include "show.h"
#include "sheet.h"

enum { RETRY_MS = 1000, RETRY_MOST_MS = 3600 * 1000 };

struct once {
	const struct deed *deed;
	struct deed_call call;
	char after[VAULT_NAME_MAX + 1]; /* the key of the last row; "" at first */
	unsigned long shown;
	bool headed;
};

static void ask(struct app *app);

/* What it is about, for errors. */
static const char *
about(const struct app *app)
{
	return app->opt->operand_count > 0 ? app->opt->operands[0] : NULL;
}

/* The server was too busy for it: nothing is done yet, and soon it can be. */
static bool
can_wait(struct app *app, const struct client_error *error)
{
	uint64_t delay_ms = error->retry_after_ms > 0 ? error->retry_after_ms : RETRY_MS;
	uint64_t now_ms = clock_mono_ms();

	if (!error->retry || error->code == 0 || slice_eq(error->name, S("unknown_outcome")) ||
	    delay_ms > RETRY_MOST_MS || now_ms + delay_ms >= app->give_up_ms)
		return false;
	app->wake_ms = now_ms + delay_ms;
	return true;
}

static void
turned(struct app *app)
{
	if (app->wake_ms == 0 || clock_mono_ms() < app->wake_ms)
		return;
	app->wake_ms = 0;
	if (client_state(app->client) == CLIENT_READY)
		ask(app);
}

static void
refused(struct app *app, const struct client_error *error)
{
	const struct once *once = app->own;
	struct client_error explained = *error;

	if (error->code == 0 && once->deed->repeatable)
		return; /* asked again when there is a connection */
	if (error->code == 0) {
		app_say("the connection was lost before the answer came: it may be done or not; "
			"look before you try again");
		app_end(app, EXIT_CONNECT);
		return;
	}
	if (can_wait(app, error))
		return;
	deed_explain(once->deed, &explained);
	app_refused(app, about(app), &explained);
}

/* --- Printing --- */

static void
put_row(const struct app *app, struct buf *out, struct json row)
{
	const struct deed *deed = ((const struct once *)app->own)->deed;

	if (app->opt->json)
		sheet_json(out, row);
	else if (deed->columns != NULL && deed->pairs)
		sheet_pairs(out, deed->columns, row);
	else if (deed->columns != NULL)
		sheet_columns(out, deed->columns, row);
}

static void
keep_key(struct once *once, struct json row)
{
	struct json key = json_member(row, slice_str(once->deed->after));
	struct buf scratch = {0};
	slice text = key.text;

	if (!slice_given(text))
		return;
	(void)buf_reserve(&scratch, text.len + 1);
	if (json_type(key) == JSON_STRING)
		text = json_string(key, &scratch);
	(void)snprintf(once->after, sizeof(once->after), "%.*s", SLICE_ARG(text));
	buf_fini(&scratch);
}

/* Returns how many rows there were. */
static unsigned long
put_rows(struct app *app, struct buf *out, struct json rows)
{
	struct once *once = app->own;
	unsigned long before = once->shown;
	struct json_iter it;
	struct json row;

	json_iter_init(&it, rows);
	while (json_next_element(&it, &row)) {
		if (json_type(row) != JSON_OBJECT)
			continue;
		if (app->opt->limit != 0 && once->shown == app->opt->limit)
			break;
		if (!once->deed->whole || !app->opt->json)
			put_row(app, out, row);
		if (once->deed->after != NULL)
			keep_key(once, row);
		once->shown++;
	}
	return once->shown - before;
}

/* A list's head is for people: beside the rows, not among them. */
static void
tell_head(struct app *app, struct json result)
{
	struct once *once = app->own;
	struct buf head = {0};

	if (once->headed || !once->deed->whole || app->opt->json)
		return;
	once->headed = true;
	sheet_form(&head, once->deed->head, result);
	app_say("%.*s", SLICE_ARG(buf_slice(&head)));
	buf_fini(&head);
}

static void
failed(const char *user, const char *why, void *cookie)
{
	(void)cookie;
	app_say("@%s: %s", user, why);
}

/* What follows this answer; the end of the loop is the last. */
static void
go_on(struct app *app, struct json result, unsigned long rows)
{
	struct once *once = app->own;
	const struct deed *deed = once->deed;
	bool all = app->opt->limit != 0 && once->shown >= app->opt->limit;

	if (deed->list != NULL && deed->after != NULL && rows > 0 && !all &&
	    inbound_true(result, S("more"))) {
		ask(app);
	} else if (once->shown == 0 && deed->must) {
		app_say("%s", deed->none);
		app_end(app, EXIT_REFUSED);
	} else if (deed->next != NULL) {
		once->deed = deed->next;
		once->after[0] = '\0';
		once->shown = 0;
		ask(app);
	} else {
		app_end(app, deed_each_failed(result, failed, NULL) > 0 ? EXIT_REFUSED : EXIT_DONE);
	}
}

static void
answered(struct client *client, const struct client_answer *answer, void *cookie)
{
	struct app *app = cookie;
	const struct once *once = app->own;
	struct buf out = {0};
	unsigned long rows = 0;

	(void)client;
	if (app->done)
		return;
	if (answer->error != NULL) {
		refused(app, answer->error);
		return;
	}
	if (once->deed->list != NULL)
		rows = put_rows(app, &out,
		    inbound_member(answer->result, slice_str(once->deed->list), JSON_ARRAY));
	if (once->deed->list == NULL || (once->deed->whole && app->opt->json))
		put_row(app, &out, answer->result);
	tell_head(app, answer->result);
	if (buf_len(&out) == 0 || show_out(&out))
		go_on(app, answer->result, rows);
	else
		app_end(app, EXIT_REFUSED);
	buf_fini(&out);
}

/* --- Asking --- */

static void
put_page(struct app *app, struct buf *params)
{
	const struct once *once = app->own;
	const struct deed *deed = once->deed;
	unsigned long left = app->opt->limit - once->shown;

	if (deed->list == NULL || deed->page == 0)
		return;
	json_uint(params, "limit",
	    app->opt->limit != 0 && left < deed->page ? left : (unsigned long)deed->page);
	if (once->after[0] == '\0')
		return;
	if (strcmp(deed->after, "cid") == 0)
		json_raw(params, "after", slice_str(once->after));
	else
		json_str(params, "after", slice_str(once->after));
}

static void
ask(struct app *app)
{
	const struct once *once = app->own;
	struct buf params = {0};
	int rc;

	app->wake_ms = 0; /* a new connection asks at once */
	buf_put(&params, buf_slice(&once->call.params));
	put_page(app, &params);
	buf_put(&params, S("}"));
	rc = client_call(app->client, once->deed->method, buf_slice(&params), answered, app);
	if (rc == CLIENT_TOO_LARGE) {
		app_say("this is longer than the server takes");
		app_end(app, EXIT_REFUSED);
	}
	/* Otherwise there is no connection now: asked when there is one. */
	buf_fini(&params);
}

/* What the options say of the parameters; NULL, or what is wrong with them. */
static const char *
put_options(const struct options *opt, const struct deed *deed, struct buf *params)
{
	struct cmid_source source = {0};
	char cmid[CMID_MAX + 1];
	struct json data;

	if (deed->args[0].kind == ARG_FOUNDING && opt->open)
		json_bool(params, "open", true);
	if (deed->args[0].kind == ARG_FOUNDING && opt->history)
		json_bool(params, "history", true);
	if (strcmp(deed->method, "edit") != 0)
		return NULL;
	if (opt->data != NULL &&
	    (!json_check(slice_str(opt->data), &data) || json_type(data) != JSON_OBJECT))
		return "--data takes a JSON object";
	if (opt->data != NULL)
		json_raw(params, "data", data.text);
	/* With it the same edit can be asked for again when the connection is lost. */
	cmid_make(&source, clock_real_ms(), cmid);
	json_str(params, "cmid", opt->cmid != NULL ? slice_str(opt->cmid) : slice_str(cmid));
	return NULL;
}

static int
wrong(const struct deed *deed, const char *why)
{
	struct buf usage = {0};

	deed_usage(deed, false, &usage);
	if (why[0] != '\0')
		app_say("%s: %s", deed->words, why);
	else
		app_say("usage: %.*s; confab --help says more", SLICE_ARG(buf_slice(&usage)));
	buf_fini(&usage);
	return EXIT_USAGE;
}

static int
run(struct app *app)
{
	struct client_hooks hooks;

	if (!app_open_logged_in(app))
		return app->exit_code;
	app_hooks(&hooks);
	app->ready = ask;
	app->turned = turned;
	return app_make_client(app, false, &hooks) ? app_run(app) : app->exit_code;
}

int
command_deed(struct app *app, const struct deed *deed)
{
	struct once once = {.deed = deed};
	struct words words;
	const char *why;
	int exit_code;

	words_given(&words, app->opt->operands, app->opt->operand_count);
	why = deed_fill(deed, &words, SLICE_NONE, &once.call);
	if (why == NULL)
		why = put_options(app->opt, deed, &once.call.params);
	app->own = &once;
	exit_code = why == NULL ? run(app) : wrong(deed, why);
	app->own = NULL;
	buf_fini(&once.call.params);
	return exit_code;
}
