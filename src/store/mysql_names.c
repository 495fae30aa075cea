/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "store/mysql_db.h"

struct names {
	uint64_t acl_ver;
	struct short_name lo, hi;
};

bool
mysql_names_get(const struct mysql_names *names, struct conv_row *row)
{
	const struct names *known = map_get(&names->by_cid, row->cid);

	if (known == NULL || known->acl_ver != row->acl_ver)
		return false;
	row->lo_name = known->lo;
	row->hi_name = known->hi;
	return true;
}

void
mysql_names_put(struct mysql_names *names, const struct conv_row *row)
{
	struct names *known = map_get(&names->by_cid, row->cid);

	if (known == NULL && names->by_cid.count >= LIMIT_NAMES)
		mysql_names_clear(names);
	if (known == NULL)
		map_put(&names->by_cid, row->cid, known = mem_alloc(sizeof(*known)));
	*known = (struct names){row->acl_ver, row->lo_name, row->hi_name};
}

void
mysql_names_clear(struct mysql_names *names)
{
	struct names *known;

	for (size_t at = 0; (known = map_next(&names->by_cid, &at)) != NULL;)
		mem_free(known);
	map_fini(&names->by_cid);
}
