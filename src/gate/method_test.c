/* SPDX-License-Identifier: MIT */
/* Every method: from a line on the wire to what the chat is told, or to the error that comes back.
 */
#include "gate/gate_fake.h"

#include "base/mem.h"

static int
begin(void **state)
{
	(void)state;
	world_begin();
	dial_logged_in();
	return 0;
}

static int
end(void **state)
{
	(void)state;
	world_end();
	return 0;
}

/* told: what the chat is told; or "!name param max", an error at once. */
struct row {
	const char *method, *params, *told;
};

static void
expect_refusal(const char *text)
{
	char name[32], param[32] = "";
	unsigned long max = 0;

	assert_true(sscanf(text, "!%31s %31s %lu", name, param, &max) >= 1);
	expect_error("7", name, strcmp(param, "-") == 0 ? NULL : param, max);
}

static void
run_row(const struct row *row)
{
	struct buf line = {0};

	buf_printf(&line, "{\"id\":7,\"method\":\"%s\",\"params\":%s}\n", row->method, row->params);
	feed(buf_slice(&line));
	buf_fini(&line);
	if (row->told[0] == '!') {
		expect_told("");
		expect_refusal(row->told);
	} else {
		expect_silence();
		expect_told(row->told);
		answer_empty();
		expect_result("7");
	}
	expect_silence();
}

static void
run_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++)
		run_row(&rows[i]);
}

#define RUN(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))
#define X64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define U64 "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü"

static void
send_becomes_a_command(void **state)
{
	static const struct row rows[] = {
	    {"send", "{\"to\":\"@Bob\",\"body\":\"hi\"}", "send to=@bob kind=text body=hi"},
	    {"send", "{\"to\":\"#Ops.1\",\"body\":\"hi\"}", "send to=#ops.1 kind=text body=hi"},
	    {"send", "{\"to\":9007199254740991,\"body\":\"hi\"}",
		"send to=9007199254740991 kind=text body=hi"},
	    {"send",
		"{\"to\":1,\"body\":\"a\\u00e9\\\"\",\"cmid\":\"c\",\"kind\":\"x-a\",\"data\":{ "
		"\"k\" : [ 1 , 2 ] },"
		"\"re\":3,\"more\":0}",
		"send to=1 kind=x-a body=aé\" data={\"k\":[1,2]} cmid=c re=3"},
	    {"send", "{\"to\":1,\"body\":\"\",\"data\":{}}", "send to=1 kind=text body= data={}"},
	    {"send",
		"{\"to\":1,\"body\":\"x\",\"cmid\":null,\"kind\":null,\"data\":null,\"re\":null}",
		"send to=1 kind=text body=x"},
	    {"send", "{\"to\":2,\"body\":7,\"to\":1,\"body\":\"x\"}", "send to=1 kind=text body=x"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"cmid\":\"" X64 "\"}",
		"send to=1 kind=text body=x cmid=" X64},
	};

	(void)state;
	RUN(rows);
}

static void
a_send_that_says_where_to_is_refused_in_its_place(void **state)
{
	static const struct row rows[] = {
	    {"send", "{\"to\":1}", "send to=1 kind=text body= refused=invalid_params,body,0"},
	    {"send", "{\"to\":1,\"body\":\"\"}",
		"send to=1 kind=text body= refused=invalid_params,body,0"},
	    {"send", "{\"to\":1,\"body\":7,\"cmid\":\"c\"}",
		"send to=1 kind=text body= cmid=c refused=invalid_params,body,0"},
	    {"send", "{\"to\":1,\"body\":\"a\\u0000\"}",
		"send to=1 kind=text body= refused=invalid_params,body,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"kind\":\"edit\"}",
		"send to=1 kind=text body=x refused=invalid_params,kind,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"cmid\":\"\"}",
		"send to=1 kind=text body=x refused=invalid_params,cmid,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"cmid\":\"x" X64 "\"}",
		"send to=1 kind=text body=x refused=invalid_params,cmid,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"data\":[]}",
		"send to=1 kind=text body=x refused=invalid_params,data,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"data\":{\"a\":\"\\u0000\"}}",
		"send to=1 kind=text body=x refused=invalid_params,data,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"data\":{\"a\":\"\\\\u0000\"}}",
		"send to=1 kind=text body=x data={\"a\":\"\\\\u0000\"}"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"re\":0}",
		"send to=1 kind=text body=x refused=invalid_params,re,0"},
	    {"send", "{\"to\":1,\"body\":\"x\",\"re\":1.0}",
		"send to=1 kind=text body=x refused=invalid_params,re,0"},
	    {"send", "{}", "!invalid_params to"},
	    {"send", "{\"to\":0,\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":-1,\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":1e3,\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":9007199254740992,\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":\"\",\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":\"@\",\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":\"bob\",\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":\"@b\\u0000b\",\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":[1],\"body\":\"x\"}", "!invalid_params to"},
	    {"send", "{\"to\":true,\"body\":7}", "!invalid_params to"},
	};

	(void)state;
	RUN(rows);
}

