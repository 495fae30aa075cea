/* SPDX-License-Identifier: MIT */
#include "store/import_table.h"

#include "base/panic.h"

/* What mysql_sql.h cuts too. */
enum { FOLDED_BYTES = 700 };

const struct import_table import_tables[] = {
    {
	.name = "user",
	.order = "id",
	.columns = {{"id"}, {"name"}, {"display"}, {"folded", .most_bytes = FOLDED_BYTES},
	    {"status"}, {"password_hash"}, {"accept"}, {"created"}, {"seen"}, {"disabled"},
	    {"presence"}, {"presence_text"}, {0}},
	.numbered = true,
    },
    {
	/* SQLite has no head of the log beside it: its newest row is that. */
	.name = "conv",
	.order = "cid",
	.columns = {{"cid"}, {"kind"}, {"lo"}, {"hi"}, {"title"}, {"topic"}, {"handle"}, {"open"},
	    {"history"}, {"post"}, {"invite"}, {"min_seq"}, {"acl_ver"}, {"created"},
	    {"folded", .most_bytes = FOLDED_BYTES}, {"members"}, {"ended"},
	    {"last_seq", "coalesce((SELECT max(seq) FROM msg_index WHERE cid = conv.cid), 0)"},
	    {"last_ts", "coalesce((SELECT m.ts FROM msg_index i JOIN msg m ON m.id = i.id "
			"WHERE i.cid = conv.cid ORDER BY i.seq DESC LIMIT 1), 0)"},
	    {0}},
	.numbered = true,
    },
    {
	/* Edits and deletions are rows of their own; these columns are none's. */
	.name = "msg",
	.order = "id",
	.columns = {{"id"}, {"cid"}, {"seq"}, {"sender"}, {"cmid"}, {"ts"}, {"kind"}, {"data"},
	    {"body"}, {"re"}, {"ends"}, {0}},
	.left_out = {"edited", "deleted"},
    },
    {
	.name = "member",
	.order = "user, cid",
	.columns = {{"user"}, {"cid"}, {"role"}, {"join_seq"}, {"leave_seq"}, {"read_seq"},
	    {"delivered_seq"}, {"muted_until"}, {"banned"}, {"name"}, {0}},
    },
    {
	.name = "direct",
	.order = "lo, hi",
	.columns = {{"lo"}, {"hi"}, {"cid"}, {0}},
    },
    {
	.name = "contact",
	.order = "user, peer",
	.columns = {{"user"}, {"peer"}, {"state"}, {"note"}, {0}},
    },
    {
	.name = "token",
	.order = "hash",
	.columns = {{"hash"}, {"session"}, {"user"}, {"device"}, {"ip"}, {"created"}, {"seen"},
	    {0}},
    },
    {
	.name = "tally",
	.order = "cid, level, place",
	.columns = {{"cid"}, {"level"}, {"place"}, {"read"}, {"delivered"}, {0}},
    },
};
const size_t import_table_count = LEN(import_tables);
static_assert(LEN(import_tables) <= IMPORT_TABLES_MAX, "room for every table");

/*
 * The epoch comes along: it is the same life, in another place.  Each schema has versions of its
 * own, and what nodes sign their news with is made by the first node.
 */
const struct import_table import_meta = {
    .name = "meta",
    .order = "id",
    .columns = {{"epoch"}, {"admin_revision"}, {"opened"}, {0}},
    .left_out = {"id", "schema_version", "bus_key", "indexed"},
};

size_t
import_column_count(const struct import_table *table)
{
	size_t count = 0;

	while (table->columns[count].name != NULL)
		count++;
	assert(count < IMPORT_COLUMNS_MAX);
	return count;
}

static void
put_names(struct buf *to, const struct import_table *table)
{
	for (const struct import_column *c = table->columns; c->name != NULL; c++)
		buf_printf(to, "%s`%s`", c == table->columns ? "" : ", ", c->name);
}

void
import_select_there(struct buf *to, const struct import_table *table)
{
	buf_put(to, S("SELECT "));
	put_names(to, table);
	buf_printf(to, " FROM `%s` FORCE INDEX (PRIMARY) ORDER BY %s", table->name, table->order);
}

void
import_select_here(struct buf *to, const struct import_table *table)
{
	buf_put(to, S("SELECT "));
	for (const struct import_column *c = table->columns; c->name != NULL; c++)
		buf_printf(to, "%s%s", c == table->columns ? "" : ", ",
		    c->from != NULL ? c->from : c->name);
	buf_printf(to, " FROM %s ORDER BY %s", table->name, table->order);
}

void
import_insert(struct buf *to, const struct import_table *table, size_t rows)
{
	size_t columns = import_column_count(table);

	buf_printf(to, "INSERT INTO `%s` (", table->name);
	put_names(to, table);
	buf_put(to, S(") VALUES "));
	for (size_t row = 0; row < rows; row++)
		for (size_t i = 0; i < columns; i++)
			buf_printf(to, "%s?%s",
			    i > 0     ? ","
			    : row > 0 ? ",("
				      : "(",
			    i + 1 == columns ? ")" : "");
}
