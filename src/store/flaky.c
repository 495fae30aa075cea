/* SPDX-License-Identifier: MIT */
#include "store/flaky.h"

#include "base/mem.h"
#include "base/panic.h"
#include "store/rows.h"

static const struct store_driver flaky_driver;

struct flaky {
	struct driver base;
	struct driver *inner; /* owned */
	struct flaky_options options;
	unsigned writes;
};

static struct flaky *
flaky_of(struct driver *driver)
{
	assert(driver->type == &flaky_driver);
	return container_of(driver, struct flaky, base);
}

static void
flaky_close(struct driver **driver)
{
	struct flaky *f = flaky_of(*driver);

	f->inner->type->close(&f->inner);
	mem_free(f);
	*driver = NULL;
}

static void
flaky_write(struct driver *driver, struct op **ops, size_t count)
{
	struct flaky *f = flaky_of(driver);
	bool fails = f->options.fail_every != 0 && ++f->writes % f->options.fail_every == 0;

	if (!fails || f->options.after_commit)
		f->inner->type->write(f->inner, ops, count);
	for (size_t i = 0; fails && i < count; i++) {
		if (!f->options.after_commit)
			op_unavailable(ops[i]);
		else if (ops[i]->fault.err == ERR_OK)
			op_fail(ops[i], ERR_UNKNOWN_OUTCOME, NULL);
	}
}

static uint32_t
flaky_tick(struct driver *driver)
{
	struct driver *inner = flaky_of(driver)->inner;

	return inner->type->tick(inner);
}

static void
flaky_read(struct driver *driver, unsigned reader, struct op *op)
{
	struct driver *inner = flaky_of(driver)->inner;

	inner->type->read(inner, reader, op);
}

static void
flaky_epoch(struct driver *driver, char ret_epoch[EPOCH_BYTES])
{
	struct driver *inner = flaky_of(driver)->inner;

	inner->type->epoch(inner, ret_epoch);
}

static bool
flaky_writable(struct driver *driver, const char **ret_why)
{
	struct driver *inner = flaky_of(driver)->inner;

	return inner->type->writable(inner, ret_why);
}

static uint64_t
flaky_admin_revision(struct driver *driver)
{
	struct driver *inner = flaky_of(driver)->inner;

	return inner->type->admin_revision(inner);
}

static const struct store_driver flaky_driver = {
    .name = "flaky",
    .close = flaky_close,
    .write = flaky_write,
    .tick = flaky_tick,
    .read = flaky_read,
    .epoch = flaky_epoch,
    .writable = flaky_writable,
    .admin_revision = flaky_admin_revision,
};

struct driver *
flaky_wrap(struct driver *inner, const struct flaky_options *options)
{
	struct flaky *f = mem_zalloc(sizeof(*f));

	f->base.type = &flaky_driver;
	f->inner = inner;
	f->options = *options;
	return &f->base;
}

void
flaky_set(struct driver *driver, const struct flaky_options *options)
{
	flaky_of(driver)->options = *options;
}