/* A send whose body has so many bytes, or whose data has. */
static void
send_sized(size_t body, size_t data)
{
	struct buf line = {0};

	buf_put(&line, S("{\"id\":7,\"method\":\"send\",\"params\":{\"to\":1,\"body\":\""));
	memset(buf_reserve(&line, body), 'b', body);
	buf_grew(&line, body);
	if (data > 0) {
		buf_put(&line, S("\",\"data\": { \"d\" : \""));
		memset(buf_reserve(&line, data - 8), 'd', data - 8);
		buf_grew(&line, data - 8);
		buf_put(&line, S("\" } } }\n"));
	} else {
		buf_put(&line, S("\"}}\n"));
	}
	feed(buf_slice(&line));
	buf_fini(&line);
}

static void
edits_and_deletions_keep_their_places(void **state)
{
	static const struct row rows[] = {
	    {"edit", "{\"cid\":1,\"seq\":2,\"body\":\"hi\"}", "edit cid=1 seq=2 body=hi"},
	    {"edit",
		"{\"cid\":\"@Bob\",\"seq\":2,\"body\":\"\",\"data\":{ \"a\" : 1 "
		"},\"cmid\":\"c\",\"re\":7}",
		"edit cid=@bob seq=2 body= data={\"a\":1} cmid=c"},
	    {"edit", "{\"cid\":\"#ops\",\"seq\":2,\"body\":\"\"}", "edit cid=#ops seq=2 body="},
	    {"edit", "{\"cid\":1,\"seq\":2}",
		"edit cid=1 seq=2 body= refused=invalid_params,body,0"},
	    {"edit", "{\"cid\":1,\"seq\":0,\"body\":\"x\"}",
		"edit cid=1 seq=0 body=x refused=invalid_params,seq,0"},
	    {"edit", "{\"cid\":1,\"body\":\"x\",\"cmid\":\"c\"}",
		"edit cid=1 seq=0 body=x cmid=c refused=invalid_params,seq,0"},
	    {"edit", "{\"cid\":1,\"seq\":2,\"body\":\"x\",\"data\":1}",
		"edit cid=1 seq=2 body=x refused=invalid_params,data,0"},
	    {"edit", "{\"cid\":1,\"seq\":2,\"body\":\"x\",\"cmid\":\"\"}",
		"edit cid=1 seq=2 body=x refused=invalid_params,cmid,0"},
	    {"edit", "{\"seq\":2,\"body\":\"x\"}", "!invalid_params cid"},
	    {"delete", "{\"cid\":1,\"seq\":2}", "delete cid=1 seq=2"},
	    {"delete", "{\"cid\":\"@bob\",\"seq\":2,\"body\":\"x\"}", "delete cid=@bob seq=2"},
	    {"delete", "{\"cid\":1}", "delete cid=1 seq=0 refused=invalid_params,seq,0"},
	    {"delete", "{\"cid\":1,\"seq\":\"2\"}",
		"delete cid=1 seq=0 refused=invalid_params,seq,0"},
	    {"delete", "{\"cid\":\"bob\",\"seq\":2}", "!invalid_params cid"},
	    {"receipts", "{\"cid\":1,\"seq\":2}", "receipts cid=1 seq=2 limit=100"},
	    {"receipts", "{\"cid\":\"#ops\",\"seq\":2,\"limit\":5000,\"after\":\"Ann\"}",
		"receipts cid=#ops seq=2 limit=1000 after=ann"},
	    {"receipts", "{\"cid\":1}", "!invalid_params seq"},
	    {"receipts", "{\"cid\":1,\"seq\":0}", "!invalid_params seq"},
	    {"receipts", "{\"cid\":1,\"seq\":1,\"limit\":0}", "!invalid_params limit"},
	    {"receipts", "{\"cid\":1,\"seq\":1,\"after\":\"-\"}", "!invalid_params after"},
	    {"receipts", "{\"seq\":1}", "!invalid_params cid"},
	};

	(void)state;
	RUN(rows);
}

