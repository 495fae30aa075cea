/* SPDX-License-Identifier: MIT */
#include "gate/decode.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/panic.h"
#include "wire/utf8.h"

/* What is around data where it lies deepest: the frame, `result`, `messages` and the message. */
enum { DEPTH_OF_DATA = 4 };

void
decode_begin(struct decoder *d, size_t frame_len)
{
	buf_clear(&d->scratch);
	/* Method, id and every param are decoded once each, and no decoded form is longer than its
	 * text. */
	(void)buf_reserve(&d->scratch, 2 * frame_len + 1);
	mem_free(d->cursors);
	d->cursors = NULL;
	d->cursor_count = 0;
	d->user_count = 0;
}

void
decoder_fini(struct decoder *d)
{
	buf_fini(&d->scratch);
	mem_free(d->cursors);
	d->cursors = NULL;
}

/* What a parser of one type says of a value. */
enum verdict { FINE, MALFORMED, TOO_LONG, TOO_MANY };

struct check {
	struct decoder *d;
	const struct param *param;
	struct value *v;
	uint64_t max; /* for TOO_LONG and TOO_MANY */
};

static enum verdict
check_string(struct check *c)
{
	if (json_type(c->v->json) != JSON_STRING)
		return MALFORMED;
	c->v->text = json_string(c->v->json, &c->d->scratch);
	/* Only an escape can stand for it. */
	if (!c->v->json.plain && c->v->text.len > 0 &&
	    memchr(c->v->text.ptr, '\0', c->v->text.len) != NULL)
		return MALFORMED;
	return FINE;
}

static enum verdict
check_bytes(struct check *c)
{
	if (check_string(c) != FINE)
		return MALFORMED;
	return c->v->text.len >= c->param->min && c->v->text.len <= c->param->max ? FINE
										  : MALFORMED;
}

static enum verdict
check_text(struct check *c)
{
	if (check_string(c) != FINE)
		return MALFORMED;
	return text_valid(c->v->text, c->param->min, c->param->max) ? FINE : MALFORMED;
}

static enum verdict
check_body(struct check *c)
{
	if (check_string(c) != FINE)
		return MALFORMED;
	c->max = c->d->body;
	return c->v->text.len <= c->max ? FINE : TOO_LONG;
}

/*
 * Whether an object may travel as data: it holds no U+0000, and it is not nested so deep that some
 * frame of the server with it inside would be deeper than a frame may be.  In checked JSON a
 * backslash stands in strings only, and what follows it belongs to it.
 */
static bool
data_can_travel(slice text)
{
	const char *end = text.ptr + text.len;
	bool quoted = false;
	int depth = 0, deepest = 0;

	for (const char *at = text.ptr; at < end; at++) {
		if (*at == '"') {
			quoted = !quoted;
		} else if (*at == '\\') {
			if (end - at >= 6 && memcmp(at, "\\u0000", 6) == 0)
				return false;
			at++;
		} else if (!quoted && (*at == '{' || *at == '[')) {
			if (++depth > deepest)
				deepest = depth;
		} else if (!quoted && (*at == '}' || *at == ']')) {
			depth--;
		}
	}
	return deepest <= JSON_DEPTH_MAX - DEPTH_OF_DATA;
}

static enum verdict
check_data(struct check *c)
{
	size_t start = buf_len(&c->d->scratch);

	if (json_type(c->v->json) != JSON_OBJECT || !data_can_travel(c->v->json.text))
		return MALFORMED;
	json_minify(c->v->json, &c->d->scratch);
	c->v->text = slice_of(buf_head(&c->d->scratch) + start, buf_len(&c->d->scratch) - start);
	c->max = c->param->type == PARAM_DATA ? c->d->data : c->d->signal_data;
	return c->v->text.len <= c->max ? FINE : TOO_LONG;
}

