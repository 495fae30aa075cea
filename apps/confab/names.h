/* SPDX-License-Identifier: MIT */
/* Names that were seen, for the key that completes what is typed. */
#ifndef CONFAB_NAMES_H
#define CONFAB_NAMES_H

#include "base/map.h"

enum { NAMES_MAX = 5000 /* further ones are not completed */ };

/* Zero at the start. */
struct names {
	struct smap by_text; /* char *, owned: "@bob", "#ops" */
};

void names_fini(struct names *names);
/* sign: '@' or '#'.  What can't be a name is passed over. */
void names_note(struct names *names, char sign, slice name);
/* Calls for each that begins so; the sign may be missing in `begin`. */
void names_each(
    const struct names *names, slice begin, void (*each)(slice text, void *cookie), void *cookie);

#endif