static void
body_and_data_have_their_limits(void **state)
{
	static const struct {
		size_t body, data;
		const char *refused;
	} table[] = {
	    {16384, 0, NULL},
	    {16385, 0, " refused=too_large,body,16384"},
	    {16384, 16384, NULL},
	    {1, 16385, " refused=too_large,data,16384"},
	    {16385, 16385, " refused=too_large,body,16384"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *text;

		send_sized(table[i].body, table[i].data);
		text = take_told();
		if (table[i].refused == NULL)
			assert_null(strstr(text, "refused"));
		else
			assert_non_null(strstr(text, table[i].refused));
		mem_free(text);
		answer_empty();
		expect_result("7");
	}
}

static void
data_fits_into_every_frame(void **state)
{
	(void)state;
	for (int depth = 27; depth <= 30; depth++) {
		struct buf line = {0};
		char *text;

		buf_put(&line, S("{\"id\":7,\"method\":\"send\",\"params\":{\"to\":1,\"body\":"
				 "\"b\",\"data\":{\"[\":"));
		for (int i = 1; i < depth; i++)
			buf_put(&line, S("["));
		for (int i = 1; i < depth; i++)
			buf_put(&line, S("]"));
		buf_put(&line, S("}}}\n"));
		feed(buf_slice(&line));
		buf_fini(&line);
		text = take_told();
		assert_int_equal(strstr(text, "refused=invalid_params,data") == NULL, depth <= 28);
		mem_free(text);
		answer_empty();
		expect_result("7");
	}
}

static void
messages_and_marks(void **state)
{
	static const struct row rows[] = {
	    {"history", "{\"cid\":5}", "history cid=5 limit=50"},
	    {"history", "{\"cid\":\"@Bob\",\"before\":9,\"after\":0,\"limit\":201}",
		"history cid=@bob before=9 after=0 limit=200"},
	    {"history", "{\"cid\":5,\"before\":0,\"limit\":1}", "history cid=5 before=0 limit=1"},
	    {"history", "{\"cid\":5,\"limit\":9007199254740991}", "history cid=5 limit=200"},
	    {"history", "{\"cid\":5,\"limit\":0}", "!invalid_params limit"},
	    {"history", "{\"cid\":5,\"limit\":-1}", "!invalid_params limit"},
	    {"history", "{\"cid\":5,\"limit\":\"1\"}", "!invalid_params limit"},
	    {"history", "{\"cid\":5,\"limit\":9007199254740992}", "!invalid_params limit"},
	    {"history", "{\"cid\":5,\"before\":-1}", "!invalid_params before"},
	    {"history", "{\"cid\":5,\"after\":1.5}", "!invalid_params after"},
	    {"history", "{}", "!invalid_params cid"},
	    {"history", "{\"cid\":null,\"limit\":0}", "!invalid_params cid"},
	    {"mark", "{\"cid\":\"#ops\",\"read\":4,\"delivered\":5}",
		"mark cid=#ops read=4 delivered=5"},
	    {"mark", "{\"cid\":1}", "mark cid=1 read=0 delivered=0"},
	    {"mark", "{\"cid\":1,\"read\":-1}", "!invalid_params read"},
	    {"mark", "{\"cid\":1,\"delivered\":[]}", "!invalid_params delivered"},
	    {"mark", "{\"read\":1}", "!invalid_params cid"},
	    {"signal", "{\"to\":1,\"kind\":\"typing\"}", "signal to=1 kind=typing"},
	    {"signal", "{\"to\":\"@bob\",\"kind\":\"x-a\",\"data\":{\"a\": 1}}",
		"signal to=@bob kind=x-a data={\"a\":1}"},
	    {"signal", "{\"to\":1,\"kind\":\"text\"}", "!invalid_params kind"},
	    {"signal", "{\"to\":1}", "!invalid_params kind"},
	    {"signal", "{\"kind\":\"typing\"}", "!invalid_params to"},
	    {"signal", "{\"to\":1,\"kind\":\"typing\",\"data\":7}", "!invalid_params data"},
	};

	(void)state;
	RUN(rows);
}

static void
sessions_and_people(void **state)
{
	static const struct row rows[] = {
	    {"session.list", "{}", "session.list"},
	    {"session.list", "null", "session.list"},
	    {"session.revoke", "{\"session\":\"12\"}", "session.revoke session=12"},
	    {"session.revoke", "{\"session\":12}", "!invalid_params session"},
	    {"session.revoke", "{\"session\":\"\"}", "!invalid_params session"},
	    {"session.revoke", "{}", "!invalid_params session"},
	    {"password.change", "{\"old\":\"a\",\"new\":\"b\"}", "password.change old=a new=b"},
	    {"password.change", "{\"new\":\"b\"}", "!invalid_params old"},
	    {"password.change", "{\"old\":\"b\"}", "!invalid_params new"},
	    {"profile.set", "{}", "profile.set accept=-1"},
	    {"profile.set", "{\"display\":\"" U64 "\",\"status\":\"\",\"accept\":\"contacts\"}",
		"profile.set display=" U64 " status= accept=1"},
	    {"profile.set", "{\"accept\":\"all\"}", "profile.set accept=0"},
	    {"profile.set", "{\"accept\":\"none\"}", "!invalid_params accept"},
	    {"profile.set", "{\"accept\":true}", "!invalid_params accept"},
	    {"profile.set", "{\"display\":\"x" U64 "\"}", "!invalid_params display"},
	    {"profile.set", "{\"display\":\"\"}", "!invalid_params display"},
	    {"profile.set", "{\"display\":\"a\\nb\"}", "!invalid_params display"},
	    {"profile.set", "{\"status\":\"a\\u0085b\"}", "!invalid_params status"},
	    {"profile.get", "{\"users\":[\"Bob\",\"carol\"]}", "profile.get bob carol"},
	    {"profile.get", "{\"users\":[]}", "profile.get"},
	    {"profile.get", "{\"users\":[\"x\"]}", "!invalid_params users"},
	    {"profile.get", "{\"users\":\"bob\"}", "!invalid_params users"},
	    {"profile.get", "{}", "!invalid_params users"},
	    {"presence.get", "{\"users\":[\"bob\"]}", "presence.get bob"},
	    {"presence.get", "{\"users\":[7]}", "!invalid_params users"},
	    {"presence.watch", "{\"users\":[\"Bob\",\"eve\"]}", "presence.watch bob eve"},
	    {"presence.watch", "{\"users\":[]}", "presence.watch"},
	    {"presence.watch", "{}", "!invalid_params users"},
	    {"presence.set", "{\"state\":\"online\"}", "presence.set online"},
	    {"presence.set", "{\"state\":\"busy\",\"text\":\"\"}", "presence.set busy text="},
	    {"presence.set", "{\"state\":\"away\",\"text\":\"lunch\"}",
		"presence.set away text=lunch"},
	    {"presence.set", "{\"state\":\"invisible\"}", "presence.set invisible"},
	    {"presence.set", "{\"state\":\"offline\"}", "!invalid_params state"},
	    {"presence.set", "{\"text\":\"x\"}", "!invalid_params state"},
	    {"presence.set", "{\"state\":\"busy\",\"text\":7}", "!invalid_params text"},
	    {"presence.set", "{\"state\":\"busy\",\"text\":\"a\\nb\"}", "!invalid_params text"},
	    {"user.find", "{\"query\":\"bo\"}", "user.find query=bo limit=20"},
	    {"user.find", "{\"query\":\"üß\",\"limit\":1000}", "user.find query=üß limit=100"},
	    {"user.find", "{\"query\":\"ü\"}", "!invalid_params query"},
	    {"user.find", "{\"query\":\"x" X64 "\"}", "!invalid_params query"},
	    {"user.find", "{\"query\":\"bo\",\"limit\":0}", "!invalid_params limit"},
	    {"who", "{\"scope\":\"contacts\"}", "who contacts limit=100"},
	    {"who", "{\"scope\":\"all\",\"after\":\"Bob\",\"limit\":2000}",
		"who all after=bob limit=1000"},
	    {"who", "{\"scope\":9}", "who conv cid=9 limit=100"},
	    {"who", "{\"scope\":\"#ops\"}", "who conv cid=#ops limit=100"},
	    {"who", "{\"scope\":\"everyone\"}", "!invalid_params scope"},
	    {"who", "{\"scope\":0}", "!invalid_params scope"},
	    {"who", "{}", "!invalid_params scope"},
	    {"who", "{\"scope\":\"all\",\"after\":7}", "!invalid_params after"},
	};

	(void)state;
	RUN(rows);
}

static void
contacts_and_the_end(void **state)
{
	static const struct row rows[] = {
	    {"contact.add", "{\"user\":\"Bob\"}", "contact.add bob"},
	    {"contact.add", "{\"user\":\"bob\",\"note\":\"hi, it's me\"}",
		"contact.add bob note=hi, it's me"},
	    {"contact.add", "{\"user\":\"bob\",\"note\":\"\"}", "contact.add bob note="},
	    {"contact.add", "{\"user\":\"bob\",\"note\":\"a\\nb\"}", "!invalid_params note"},
	    {"contact.add", "{\"user\":\"bob\",\"note\":7}", "!invalid_params note"},
	    {"contact.add", "{\"user\":\"b\"}", "!invalid_params user"},
	    {"contact.add", "{}", "!invalid_params user"},
	    {"contact.accept", "{\"user\":\"bob\",\"note\":7}", "contact.accept bob"},
	    {"contact.accept", "{\"user\":7}", "!invalid_params user"},
	    {"contact.reject", "{\"user\":\"bob\"}", "contact.reject bob"},
	    {"contact.reject", "{}", "!invalid_params user"},
	    {"contact.remove", "{\"user\":\"bob\"}", "contact.remove bob"},
	    {"contact.remove", "{}", "!invalid_params user"},
	    {"contact.block", "{\"user\":\"bob\"}", "contact.block bob"},
	    {"contact.block", "{}", "!invalid_params user"},
	    {"contact.unblock", "{\"user\":\"bob\"}", "contact.unblock bob"},
	    {"contact.unblock", "{}", "!invalid_params user"},
	    {"contact.list", "{}", "contact.list limit=1000"},
	    {"contact.list", "{\"after\":\"Bob\",\"limit\":5}", "contact.list after=bob limit=5"},
	    {"contact.list", "{\"limit\":5000}", "contact.list limit=1000"},
	    {"contact.list", "{\"limit\":0}", "!invalid_params limit"},
	    {"contact.list", "{\"after\":7}", "!invalid_params after"},
	    {"account.delete", "{\"password\":\"secret\"}", "account.delete password=secret"},
	    {"account.delete", "{}", "!invalid_params password"},
	    {"account.delete", "{\"password\":7}", "!invalid_params password"},
	};

	(void)state;
	RUN(rows);
}

static void
sync_and_its_cursors(void **state)
{
	static const struct row rows[] = {
	    {"sync", "{}", "-> sync backlog=50 preview=0"},
	    {"sync", "{\"backlog\":0,\"preview\":true}", "-> sync backlog=0 preview=1"},
	    {"sync", "{\"backlog\":501,\"preview\":false}", "-> sync backlog=500 preview=0"},
	    {"sync", "{\"epoch\":\"e1\"}", "-> sync backlog=50 preview=0 epoch=e1"},
	    {"sync", "{\"epoch\":\"e1\",\"cursors\":{}}", "-> sync backlog=50 preview=0 epoch=e1"},
	    {"sync", "{\"epoch\":\"e1\",\"cursors\":{\"30\":3,\"9\":0,\"100\":7}}",
		"-> sync backlog=50 preview=0 epoch=e1 9:0 30:3 100:7"},
	    {"sync", "{\"epoch\":\"e1\",\"cursors\":{\"5\":1,\"4\":2,\"5\":3,\"\\u0035\":9}}",
		"-> sync backlog=50 preview=0 epoch=e1 4:2 5:9"},
	    {"sync", "{\"cursors\":{\"5\":1}}", "!invalid_params epoch"},
	    {"sync", "{\"epoch\":7}", "!invalid_params epoch"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":[]}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"0\":1}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"05\":1}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"\":1}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"-5\":1}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"9007199254740992\":1}}",
		"!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"5\":-1}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"5\":\"1\"}}", "!invalid_params cursors"},
	    {"sync", "{\"epoch\":\"e\",\"cursors\":{\"5\":1.5}}", "!invalid_params cursors"},
	    {"sync", "{\"backlog\":-1}", "!invalid_params backlog"},
	    {"sync", "{\"preview\":1}", "!invalid_params preview"},
	    {"sync", "[]", "!invalid_params -"},
	};

	(void)state;
	RUN(rows);
}

static void
feed_cursors(unsigned count, unsigned repeats)
{
	struct buf line = {0};

	buf_put(&line,
	    S("{\"id\":7,\"method\":\"sync\",\"params\":{\"epoch\":\"e\",\"cursors\":{\"1\":1"));
	for (unsigned i = 2; i <= count; i++)
		buf_printf(&line, ",\"%u\":%u", i, i);
	for (unsigned i = 0; i < repeats; i++)
		buf_put(&line, S(",\"1\":5"));
	buf_put(&line, S("}}}\n"));
	feed(buf_slice(&line));
	buf_fini(&line);
}

static void
cursors_have_a_limit(void **state)
{
	char *text;

	(void)state;
	feed_cursors(2001, 0);
	expect_error("7", "limit", "cursors", 2000);
	feed_cursors(2000, 100);
	text = take_told();
	assert_non_null(strstr(text, " 1:5 2:2 "));
	assert_non_null(strstr(text, " 2000:2000"));
	mem_free(text);
}

static void
feed_users(const char *method, unsigned count)
{
	struct buf line = {0};

	buf_printf(&line, "{\"id\":7,\"method\":\"%s\",\"params\":{\"users\":[\"first\"", method);
	for (unsigned i = 1; i < count; i++)
		buf_printf(&line, ",\"u%u\"", i);
	buf_put(&line, S("]}}\n"));
	feed(buf_slice(&line));
	buf_fini(&line);
}

static void
lists_of_users_have_a_limit(void **state)
{
	static const struct {
		const char *method, *begins, *ends;
		unsigned max;
	} lists[] = {{"presence.get", "presence.get first u1 ", " u99", 100},
	    {"presence.watch", "presence.watch first u1 ", " u999", 1000}};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		char *text;

		feed_users(lists[i].method, lists[i].max);
		text = take_told();
		assert_non_null(strstr(text, lists[i].begins));
		assert_non_null(strstr(text, lists[i].ends));
		mem_free(text);
		answer_empty();
		expect_result("7");
		feed_users(lists[i].method, lists[i].max + 1);
		expect_told("");
		expect_error("7", "too_large", "users", lists[i].max);
	}
}

