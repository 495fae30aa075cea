/* SPDX-License-Identifier: MIT */
/* Operands to parameters, answers and changes to text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "deed.h"
#include "names.h"
#include "sheet.h"
#include "show.h"

static const char *
terminated(struct buf *text)
{
	buf_append(text, "", 1);
	return buf_head(text);
}

static void
test_words(void **state)
{
	static const struct {
		const char *line;
		size_t count;
		const char *second;
	} lines[] = {
	    {"", 0, NULL},
	    {"  \t ", 0, NULL},
	    {"one", 1, NULL},
	    {" a  b ", 2, "b"},
	    {"a \"b c\" d", 3, "b c"},
	    {"a \"b c", 3, "\"b"},
	    {"a \"\"", 2, ""},
	    {"a \"b\"c d", 3, "\"b\"c"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(lines); i++) {
		struct words words;

		words_typed(&words, slice_str(lines[i].line));
		assert_int_equal(words.count, lines[i].count);
		if (lines[i].second != NULL)
			assert_true(slice_eq(words.word[1], slice_str(lines[i].second)));
	}
}

static void
test_too_many_words(void **state)
{
	struct buf line = {0};
	struct words words;

	(void)state;
	for (int i = 0; i < WORDS_MAX; i++)
		buf_put(&line, S("@x "));
	words_typed(&words, buf_slice(&line));
	assert_true(words.count == WORDS_MAX && !words.too_many);
	buf_put(&line, S("y"));
	words_typed(&words, buf_slice(&line));
	assert_true(words.count == WORDS_MAX && words.too_many);
	buf_fini(&line);
}

/* What a typed line asks of the server; "" for a usage, "! ..." for what is wrong with it. */
static void
fills(const char *here, const char *line, const char *due)
{
	struct buf got = {0};
	struct deed_call call;
	struct words words;
	slice rest;
	const struct deed *deed = deed_typed(slice_str(line), &rest);
	const char *why;

	assert_non_null(deed);
	words_typed(&words, rest);
	why = deed_fill(deed, &words, slice_str(here), &call);
	if (why == NULL)
		buf_printf(&got, "%s %.*s}%s", deed->method, SLICE_ARG(buf_slice(&call.params)),
		    call.own_last ? " own" : "");
	else if (why[0] != '\0')
		buf_put(&got, S("!"));
	assert_string_equal(terminated(&got), due);
	buf_fini(&got);
	buf_fini(&call.params);
}

static void
test_typed_operands(void **state)
{
	static const struct {
		const char *here, *line, *due;
	} lines[] = {
	    {"#ops", "/kick @bob", "group.remove {\"cid\":\"#ops\",\"user\":\"bob\"}"},
	    {"#ops", "/ban 42 bob", "group.remove {\"ban\":true,\"cid\":42,\"user\":\"bob\"}"},
	    {"#ops", "/group kick #dev bob", "group.remove {\"cid\":\"#dev\",\"user\":\"bob\"}"},
	    {"@bob", "/kick @bob", "!"},
	    {"", "/kick @bob", "!"},
	    {"#ops", "/kick", ""},
	    {"#ops", "/kick @bob @carol", ""},
	    {"42", "/invite @a @b", "group.invite {\"cid\":42,\"users\":[\"a\",\"b\"]}"},
	    {"#ops", "/join", ""},
	    {"#ops", "/join #dev", "group.join {\"cid\":\"#dev\"}"},
	    {"#ops", "/role @bob admin",
		"group.role {\"cid\":\"#ops\",\"user\":\"bob\",\"role\":\"admin\"}"},
	    {"#ops", "/role @bob king", ""},
	    {"#ops", "/mute @bob 90m",
		"group.mute {\"cid\":\"#ops\",\"user\":\"bob\",\"seconds\":5400}"},
	    {"#ops", "/mute @bob 7d",
		"group.mute {\"cid\":\"#ops\",\"user\":\"bob\",\"seconds\":604800}"},
	    {"#ops", "/mute @bob m", "!"},
	    {"#ops", "/mute @bob 10", "!"},
	    {"#ops", "/topic  42 \"is\"  it ",
		"group.set {\"cid\":\"#ops\",\"topic\":\"42 \\\"is\\\"  it \"}"},
	    {"#ops", "/topic -", "group.set {\"cid\":\"#ops\",\"topic\":\"\"}"},
	    {"#ops", "/set handle #dev", "group.set {\"cid\":\"#ops\",\"handle\":\"dev\"}"},
	    {"#ops", "/set #dev open yes", "group.set {\"cid\":\"#dev\",\"open\":true}"},
	    {"#ops", "/set open perhaps", "!"},
	    {"", "/group create Two words #tw @a --open @b",
		"group.create {\"title\":\"Two "
		"words\",\"handle\":\"tw\",\"open\":true,\"members\":[\"a\","
		"\"b\"]}"},
	    {"", "/group create \"#1 of all\"", ""},
	    {"", "/group create One #a1 more", ""},
	    {"@bob", "/edit new text", "edit {\"cid\":\"@bob\",\"body\":\"new text\"} own"},
	    {"@bob", "/edit 17 new text",
		"edit {\"cid\":\"@bob\",\"seq\":17,\"body\":\"new text\"}"},
	    {"@bob", "/edit", ""},
	    {"@bob", "/delete", "delete {\"cid\":\"@bob\"} own"},
	    {"@bob", "/delete it", ""},
	    {"@bob", "/delete #ops 17", "delete {\"cid\":\"#ops\",\"seq\":17}"},
	    {"", "/who", "who {\"scope\":\"all\"}"},
	    {"", "/who 42", "who {\"scope\":42}"},
	    {"", "/who nobody", ""},
	    {"", "/whois @bob", "profile.get {\"users\":[\"bob\"]}"},
	    {"", "/find @al", "user.find {\"query\":\"al\"}"},
	    {"", "/groups", "group.list {}"},
	    {"", "/add bob  it is me", "contact.add {\"user\":\"bob\",\"note\":\"it is me\"}"},
	    {"", "/status away", "presence.set {\"state\":\"away\"}"},
	    {"", "/find \xff", "!"},
	};

	(void)state;
	for (size_t i = 0; i < LEN(lines); i++)
		fills(lines[i].here, lines[i].line, lines[i].due);
}

