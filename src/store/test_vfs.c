/* SPDX-License-Identifier: MIT */
#include "store/test_vfs.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

#include "base/panic.h"

struct test_vfs test_vfs;

struct shim_file {
	sqlite3_file base;
	bool is_wal, is_db;
	sqlite3_file *real; /* stands behind this */
};

static sqlite3_vfs shim;
static sqlite3_vfs *real_vfs;

static sqlite3_file *
real_of(sqlite3_file *file)
{
	return ((struct shim_file *)(void *)file)->real;
}

static const struct shim_file *
shim_of(sqlite3_file *file)
{
	return (const struct shim_file *)(void *)file;
}

/* True for one of the calls that are to fail. */
static bool
takes_one(_Atomic int *left)
{
	int now = atomic_load(left);

	while (now > 0)
		if (atomic_compare_exchange_weak(left, &now, now - 1))
			return true;
	return false;
}

static int
shim_close(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xClose(real);
}

static int
shim_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	sqlite3_file *real = real_of(file);

	if (shim_of(file)->is_db && takes_one(&test_vfs.read_db))
		return SQLITE_IOERR_READ;
	return real->pMethods->xRead(real, to, len, at);
}

static int
shim_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 at)
{
	sqlite3_file *real = real_of(file);

	if (shim_of(file)->is_wal) {
		(void)atomic_fetch_add(&test_vfs.wal_writes, 1);
		if (takes_one(&test_vfs.write_wal))
			return SQLITE_FULL;
		if (takes_one(&test_vfs.short_wal)) {
			(void)real->pMethods->xWrite(real, from, len / 2, at);
			return SQLITE_FULL;
		}
	}
	return real->pMethods->xWrite(real, from, len, at);
}

static int
shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xTruncate(real, size);
}

static int
shim_sync(sqlite3_file *file, int flags)
{
	sqlite3_file *real = real_of(file);

	if (takes_one(&test_vfs.sync_any) ||
	    (shim_of(file)->is_wal && takes_one(&test_vfs.sync_wal)))
		return SQLITE_IOERR_FSYNC;
	return real->pMethods->xSync(real, flags);
}

static int
shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xFileSize(real, size);
}

static int
shim_lock(sqlite3_file *file, int lock)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xLock(real, lock);
}

static int
shim_unlock(sqlite3_file *file, int lock)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xUnlock(real, lock);
}

static int
shim_reserved(sqlite3_file *file, int *out)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xCheckReservedLock(real, out);
}

static int
shim_control(sqlite3_file *file, int op, void *arg)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xFileControl(real, op, arg);
}

static int
shim_sector(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xSectorSize(real);
}

static int
shim_device(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xDeviceCharacteristics(real);
}

static int
shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmMap(real, page, size, extend, out);
}

static int
shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmLock(real, offset, count, flags);
}

static void
shim_shm_barrier(sqlite3_file *file)
{
	sqlite3_file *real = real_of(file);

	real->pMethods->xShmBarrier(real);
}

static int
shim_shm_unmap(sqlite3_file *file, int drop)
{
	sqlite3_file *real = real_of(file);

	return real->pMethods->xShmUnmap(real, drop);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_device,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int
shim_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out_flags)
{
	struct shim_file *shim_file = (struct shim_file *)(void *)file;
	int rc;

	(void)vfs;
	shim_file->real = (sqlite3_file *)(void *)(shim_file + 1);
	shim_file->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
	shim_file->is_db = (flags & SQLITE_OPEN_MAIN_DB) != 0;
	rc = real_vfs->xOpen(real_vfs, name, shim_file->real, flags, out_flags);
	file->pMethods = shim_file->real->pMethods != NULL ? &shim_methods : NULL;
	return rc;
}

void
test_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	assert(real_vfs != NULL && real_vfs != &shim);
	shim = *real_vfs;
	shim.zName = "shim";
	shim.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
	shim.xOpen = shim_open;
	assert(sqlite3_vfs_register(&shim, 1) == SQLITE_OK);
}

void
test_vfs_heal(void)
{
	atomic_store(&test_vfs.sync_wal, 0);
	atomic_store(&test_vfs.sync_any, 0);
	atomic_store(&test_vfs.write_wal, 0);
	atomic_store(&test_vfs.short_wal, 0);
	atomic_store(&test_vfs.read_db, 0);
}