static void
logging_in(void **state)
{
	static const struct row rows[] = {
	    {"register", "{\"user\":\"Alice\",\"password\":\"p w\"}",
		"register user=alice password=p w"},
	    {"register",
		"{\"user\":\"al\",\"password\":\"\",\"display\":\"A\",\"device\":\"\",\"sync\":"
		"true}",
		"register user=al password= display=A device= sync backlog=50 preview=0"},
	    {"register", "{\"user\":\"a\",\"password\":\"p\"}", "!invalid_params user"},
	    {"register", "{\"password\":\"p\"}", "!invalid_params user"},
	    {"register", "{\"user\":\"al\"}", "!invalid_params password"},
	    {"register", "{\"user\":\"al\",\"password\":\"p\",\"display\":\"\"}",
		"!invalid_params display"},
	    {"register", "{\"user\":\"al\",\"password\":\"p\",\"device\":\"x" X64 "\"}",
		"!invalid_params device"},
	    {"register", "{\"user\":\"al\",\"password\":\"p\",\"sync\":7}", "!invalid_params sync"},
	    {"register", "{\"user\":\"al\",\"password\":\"p\",\"sync\":{\"backlog\":\"x\"}}",
		"!invalid_params backlog"},
	    {"login",
		"{\"user\":\"al\",\"password\":\"p\",\"device\":\"d\",\"sync\":{\"epoch\":\"e\","
		"\"cursors\":{\"2\":1}}}",
		"login user=al password=p device=d sync backlog=50 preview=0 epoch=e 2:1"},
	    {"login", "{\"user\":\"al\",\"password\":\"a\\u0000b\"}", "!invalid_params password"},
	    {"login", "{\"user\":7,\"password\":\"p\"}", "!invalid_params user"},
	    {"resume", "{\"token\":\"t\",\"sync\":null}", "resume token=t"},
	    {"resume", "{\"token\":\"t\",\"sync\":false}", "resume token=t"},
	    {"resume", "{\"token\":\"t\",\"sync\":{\"cursors\":{\"2\":1}}}",
		"!invalid_params epoch"},
	    {"resume", "{\"token\":5}", "!invalid_params token"},
	    {"resume", "{\"token\":\"" X64 X64 "x\"}", "!invalid_params token"},
	    {"resume", "{}", "!invalid_params token"},
	    {"hello", "{\"client\":7}", "!invalid_params client"},
	};

	(void)state;
	world.peer->logged_in = false;
	RUN(rows);
}

