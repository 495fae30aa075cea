/* SPDX-License-Identifier: MIT */
#include "store/gather.h"

#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

#include "base/mem.h"
#include "base/panic.h"

/*
 * Some 15 pages.  Less than 128 KiB, of which SQLite's own file system writes no more at a time.
 */
enum { GATHER_BYTES = 65536, WRITE_LOCK = 0 /* SQLite's number of the lock on the log */ };

/* A database, or its log. */
struct gathered {
	sqlite3_file base;
	sqlite3_file *real;    /* stands behind this */
	struct gathered *peer; /* the database's log, the log's database; NULL: closed */
	bool is_log;
	char *bytes; /* owned; NULL before the first write to a log */
	int len;
	sqlite3_int64 at;
};

static sqlite3_vfs gather;
static sqlite3_vfs *real_vfs;

static struct gathered *
of(sqlite3_file *file)
{
	return (struct gathered *)(void *)file;
}

static const sqlite3_io_methods *
methods(const struct gathered *g)
{
	return g->real->pMethods;
}

/* --- What is gathered --- */

static int
flush(struct gathered *g)
{
	int len = g->len;

	g->len = 0;
	return len > 0 ? methods(g)->xWrite(g->real, g->bytes, len, g->at) : SQLITE_OK;
}

static int
log_write(struct gathered *g, const void *from, int len, sqlite3_int64 at)
{
	int rc = SQLITE_OK;

	if (at != g->at + g->len || g->len + len > GATHER_BYTES)
		rc = flush(g);
	if (rc != SQLITE_OK)
		return rc;
	if (len > GATHER_BYTES)
		return methods(g)->xWrite(g->real, from, len, at);
	if (g->bytes == NULL)
		g->bytes = mem_alloc(GATHER_BYTES);
	if (g->len == 0)
		g->at = at;
	memcpy(g->bytes + g->len, from, (size_t)len);
	g->len += len;
	return SQLITE_OK;
}

static int
gather_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
	struct gathered *g = of(file);

	return g->is_log ? log_write(g, from, len, at) : methods(g)->xWrite(g->real, from, len, at);
}

/* Pages that did not fit into the cache are read again in the same transaction. */
static int
gather_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct gathered *g = of(file);
	int rc = SQLITE_OK;

	if (at < g->at + g->len && at + len > g->at)
		rc = flush(g);
	return rc == SQLITE_OK ? methods(g)->xRead(g->real, to, len, at) : rc;
}

static int
gather_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? methods(of(file))->xTruncate(of(file)->real, size) : rc;
}

static int
gather_sync(sqlite3_file *file, int flags)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? methods(of(file))->xSync(of(file)->real, flags) : rc;
}

static int
gather_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	int rc = flush(of(file));

	return rc == SQLITE_OK ? methods(of(file))->xFileSize(of(file)->real, ret) : rc;
}

/*
 * The end of a transaction.  What was committed is synced; what is left was not, so that it does not
 * matter whether it can be written, but others may write at its place as soon as the lock is free.
 */
static int
gather_shm_lock(sqlite3_file *file, int first, int count, int flags)
{
	struct gathered *g = of(file);

	if ((flags & SQLITE_SHM_UNLOCK) != 0 && first == WRITE_LOCK && g->peer != NULL)
		(void)flush(g->peer);
	return methods(g)->xShmLock(g->real, first, count, flags);
}

static int
gather_close(sqlite3_file *file)
{
	struct gathered *g = of(file);

	if (g->peer != NULL)
		g->peer->peer = NULL;
	mem_free(g->bytes);
	return methods(g)->xClose(g->real);
}

/* --- What goes through --- */

static int
gather_lock(sqlite3_file *file, int lock)
{
	return methods(of(file))->xLock(of(file)->real, lock);
}

static int
gather_unlock(sqlite3_file *file, int lock)
{
	return methods(of(file))->xUnlock(of(file)->real, lock);
}

static int
gather_reserved(sqlite3_file *file, int *ret)
{
	return methods(of(file))->xCheckReservedLock(of(file)->real, ret);
}

static int
gather_control(sqlite3_file *file, int op, void *arg)
{
	return methods(of(file))->xFileControl(of(file)->real, op, arg);
}

static int
gather_sector(sqlite3_file *file)
{
	return methods(of(file))->xSectorSize(of(file)->real);
}

static int
gather_device(sqlite3_file *file)
{
	return methods(of(file))->xDeviceCharacteristics(of(file)->real);
}

static int
gather_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **ret)
{
	return methods(of(file))->xShmMap(of(file)->real, page, size, extend, ret);
}

static void
gather_shm_barrier(sqlite3_file *file)
{
	methods(of(file))->xShmBarrier(of(file)->real);
}

static int
gather_shm_unmap(sqlite3_file *file, int drop)
{
	return methods(of(file))->xShmUnmap(of(file)->real, drop);
}

static const sqlite3_io_methods gather_methods = {
    .iVersion = 2,
    .xClose = gather_close,
    .xRead = gather_read,
    .xWrite = gather_write,
    .xTruncate = gather_truncate,
    .xSync = gather_sync,
    .xFileSize = gather_size,
    .xLock = gather_lock,
    .xUnlock = gather_unlock,
    .xCheckReservedLock = gather_reserved,
    .xFileControl = gather_control,
    .xSectorSize = gather_sector,
    .xDeviceCharacteristics = gather_device,
    .xShmMap = gather_shm_map,
    .xShmLock = gather_shm_lock,
    .xShmBarrier = gather_shm_barrier,
    .xShmUnmap = gather_shm_unmap,
};

/* --- Opening --- */

static void
tie(struct gathered *log, sqlite3_filename name)
{
	log->is_log = true;
	log->peer = of(sqlite3_database_file_object(name));
	assert(log->peer->base.pMethods == &gather_methods && log->peer->peer == NULL);
	log->peer->peer = log;
}

/* Files of other kinds are the real ones. */
static int
gather_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct gathered *g = of(file);
	int rc;

	(void)vfs;
	if ((flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return real_vfs->xOpen(real_vfs, name, file, flags, ret_flags);
	*g = (struct gathered){.real = (sqlite3_file *)(void *)(g + 1)};
	rc = real_vfs->xOpen(real_vfs, name, g->real, flags, ret_flags);
	if (g->real->pMethods == NULL)
		return rc;
	g->base.pMethods = &gather_methods;
	if ((flags & SQLITE_OPEN_WAL) != 0)
		tie(g, name);
	return rc;
}

static void
make(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	assert(real_vfs != NULL);
	gather = *real_vfs;
	gather.zName = "gather";
	gather.szOsFile = (int)sizeof(struct gathered) + real_vfs->szOsFile;
	gather.xOpen = gather_open;
	if (sqlite3_vfs_register(&gather, 0) != SQLITE_OK)
		panic("store: SQLite takes no file system");
}

const char *
gather_vfs(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, make);
	return gather.zName;
}
