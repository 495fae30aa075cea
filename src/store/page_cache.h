/* SPDX-License-Identifier: MIT */
/*
 * SQLite's cache of pages, but for one thing.  A COMMIT drops the pages behind the end of the file,
 * and walks the whole cache for that if a page with such a number was ever in it: a cache of 64 MiB
 * is 16,000 places in memory that nobody needs then.  And there was one nearly always, for an index
 * whose pages are split gives them numbers in a new order by way of a number that no page has.  Here
 * that number does not count, and what can drop nothing is not walked.
 */
#ifndef STORE_PAGE_CACHE_H
#define STORE_PAGE_CACHE_H

#include <sqlite3.h>

/* For all connections of the process; of no effect where SQLite is in use already. */
void page_cache_install(void);
/* The methods of such a cache around another's.  There is one of them in a process. */
sqlite3_pcache_methods2 page_cache_around(const sqlite3_pcache_methods2 *inner);

#endif