static void
a_password_has_a_kilobyte(void **state)
{
	(void)state;
	world.peer->logged_in = false;
	for (size_t len = 1024; len <= 1025; len++) {
		struct buf line = {0};
		char *text;

		buf_put(&line, S("{\"id\":7,\"method\":\"login\",\"params\":{\"user\":\"al\","
				 "\"password\":\""));
		memset(buf_reserve(&line, len), 'p', len);
		buf_grew(&line, len);
		buf_put(&line, S("\"}}\n"));
		feed(buf_slice(&line));
		buf_fini(&line);
		text = take_told();
		assert_int_equal(strlen(text) > 1024, len == 1024);
		mem_free(text);
		if (len == 1024) {
			answer_empty();
			expect_result("7");
		} else {
			expect_error("7", "invalid_params", "password", 0);
		}
	}
}

static void
groups(void **state)
{
	static const struct row rows[] = {
	    {"group.create", "{\"title\":\"Ops\"}", "CREATE title=Ops open=0"},
	    {"group.create",
		"{\"title\":\"Ops\",\"handle\":\"OPS\",\"open\":true,\"history\":true,"
		"\"members\":[\"Bob\",\"carol\"]}",
		"CREATE bob carol title=Ops handle=ops open=1 history=1"},
	    {"group.create", "{\"handle\":\"ops\"}", "!invalid_params title"},
	    {"group.create", "{\"title\":\"\"}", "!invalid_params title"},
	    {"group.create", "{\"title\":\"" U64 U64 "\"}", "CREATE title=" U64 U64 " open=0"},
	    {"group.create", "{\"title\":\"" U64 U64 "x\"}", "!invalid_params title"},
	    {"group.create", "{\"title\":\"a\\nb\"}", "!invalid_params title"},
	    {"group.create", "{\"title\":\"t\",\"handle\":\"\"}", "!invalid_params handle"},
	    {"group.create", "{\"title\":\"t\",\"handle\":\"#a\"}", "!invalid_params handle"},
	    {"group.create", "{\"title\":\"t\",\"members\":[7]}", "!invalid_params members"},
	    {"group.create", "{\"title\":\"t\",\"open\":1}", "!invalid_params open"},
	    {"group.join", "{\"cid\":\"#Ops\"}", "JOIN cid=#ops"},
	    {"group.join", "{}", "!invalid_params cid"},
	    {"group.leave", "{\"cid\":9}", "LEAVE cid=9"},
	    {"group.dismiss", "{\"cid\":9}", "DISMISS cid=9"},
	    {"group.info", "{\"cid\":9}", "group.info cid=9"},
	    {"group.invite", "{\"cid\":9,\"users\":[\"BOB\"]}", "INVITE bob cid=9"},
	    {"group.invite", "{\"cid\":9}", "!invalid_params users"},
	    {"group.remove", "{\"cid\":9,\"user\":\"Bob\"}", "REMOVE bob cid=9"},
	    {"group.remove", "{\"cid\":9,\"user\":\"bob\",\"ban\":true}", "REMOVE bob cid=9 ban=1"},
	    {"group.remove", "{\"cid\":9}", "!invalid_params user"},
	    {"group.unban", "{\"cid\":9,\"user\":\"bob\"}", "UNBAN bob cid=9"},
	    {"group.role", "{\"cid\":9,\"user\":\"bob\",\"role\":\"owner\"}",
		"ROLE bob cid=9 role=3"},
	    {"group.role", "{\"cid\":9,\"user\":\"bob\",\"role\":\"member\"}",
		"ROLE bob cid=9 role=1"},
	    {"group.role", "{\"cid\":9,\"user\":\"bob\",\"role\":\"banned\"}",
		"!invalid_params role"},
	    {"group.role", "{\"cid\":9,\"user\":\"bob\"}", "!invalid_params role"},
	    {"group.mute", "{\"cid\":9,\"user\":\"bob\",\"seconds\":60}",
		"MUTE bob cid=9 seconds=60"},
	    {"group.mute", "{\"cid\":9,\"user\":\"bob\",\"seconds\":0}",
		"MUTE bob cid=9 seconds=0"},
	    {"group.mute", "{\"cid\":9,\"user\":\"bob\",\"seconds\":-1}",
		"!invalid_params seconds"},
	    {"group.mute", "{\"cid\":9,\"user\":\"bob\"}", "!invalid_params seconds"},
	    {"group.set", "{\"cid\":9}", "SET cid=9"},
	    {"group.set", "{\"cid\":9,\"topic\":\"\",\"handle\":\"\"}", "SET cid=9 topic= handle="},
	    {"group.set",
		"{\"cid\":9,\"title\":\"T\",\"handle\":\"New\",\"open\":false,\"post\":\"admins\","
		"\"invite\":\"all\"}",
		"SET cid=9 title=T handle=new open=0 post=1 invite=0"},
	    {"group.set", "{\"cid\":9,\"post\":\"none\"}", "!invalid_params post"},
	    {"group.members", "{\"cid\":9}", "group.members cid=9 role=0 banned=0 limit=100"},
	    {"group.members", "{\"cid\":9,\"role\":\"admin\",\"after\":\"Bob\",\"limit\":5000}",
		"group.members cid=9 after=bob role=2 banned=0 limit=1000"},
	    {"group.members", "{\"cid\":9,\"role\":\"banned\",\"limit\":1}",
		"group.members cid=9 role=0 banned=1 limit=1"},
	    {"group.members", "{\"cid\":9,\"limit\":0}", "!invalid_params limit"},
	    {"group.list", "{}", "group.list after=0 limit=100"},
	    {"group.list", "{\"query\":\"o\",\"after\":7,\"limit\":2}",
		"group.list query=o after=7 limit=2"},
	    {"group.list", "{\"query\":\"\"}", "!invalid_params query"},
	};

	(void)state;
	RUN(rows);
}

