/* SPDX-License-Identifier: MIT */
/* The operands of a deed, as parameters: each kind of operand takes the words that are its own. */
#include "deed.h"

#include <stdio.h>

#include "wire/utf8.h"

struct filling {
	const struct deed *deed;
	const struct arg *arg;
	const struct words *words;
	size_t at; /* the next word */
	slice here;
	bool typed;
	struct deed_call *call;
};

static const char wrong[] = "";

static slice
next_word(const struct filling *f)
{
	return f->at < f->words->count ? f->words->word[f->at] : SLICE_NONE;
}

/* Whether the next word names the conversation: a number may be what comes behind it instead. */
static bool
names_conversation(const struct filling *f)
{
	slice word = next_word(f);
	enum arg_kind behind = f->arg[1].kind;

	if (!slice_given(word) || !app_is_target(word))
		return false;
	if (!f->typed || f->arg->kind == ARG_THIS)
		return true;
	if (words_digits(word))
		return behind != ARG_SEQ && behind != ARG_TEXT && behind != ARG_CLEAR;
	return word.ptr[0] == '#' || f->arg->kind == ARG_TARGET;
}

static const char *
put_conversation(struct filling *f, slice target)
{
	bool group = f->arg->kind != ARG_TARGET;

	if (group && target.ptr[0] == '@')
		return f->typed ? "this is for groups: choose one by /to #ops, or name it first"
				: "this is for groups: name it as '#HANDLE' or by its number";
	(void)snprintf(f->call->target, sizeof(f->call->target), "%.*s", SLICE_ARG(target));
	app_put_target(&f->call->params, f->arg->name, target);
	return NULL;
}

static const char *
take_conversation(struct filling *f)
{
	if (names_conversation(f))
		return put_conversation(f, f->words->word[f->at++]);
	if (!f->typed || f->arg->kind == ARG_THIS)
		return wrong;
	if (f->here.len == 0)
		return "choose a conversation first: /to #ops or /to @bob";
	return put_conversation(f, f->here);
}

static const char *
take_scope(struct filling *f)
{
	slice word = next_word(f);

	if (slice_given(word))
		f->at++;
	else
		word = S("all");
	if (!app_is_target(word) && !slice_eq(word, S("all")) && !slice_eq(word, S("contacts")))
		return wrong;
	app_put_target(&f->call->params, f->arg->name, word);
	return NULL;
}

/* A name without its sign; none if there is no word. */
static slice
take_name(struct filling *f)
{
	slice word = next_word(f);

	if (!slice_given(word))
		return SLICE_NONE;
	f->at++;
	return slice_starts(word, S("@")) ? slice_of(word.ptr + 1, word.len - 1) : word;
}

static const char *
take_user(struct filling *f)
{
	slice name = take_name(f);

	if (name.len == 0)
		return wrong;
	json_str(&f->call->params, f->arg->name, name);
	return NULL;
}

static const char *
take_users(struct filling *f)
{
	struct buf *params = &f->call->params;
	bool one = f->arg->kind == ARG_ONE_USER;
	slice name = take_name(f);

	if (name.len == 0)
		return wrong;
	json_key(params, f->arg->name);
	buf_put(params, S("["));
	do {
		json_comma(params);
		json_put_string(params, name);
	} while (!one && slice_given(name = take_name(f)));
	buf_put(params, S("]"));
	return f->words->too_many ? "these are too many at a time" : NULL;
}

/* Whether it is one of some words with | between. */
static bool
among(slice word, const char *choices)
{
	for (const char *at = choices;;) {
		size_t len = strcspn(at, "|");

		if (slice_eq(word, slice_of(at, len)))
			return true;
		if (at[len] == '\0')
			return false;
		at += len + 1;
	}
}

static const char *
take_word(struct filling *f)
{
	slice word = next_word(f);

	if (!slice_given(word))
		return f->arg->optional ? NULL : wrong;
	if (!among(word, f->arg->choices))
		return wrong;
	if (!f->typed && slice_eq(word, S("away")))
		return "away is a state of the interactive mode, where it is /status away; "
		       "busy lasts until it is changed";
	f->at++;
	json_str(&f->call->params, f->arg->name, word);
	return NULL;
}

static const char *
take_time(struct filling *f)
{
	static const char how[] = "for how long? Write 30s, 10m, 2h or 7d";
	slice word = next_word(f);
	uint64_t value = 0, unit;
	slice number;

	if (!slice_given(word))
		return wrong;
	f->at++;
	number = slice_of(word.ptr, word.len > 0 ? word.len - 1 : 0);
	if (!words_digits(number) || number.len > 6)
		return how;
	for (size_t i = 0; i < number.len; i++)
		value = value * 10 + (uint64_t)(number.ptr[i] - '0');
	switch (word.ptr[word.len - 1]) {
	case 's':
		unit = 1;
		break;
	case 'm':
		unit = 60;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'd':
		unit = 86400;
		break;
	default:
		return how;
	}
	json_uint(&f->call->params, f->arg->name, value * unit);
	return NULL;
}

static const char *
take_seq(struct filling *f)
{
	slice word = next_word(f);

	if (slice_given(word) && words_digits(word) && word.ptr[0] != '0') {
		f->at++;
		json_raw(&f->call->params, f->arg->name, word);
		return NULL;
	}
	if (!f->typed)
		return wrong;
	f->call->own_last = true;
	return NULL;
}