/* Every row can be said and has what the code relies on. */
static void
test_the_tables(void **state)
{
	size_t count = 0;

	(void)state;
	for (const struct deed *deed = NULL; (deed = deed_after(deed)) != NULL; count++) {
		char first[40], second[40] = "";
		char *words[] = {first, second};
		const struct deed *found = NULL;
		slice rest;

		assert_true(deed->words != NULL && deed->help != NULL);
		(void)sscanf(deed->words, "%39s %39s", first, second);
		assert_int_equal(deed_named(words, 2, &found), second[0] != '\0' ? 2 : 1);
		assert_ptr_equal(found, deed);
		if (deed->typed != NULL)
			assert_ptr_equal(deed_typed(slice_str(deed->typed), &rest), deed);
		if (deed->list != NULL)
			assert_true(deed->columns != NULL && deed->person != NULL);
	}
	assert_true(count > 30);
}

static void
form_is(const char *form, const char *json, const char *due)
{
	struct buf got = {0};
	struct json object;

	assert_true(json_check(slice_str(json), &object));
	sheet_form(&got, form, object);
	assert_string_equal(terminated(&got), due);
	buf_fini(&got);
}

static void
test_sheets(void **state)
{
	struct json object;
	struct buf got = {0};

	(void)state;
	form_is("@{user}[, {online}][ ({display})]", "{\"user\":\"bob\",\"online\":true}",
	    "@bob, online");
	form_is("@{user}[, {online}]", "{\"user\":\"bob\",\"online\":false}", "@bob");
	form_is("[{a} {b}]{c}", "{\"a\":\"x\",\"c\":7}", "7");
	form_is("{a}", "{\"a\":\"\\u001b[2J\\u202e\"}", "\\x1b[2J\\u202e");
	form_is("{a}", "{\"a\":[\"x\",\"y\",3]}", "x,y");
	form_is("{a|cat}", "{\"a\":1}", "1 cat");
	form_is("{a|cat}", "{\"a\":0}", "0 cats");
	form_is("[{b|cat}]", "{\"a\":0}", "");
	form_is("{a}", "[]", "");
	assert_true(json_check(S("{\"a\":\"x\\ty\",\"b\":null,\"c\":true,\"seen\":5}"), &object));
	sheet_columns(&got, "a b c seen", object);
	assert_string_equal(terminated(&got), "x\\ty\t\tyes\t5\n");
	buf_clear(&got);
	sheet_pairs(&got, "a b c", object);
	assert_string_equal(terminated(&got), "a\tx\\ty\nc\tyes\n");
	buf_fini(&got);
}