static void
who_may_call_what(void **state)
{
	static const char *const need_session[] = {"sync", "logout", "session.list",
	    "session.revoke", "password.change", "profile.set", "profile.get", "user.find", "send",
	    "edit", "delete", "receipts", "history", "mark", "signal", "who", "presence.get",
	    "presence.set", "presence.watch", "group.create", "group.join", "group.info",
	    "group.list"};
	static const char *const need_none[] = {"register", "login", "resume"};
	static const char *const unknown[] = {
	    "", "Ping", "ping ", "edits", "group.", "rpc.discover"};

	(void)state;
	for (size_t i = 0; i < sizeof(need_none) / sizeof(need_none[0]); i++)
		run_row(&(struct row){need_none[i], "{}", "!already_logged_in -"});
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		run_row(&(struct row){unknown[i], "{}", "!unknown_method -"});
	world.peer->revoked = true;
	for (size_t i = 0; i < sizeof(need_session) / sizeof(need_session[0]); i++)
		run_row(&(struct row){need_session[i], "{}", "!session_revoked -"});
	world.peer->revoked = world.peer->logged_in = false;
	for (size_t i = 0; i < sizeof(need_session) / sizeof(need_session[0]); i++)
		run_row(&(struct row){need_session[i], "{}", "!not_logged_in -"});
	world.listener.options.tls_only = true;
	for (size_t i = 0; i < sizeof(need_none) / sizeof(need_none[0]); i++)
		run_row(&(struct row){need_none[i], "{}", "!forbidden -"});
	world.conn->tls = true;
	run_row(&(struct row){"resume", "{\"token\":\"t\"}", "resume token=t"});
}