static enum verdict
check_integer(struct check *c)
{
	int64_t n;

	if (json_type(c->v->json) != JSON_NUMBER || !json_integer(c->v->json, &n) ||
	    n < (int64_t)c->param->min)
		return MALFORMED;
	c->v->number = (uint64_t)n;
	if (c->param->type == PARAM_LIMIT && c->v->number > c->param->max)
		c->v->number = c->param->max;
	return FINE;
}

static enum verdict
check_bool(struct check *c)
{
	enum json_type type = json_type(c->v->json);

	c->v->flag = type == JSON_TRUE;
	return type == JSON_TRUE || type == JSON_FALSE ? FINE : MALFORMED;
}

static enum verdict
check_choice(struct check *c)
{
	if (json_type(c->v->json) != JSON_STRING)
		return MALFORMED;
	for (unsigned i = 0; c->param->words[i] != NULL; i++)
		if (json_string_is(c->v->json, slice_str(c->param->words[i]))) {
			c->v->number = i;
			return FINE;
		}
	return MALFORMED;
}

static enum verdict
check_user(struct check *c)
{
	if (check_string(c) != FINE || !name_fold(c->v->text, c->v->folded, &c->v->text))
		return MALFORMED;
	return FINE;
}

static enum verdict
check_handle(struct check *c)
{
	if (check_string(c) != FINE)
		return MALFORMED;
	if (c->v->text.len == 0)
		return c->param->min == 0 ? FINE : MALFORMED;
	return name_fold(c->v->text, c->v->folded, &c->v->text) ? FINE : MALFORMED;
}

static enum verdict
check_users(struct check *c)
{
	struct decoder *d = c->d;
	struct json_iter it;
	struct json element;

	assert(c->param->max <= LIMIT_WATCHED);
	if (json_type(c->v->json) != JSON_ARRAY)
		return MALFORMED;
	json_iter_init(&it, c->v->json);
	while (json_next_element(&it, &element)) {
		size_t i = d->user_count;
		c->max = c->param->max;
		if (i == c->max)
			return TOO_LONG;
		if (json_type(element) != JSON_STRING ||
		    !name_fold(json_string(element, &d->scratch), d->user_names[i], &d->users[i]))
			return MALFORMED;
		d->user_count++;
	}
	return FINE;
}

static enum verdict
check_target(struct check *c)
{
	struct target *t = &c->v->target;
	int64_t n;

	if (json_type(c->v->json) == JSON_NUMBER) {
		if (!json_integer(c->v->json, &n) || n < 1)
			return MALFORMED;
		*t = (struct target){.kind = TARGET_CID, .cid = (uint64_t)n};
		return FINE;
	}
	if (check_string(c) != FINE || c->v->text.len == 0)
		return MALFORMED;
	if (c->v->text.ptr[0] != '@' && c->v->text.ptr[0] != '#')
		return MALFORMED;
	t->kind = c->v->text.ptr[0] == '@' ? TARGET_USER : TARGET_GROUP;
	return name_fold(slice_of(c->v->text.ptr + 1, c->v->text.len - 1), c->v->folded, &t->name)
		   ? FINE
		   : MALFORMED;
}

static enum verdict
check_scope(struct check *c)
{
	if (json_type(c->v->json) == JSON_STRING) {
		if (json_string_is(c->v->json, S("contacts"))) {
			c->v->number = WHO_CONTACTS;
			return FINE;
		}
		if (json_string_is(c->v->json, S("all"))) {
			c->v->number = WHO_ALL;
			return FINE;
		}
	}
	c->v->number = WHO_CONV;
	return check_target(c);
}

static enum verdict
check_kind(struct check *c)
{
	if (check_string(c) != FINE)
		return MALFORMED;
	if (c->param->type == PARAM_MESSAGE_KIND)
		return kind_valid_message(c->v->text) ? FINE : MALFORMED;
	return kind_valid_signal(c->v->text) ? FINE : MALFORMED;
}