static const char *
take_text(struct filling *f)
{
	struct buf text = {0};
	const char *why = NULL;
	slice given;

	words_rest(f->words, f->at, &text);
	if (f->arg->kind == ARG_QUERY && buf_len(&text) > 0 &&
	    (buf_head(&text)[0] == '@' || buf_head(&text)[0] == '#'))
		buf_consume(&text, 1);
	given = buf_slice(&text);
	if (f->arg->kind == ARG_CLEAR && slice_eq(given, S("-")))
		json_str(&f->call->params, f->arg->name, S(""));
	else if (given.len > 0)
		json_str(&f->call->params, f->arg->name, given);
	else if (!f->arg->optional)
		why = wrong;
	f->at = f->words->count;
	buf_fini(&text);
	return why;
}

static const char *
put_setting(struct filling *f, const char *key, slice value)
{
	if (slice_eq(value, S("-")))
		value = S("");
	if (strcmp(key, "handle") == 0 && slice_starts(value, S("#")))
		value = slice_of(value.ptr + 1, value.len - 1);
	if (strcmp(key, "open") != 0) {
		json_str(&f->call->params, key, value);
		return NULL;
	}
	if (!slice_eq(value, S("yes")) && !slice_eq(value, S("no")))
		return "open is yes or no";
	json_bool(&f->call->params, key, slice_eq(value, S("yes")));
	return NULL;
}

static const char *
take_setting(struct filling *f)
{
	slice word = next_word(f);
	struct buf value = {0};
	const char *why;
	char key[32];

	if (!slice_given(word) || !among(word, f->arg->choices))
		return wrong;
	(void)snprintf(key, sizeof(key), "%.*s", SLICE_ARG(word));
	words_rest(f->words, f->at + 1, &value);
	f->at = f->words->count;
	why = buf_len(&value) > 0 ? put_setting(f, key, buf_slice(&value)) : wrong;
	buf_fini(&value);
	return why;
}

/* What stands behind the title. */
static const char *
take_founding_rest(struct filling *f)
{
	struct buf *params = &f->call->params;
	struct buf users = {0};
	const char *why = NULL;

	buf_put(&users, S("["));
	for (; why == NULL && f->at < f->words->count; f->at++) {
		slice word = f->words->word[f->at];

		if (word.len > 1 && word.ptr[0] == '@') {
			json_comma(&users);
			json_put_string(&users, slice_of(word.ptr + 1, word.len - 1));
		} else if (word.ptr[0] == '#' && app_is_target(word) &&
			   f->call->target[0] == '\0') {
			json_str(params, "handle", slice_of(word.ptr + 1, word.len - 1));
			(void)snprintf(
			    f->call->target, sizeof(f->call->target), "%.*s", SLICE_ARG(word));
		} else if (slice_eq(word, S("--open")) || slice_eq(word, S("--history"))) {
			json_bool(params, word.ptr[2] == 'o' ? "open" : "history", true);
		} else {
			why = wrong;
		}
	}
	buf_put(&users, S("]"));
	if (buf_len(&users) > 2)
		json_raw(params, "members", buf_slice(&users));
	buf_fini(&users);
	return f->words->too_many ? "these are too many members: add the rest by invite" : why;
}

static const char *
take_founding(struct filling *f)
{
	struct buf title = {0};

	for (; f->at < f->words->count; f->at++) {
		slice word = f->words->word[f->at];

		if (word.len == 0 || strchr("@#", word.ptr[0]) != NULL ||
		    slice_starts(word, S("--")))
			break;
		if (buf_len(&title) > 0)
			buf_put(&title, S(" "));
		buf_put(&title, word);
	}
	if (buf_len(&title) > 0)
		json_str(&f->call->params, f->arg->name, buf_slice(&title));
	else
		f->at = SIZE_MAX;
	buf_fini(&title);
	return f->at == SIZE_MAX ? wrong : take_founding_rest(f);
}

static const char *
take(struct filling *f)
{
	switch (f->arg->kind) {
	case ARG_TARGET:
	case ARG_GROUP:
	case ARG_THIS:
		return take_conversation(f);
	case ARG_SCOPE:
		return take_scope(f);
	case ARG_USER:
		return take_user(f);
	case ARG_ONE_USER:
	case ARG_USERS:
		return take_users(f);
	case ARG_WORD:
		return take_word(f);
	case ARG_TIME:
		return take_time(f);
	case ARG_SEQ:
		return take_seq(f);
	case ARG_TEXT:
	case ARG_QUERY:
	case ARG_CLEAR:
		return take_text(f);
	case ARG_SETTING:
		return take_setting(f);
	case ARG_FOUNDING:
		return take_founding(f);
	case ARG_NONE:
		break;
	}
	return NULL;
}

static bool
utf8_words(const struct words *words)
{
	if (words->end != NULL && words->count > 0)
		return utf8_valid(
		    slice_of(words->start[0], (size_t)(words->end - words->start[0])));
	for (size_t i = 0; i < words->count; i++)
		if (!utf8_valid(words->word[i]))
			return false;
	return true;
}

const char *
deed_fill(const struct deed *deed, const struct words *words, slice here, struct deed_call *ret)
{
	struct filling f = {
	    .deed = deed, .words = words, .here = here, .typed = slice_given(here), .call = ret};
	const char *why = NULL;

	*ret = (struct deed_call){.own_last = false};
	buf_put(&ret->params, S("{"));
	if (!utf8_words(words))
		return "this is not UTF-8";
	if (deed->fixed != NULL)
		buf_put(&ret->params, slice_str(deed->fixed));
	for (size_t i = 0; why == NULL && i < DEED_ARGS; i++) {
		f.arg = &deed->args[i];
		why = take(&f);
	}
	return why == NULL && f.at < words->count ? wrong : why;
}