static void
hello_and_ping_are_answered_here(void **state)
{
	json_t *json, *result;

	(void)state;
	feed_text("{\"id\":\"h\",\"method\":\"hello\",\"params\":{\"client\":\"test\"}}\n");
	json = take_line();
	result = json_object_get(json, "result");
	assert_string_equal(json_string_value(json_object_get(result, "server")), "n1");
	assert_int_equal(json_integer_value(json_object_get(result, "protocol")), 1);
	assert_string_equal(json_string_value(json_object_get(result, "durability")), "local");
	assert_string_equal(json_string_value(json_object_get(result, "registration")), "open");
	assert_string_equal(json_string_value(json_object_get(result, "directory")), "closed");
	assert_int_equal(json_array_size(json_object_get(result, "auth")), 2);
	assert_int_equal(json_object_size(json_object_get(result, "limits")), 10);
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(result, "limits"), "frame")), 65536);
	json_decref(json);
	feed_text("{\"id\":2,\"method\":\"ping\"}\n");
	json = take_line();
	assert_true(json_integer_value(json_object_get(json_object_get(json, "result"), "ts")) >
		    1600000000000);
	json_decref(json);
	feed_text("{\"method\":\"ping\"}\n{\"method\":\"hello\"}\n");
	expect_silence();
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
	    TEST(send_becomes_a_command),
	    TEST(a_send_that_says_where_to_is_refused_in_its_place),
	    TEST(edits_and_deletions_keep_their_places),
	    TEST(body_and_data_have_their_limits),
	    TEST(data_fits_into_every_frame),
	    TEST(messages_and_marks),
	    TEST(sessions_and_people),
	    TEST(contacts_and_the_end),
	    TEST(sync_and_its_cursors),
	    TEST(cursors_have_a_limit),
	    TEST(lists_of_users_have_a_limit),
	    TEST(logging_in),
	    TEST(a_password_has_a_kilobyte),
	    TEST(groups),
	    TEST(who_may_call_what),
	    TEST(hello_and_ping_are_answered_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