/* A conversation's id as a member's name: digits, no leading zero, in 53 bits. */
static bool
parse_cid(slice text, uint64_t *ret_cid)
{
	uint64_t cid = 0;

	if (text.len == 0 || text.len > 16 || text.ptr[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		cid = cid * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	*ret_cid = cid;
	return cid < (uint64_t)1 << 53;
}

/* A cursor and where it stood, so that of two for one conversation the last counts. */
struct placed {
	struct op_cursor cursor;
	size_t place;
};

static int
placed_order(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->cursor.cid != y->cursor.cid)
		return x->cursor.cid < y->cursor.cid ? -1 : 1;
	return x->place < y->place ? -1 : 1;
}

static size_t
count_members(struct json object)
{
	struct json_iter it;
	struct json key, value;
	size_t count = 0;

	json_iter_init(&it, object);
	while (json_next_member(&it, &key, &value))
		count++;
	return count;
}

static bool
gather_cursors(struct check *c, struct placed *all, size_t count)
{
	struct json_iter it;
	struct json key, value;
	int64_t seq;

	json_iter_init(&it, c->v->json);
	for (size_t i = 0; i < count; i++) {
		if (!json_next_member(&it, &key, &value) || json_type(value) != JSON_NUMBER ||
		    !json_integer(value, &seq) || seq < 0 ||
		    !parse_cid(json_string(key, &c->d->scratch), &all[i].cursor.cid))
			return false;
		all[i].cursor.seq = (uint64_t)seq;
		all[i].place = i;
	}
	return true;
}

static void
keep_cursors(struct decoder *d, struct placed *all, size_t count)
{
	qsort(all, count, sizeof(*all), placed_order);
	d->cursors = mem_alloc(count * sizeof(*d->cursors));
	d->cursor_count = 0;
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || all[i].cursor.cid != all[i + 1].cursor.cid)
			d->cursors[d->cursor_count++] = all[i].cursor;
}

/* Bounded by the frame: a member takes six bytes of it at least. */
static enum verdict
check_cursors(struct check *c)
{
	struct placed *all;
	size_t count;
	bool good;

	if (json_type(c->v->json) != JSON_OBJECT)
		return MALFORMED;
	if ((count = count_members(c->v->json)) == 0)
		return FINE;
	all = mem_alloc(count * sizeof(*all));
	if ((good = gather_cursors(c, all, count)))
		keep_cursors(c->d, all, count);
	mem_free(all);
	if (!good)
		return MALFORMED;
	c->max = c->d->conversations;
	return c->d->cursor_count <= c->max ? FINE : TOO_MANY;
}

static enum verdict
check_sync(struct check *c)
{
	enum json_type type = json_type(c->v->json);

	c->v->flag = type == JSON_TRUE || type == JSON_OBJECT;
	return c->v->flag || type == JSON_FALSE ? FINE : MALFORMED;
}

static enum verdict
check_value(struct check *c)
{
	static enum verdict (*const checks[])(struct check *) = {
	    [PARAM_BYTES] = check_bytes,
	    [PARAM_TEXT] = check_text,
	    [PARAM_BODY] = check_body,
	    [PARAM_DATA] = check_data,
	    [PARAM_SIGNAL_DATA] = check_data,
	    [PARAM_INTEGER] = check_integer,
	    [PARAM_LIMIT] = check_integer,
	    [PARAM_BOOL] = check_bool,
	    [PARAM_CHOICE] = check_choice,
	    [PARAM_USER] = check_user,
	    [PARAM_USERS] = check_users,
	    [PARAM_HANDLE] = check_handle,
	    [PARAM_TARGET] = check_target,
	    [PARAM_SCOPE] = check_scope,
	    [PARAM_MESSAGE_KIND] = check_kind,
	    [PARAM_SIGNAL_KIND] = check_kind,
	    [PARAM_CURSORS] = check_cursors,
	    [PARAM_SYNC] = check_sync,
	};

	return checks[c->param->type](c);
}