static void
change_is(const char *json, const char *due)
{
	struct buf got = {0}, scratch = {0};
	struct client_entry entry;
	struct json value;

	assert_true(json_check(slice_str(json), &value));
	(void)buf_reserve(&scratch, strlen(json) + 1);
	assert_true(inbound_entry(value, &scratch, &entry));
	assert_int_equal(show_change(&got, &entry, S("me")), due[0] != '\0');
	assert_string_equal(terminated(&got), due);
	buf_fini(&scratch);
	buf_fini(&got);
}

#define ENTRY(from, kind, data)                                                                    \
	"{\"cid\":4,\"seq\":9,\"ts\":1,\"to\":\"#ops\",\"re\":3,\"from\":\"" from                  \
	"\",\"kind\":\"" kind "\",\"data\":" data "}"

static void
test_changes(void **state)
{
	(void)state;
	change_is(ENTRY("bob", "text", "{}"), "");
	change_is(ENTRY("bob", "x-note", "{}"), "");
	change_is(ENTRY("bob", "join", "{\"users\":[\"bob\"]}"), "* #ops: bob joined");
	change_is(ENTRY("me", "join", "{\"users\":[\"bob\",\"carol\"]}"),
	    "* #ops: you brought in bob, carol");
	change_is(ENTRY("bob", "join", "{\"users\":[\"me\"]}"), "* #ops: bob brought in you");
	change_is(ENTRY("bob", "create", "{\"users\":[\"bob\"],\"title\":\"A \\u001bB\"}"),
	    "* #ops: bob made the group \"A \\x1bB\"");
	change_is(
	    ENTRY("bob", "remove", "{\"user\":\"me\",\"ban\":true}"), "* #ops: bob banned you");
	change_is(ENTRY("bob", "role", "{\"user\":\"a\",\"role\":\"owner\"}"),
	    "* #ops: bob made a an owner");
	change_is(ENTRY("bob", "role", "{\"user\":\"a\",\"role\":\"member\"}"),
	    "* #ops: bob made a a plain member");
	change_is(
	    ENTRY("bob", "mute", "{\"user\":\"a\",\"until\":0}"), "* #ops: bob let a write again");
	change_is(ENTRY("bob", "set", "{\"topic\":\"\",\"open\":false,\"post\":\"admins\"}"),
	    "* #ops: bob took the topic away, closed the group, let only admins write");
	change_is(ENTRY("bob", "delete", "null"), "* #ops: bob deleted message 3");
	change_is(ENTRY("bob", "leave", "null"), "* #ops: bob left");
	change_is(ENTRY("me", "role", "{\"user\":\"me\",\"role\":\"member\"}"),
	    "* #ops: you made yourself a plain member");
	/* What no server of this version says. */
	change_is(ENTRY("bob", "join", "7"), "* #ops: bob joined");
	change_is(ENTRY("bob", "remove", "{\"user\":[]}"), "* #ops: bob removed ");
	change_is(ENTRY("bob", "set", "{\"colour\":{\"a\":1}}"),
	    "* #ops: bob set the colour to {\"a\":1}");
}

static void
count_one(slice text, void *cookie)
{
	(void)text;
	++*(size_t *)cookie;
}

static void
test_names(void **state)
{
	struct names names = {0};
	size_t count = 0;

	(void)state;
	names_note(&names, '@', S("alice"));
	names_note(&names, '@', S("alice"));
	names_note(&names, '#', S("alpha"));
	names_note(&names, '@', S("no\x1bname"));
	names_note(&names, '@', S(""));
	names_note(&names, '@', SLICE_NONE);
	assert_int_equal(names.by_text.count, 2);
	names_each(&names, S("al"), count_one, &count);
	assert_int_equal(count, 2);
	names_each(&names, S("@al"), count_one, &count);
	assert_int_equal(count, 3);
	for (unsigned i = 0; i < NAMES_MAX + 10; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "n%u", i);
		names_note(&names, '@', slice_str(name));
	}
	assert_int_equal(names.by_text.count, NAMES_MAX);
	names_fini(&names);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_words),
	    cmocka_unit_test(test_too_many_words), cmocka_unit_test(test_typed_operands),
	    cmocka_unit_test(test_the_tables), cmocka_unit_test(test_sheets),
	    cmocka_unit_test(test_changes), cmocka_unit_test(test_names)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
