/* SPDX-License-Identifier: MIT */
#include "store/page_cache.h"

#include <pthread.h>

#include "base/mem.h"

/* The byte of SQLite's locks: its page holds no data, whatever the size of pages. */
#define LOCK_BYTE 0x40000000u

/* What SQLite knows as sqlite3_pcache. */
struct page_cache {
	sqlite3_pcache *inner; /* owned */
	unsigned greatest;     /* no page has a greater number; LOCK_BYTE's does not count */
	unsigned lock_page;
};

static sqlite3_pcache_methods2 to;

static struct page_cache *
of(sqlite3_pcache *cache)
{
	return (struct page_cache *)(void *)cache;
}

static sqlite3_pcache *
cache_create(int page_size, int extra, int purgeable)
{
	struct page_cache *cache = mem_alloc(sizeof(*cache));

	*cache = (struct page_cache){
	    .inner = to.xCreate(page_size, extra, purgeable),
	    .lock_page = LOCK_BYTE / (unsigned)page_size + 1,
	};
	if (cache->inner == NULL) {
		mem_free(cache);
		return NULL;
	}
	return (sqlite3_pcache *)(void *)cache;
}

static void
cache_destroy(sqlite3_pcache *cache)
{
	to.xDestroy(of(cache)->inner);
	mem_free(of(cache));
}

static void
cache_size(sqlite3_pcache *cache, int pages)
{
	to.xCachesize(of(cache)->inner, pages);
}

static int
cache_count(sqlite3_pcache *cache)
{
	return to.xPagecount(of(cache)->inner);
}

static void
now_has(struct page_cache *cache, unsigned number)
{
	if (number > cache->greatest && number != cache->lock_page)
		cache->greatest = number;
}

static sqlite3_pcache_page *
cache_fetch(sqlite3_pcache *cache, unsigned number, int create)
{
	if (create != 0)
		now_has(of(cache), number);
	return to.xFetch(of(cache)->inner, number, create);
}

static void
cache_unpin(sqlite3_pcache *cache, sqlite3_pcache_page *page, int discard)
{
	to.xUnpin(of(cache)->inner, page, discard);
}

static void
cache_rekey(sqlite3_pcache *cache, sqlite3_pcache_page *page, unsigned old, unsigned number)
{
	now_has(of(cache), number);
	to.xRekey(of(cache)->inner, page, old, number);
}

/* Drops the pages from number `first` on. */
static void
cache_truncate(sqlite3_pcache *cache, unsigned first)
{
	if (first > of(cache)->greatest)
		return;
	to.xTruncate(of(cache)->inner, first);
	of(cache)->greatest = first > 0 ? first - 1 : 0;
}

static void
cache_shrink(sqlite3_pcache *cache)
{
	to.xShrink(of(cache)->inner);
}

sqlite3_pcache_methods2
page_cache_around(const sqlite3_pcache_methods2 *inner)
{
	to = *inner;
	return (sqlite3_pcache_methods2){
	    .iVersion = 1,
	    .pArg = to.pArg,
	    .xInit = to.xInit,
	    .xShutdown = to.xShutdown,
	    .xCreate = cache_create,
	    .xCachesize = cache_size,
	    .xPagecount = cache_count,
	    .xFetch = cache_fetch,
	    .xUnpin = cache_unpin,
	    .xRekey = cache_rekey,
	    .xTruncate = cache_truncate,
	    .xDestroy = cache_destroy,
	    .xShrink = cache_shrink,
	};
}

static void
install(void)
{
	sqlite3_pcache_methods2 inner, ours;

	if (sqlite3_config(SQLITE_CONFIG_GETPCACHE2, &inner) != SQLITE_OK)
		return;
	ours = page_cache_around(&inner);
	(void)sqlite3_config(SQLITE_CONFIG_PCACHE2, &ours);
}

void
page_cache_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install);
}