static struct fault
fault_of(enum verdict verdict, const struct check *c)
{
	switch (verdict) {
	case FINE:
		break;
	case MALFORMED:
		return (struct fault){.err = ERR_INVALID_PARAMS, .param = c->param->name};
	case TOO_LONG:
		return (struct fault){.err = ERR_TOO_LARGE, .param = c->param->name, .max = c->max};
	case TOO_MANY:
		return (struct fault){.err = ERR_LIMIT, .param = c->param->name, .max = c->max};
	}
	return (struct fault){0};
}

/* All but `folded`, which is where names are folded to. */
static void
value_clear(struct value *v, uint32_t preset)
{
	v->given = v->flag = false;
	v->number = preset;
	v->text = SLICE_NONE;
	v->target = (struct target){0};
	v->json = (struct json){0};
}

static bool
is_named(struct json key, const char *name)
{
	const char *at = key.text.ptr + 1, *end = at + key.text.len - 2;

	if (!key.plain)
		return json_string_decodes_to(key, slice_str(name));
	while (at < end && *at == *name) {
		at++;
		name++;
	}
	return at == end && *name == '\0';
}

/* One walk over the members; of several with one name the last stays. */
static void
collect(const struct param *table, struct json params, struct value *values)
{
	struct json_iter it;
	struct json key, value;

	if (!slice_given(params.text))
		return;
	json_iter_init(&it, params);
	while (json_next_member(&it, &key, &value))
		for (size_t i = 0; table[i].name != NULL; i++)
			if (is_named(key, table[i].name)) {
				values[i].json = value;
				break;
			}
}

struct fault
decode_params(
    struct decoder *d, const struct param *table, struct json params, struct value *ret_values)
{
	struct fault first = {0};

	for (size_t i = 0; table[i].name != NULL; i++) {
		assert(i < PARAMS_MAX);
		value_clear(&ret_values[i], table[i].preset);
	}
	collect(table, params, ret_values);
	for (size_t i = 0; table[i].name != NULL; i++) {
		struct value *v = &ret_values[i];
		struct check check = {.d = d, .param = &table[i], .v = v};
		enum verdict verdict = table[i].required ? MALFORMED : FINE;

		if (slice_given(v->json.text) && json_type(v->json) != JSON_NULL) {
			verdict = check_value(&check);
			v->given = verdict == FINE;
		}
		if (!v->given) {
			v->text = SLICE_NONE;
			v->flag = false;
		}
		if (first.err == ERR_OK)
			first = fault_of(verdict, &check);
	}
	return first;
}

struct fault
decode_sync(struct decoder *d, struct json params, struct sync_command *ret_sync)
{
	enum { EPOCH, CURSORS, BACKLOG, PREVIEW, COUNT };
	static const struct param table[] = {
	    [EPOCH] = {"epoch", PARAM_BYTES, .max = LIMIT_EPOCH_BYTES},
	    [CURSORS] = {.name = "cursors", .type = PARAM_CURSORS},
	    [BACKLOG] = {"backlog", PARAM_LIMIT, .max = LIMIT_BACKLOG, .preset = PRESET_BACKLOG},
	    [PREVIEW] = {.name = "preview", .type = PARAM_BOOL},
	    [COUNT] = {0},
	};
	struct value v[COUNT];
	struct fault fault = decode_params(d, table, params, v);

	if (fault.err == ERR_OK && v[CURSORS].given && !v[EPOCH].given)
		fault = (struct fault){.err = ERR_INVALID_PARAMS, .param = "epoch"};
	*ret_sync = (struct sync_command){
	    .given = true,
	    .epoch = v[EPOCH].text,
	    .cursors = d->cursors,
	    .cursor_count = d->cursor_count,
	    .backlog = (uint32_t)v[BACKLOG].number,
	    .preview = v[PREVIEW].flag,
	};
	return fault;
}
