/* SPDX-License-Identifier: MIT */
#include "names.h"

#include "base/mem.h"

enum { NAME_MAX_BYTES = 32 };

void
names_fini(struct names *names)
{
	size_t at = 0;
	char *text;

	while ((text = smap_next(&names->by_text, &at)) != NULL)
		mem_free(text);
	smap_fini(&names->by_text);
}

static bool
plain(slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f)
			return false;
	return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

void
names_note(struct names *names, char sign, slice name)
{
	char text[NAME_MAX_BYTES + 1];
	char *kept;

	if (!plain(name) || names->by_text.count >= NAMES_MAX)
		return;
	text[0] = sign;
	memcpy(text + 1, name.ptr, name.len);
	if (smap_get(&names->by_text, slice_of(text, name.len + 1)) != NULL)
		return;
	kept = mem_dup(slice_of(text, name.len + 1));
	smap_put(&names->by_text, slice_str(kept), kept);
}

void
names_each(
    const struct names *names, slice begin, void (*each)(slice text, void *cookie), void *cookie)
{
	bool signless = begin.len > 0 && begin.ptr[0] != '@' && begin.ptr[0] != '#';
	const char *text;
	size_t at = 0;

	while ((text = smap_next(&names->by_text, &at)) != NULL)
		if (slice_starts(slice_str(text + (signless ? 1 : 0)), begin))
			each(slice_str(text), cookie);
}
