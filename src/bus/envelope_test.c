/* SPDX-License-Identifier: MIT */
#include "bus/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"

static struct envelope_self
self_of(const char *node, uint64_t boot, const char *epoch, const char *key)
{
	struct envelope_self self = {.node = slice_str(node), .boot = boot};

	envelope_set_epoch(&self, slice_str(epoch));
	(void)snprintf((char *)self.key, sizeof(self.key), "%s", key);
	return self;
}

static void
put_rings(struct buf *to, const struct envelope_self *self)
{
	struct envelope e = {.kind = ENVELOPE_RINGS, .scope = RING_USER, .id = 77, .seq = 5};

	envelope_begin(to, self, &e);
	envelope_frame(to, S("one"));
	envelope_frame(to, S(""));
	envelope_frame(to, S("three"));
	envelope_end(to, 0, self);
}

static void
rings_come_out_as_they_went_in(void **state)
{
	struct envelope_self a = self_of("a", 1, "e", "k"), b = self_of("b", 2, "e", "k");
	struct envelope e;
	struct buf bytes = {0};
	slice ring;

	(void)state;
	put_rings(&bytes, &a);
	assert_int_equal(envelope_open(buf_slice(&bytes), &b, &e), ENVELOPE_GOOD);
	assert_true(e.kind == ENVELOPE_RINGS && e.scope == RING_USER && e.id == 77);
	assert_true(e.seq == 5 && e.boot == 1 && slice_eq(e.node, S("a")));
	assert_true(envelope_next(&e.frames, &ring) && slice_eq(ring, S("one")));
	assert_true(envelope_next(&e.frames, &ring) && ring.len == 0);
	assert_true(envelope_next(&e.frames, &ring) && slice_eq(ring, S("three")));
	assert_false(envelope_next(&e.frames, &ring));
	assert_int_equal(envelope_open(buf_slice(&bytes), &a, &e), ENVELOPE_OWN);
	buf_fini(&bytes);
}

static void
a_beacon_says_what_its_node_dropped(void **state)
{
	struct envelope_self a = self_of("a", 1, "e", "k"), b = self_of("a", 2, "e", "k");
	struct envelope e = {.kind = ENVELOPE_BEACON,
	    .scope = RING_ALL,
	    .seq = 9,
	    .drops = UINT64_MAX,
	    .sent_ns = 123456789012345};
	struct buf bytes = {0};

	(void)state;
	envelope_begin(&bytes, &a, &e);
	envelope_end(&bytes, 0, &a);
	e = (struct envelope){0};
	/* The same name, another process. */
	assert_int_equal(envelope_open(buf_slice(&bytes), &b, &e), ENVELOPE_GOOD);
	assert_true(e.seq == 9 && e.drops == UINT64_MAX && e.sent_ns == 123456789012345);
	buf_fini(&bytes);
}

static void
strangers_are_told_apart(void **state)
{
	struct envelope_self a = self_of("a", 1, "e", "k"), epoch = self_of("b", 2, "f", "k"),
			     key = self_of("b", 2, "e", "l");
	struct buf bytes = {0};
	struct envelope e;

	(void)state;
	put_rings(&bytes, &a);
	assert_int_equal(envelope_open(buf_slice(&bytes), &epoch, &e), ENVELOPE_EPOCH);
	assert_int_equal(envelope_open(buf_slice(&bytes), &key, &e), ENVELOPE_FORGED);
	bytes.bytes[0] = 2;
	assert_int_equal(envelope_open(buf_slice(&bytes), &a, &e), ENVELOPE_VERSION);
	/* Nobody takes another's beacon for his own. */
	buf_clear(&bytes);
	e = (struct envelope){.kind = ENVELOPE_BEACON, .scope = RING_ALL};
	key.node = a.node;
	key.boot = a.boot;
	envelope_begin(&bytes, &key, &e);
	envelope_end(&bytes, 0, &key);
	assert_int_equal(envelope_open(buf_slice(&bytes), &a, &e), ENVELOPE_FORGED);
	buf_fini(&bytes);
}

/* Each length and each changed bit, in a block of its own, so that a byte beyond is seen. */
static void
nothing_cut_or_changed_is_heard(void **state)
{
	struct envelope_self a = self_of("a", 1, "e", "k"), b = self_of("b", 2, "e", "k");
	struct buf bytes = {0};
	struct envelope e;
	slice all;

	(void)state;
	put_rings(&bytes, &a);
	all = buf_slice(&bytes);
	for (size_t len = 0; len < all.len; len++) {
		char *cut = mem_alloc(len + 1);

		memcpy(cut, all.ptr, len);
		cut = mem_resize(cut, len > 0 ? len : 1, 1);
		assert_int_not_equal(envelope_open(slice_of(cut, len), &b, &e), ENVELOPE_GOOD);
		mem_free(cut);
	}
	for (size_t bit = 0; bit < all.len * 8; bit++) {
		enum envelope_verdict verdict;

		bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
		verdict = envelope_open(all, &b, &e);
		assert_true(verdict != ENVELOPE_GOOD && verdict != ENVELOPE_OWN);
		bytes.bytes[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_int_equal(envelope_open(all, &b, &e), ENVELOPE_GOOD);
	buf_fini(&bytes);
}

/* Signed, and yet nonsense: of a node with a fault, or of another make. */
static void
signed_nonsense_is_damaged(void **state)
{
	struct envelope_self a = self_of("a", 1, "e", "k"), b = self_of("b", 2, "e", "k");
	const struct envelope heads[] = {
	    {.kind = (enum envelope_kind)9, .scope = RING_ALL},
	    {.kind = ENVELOPE_RINGS, .scope = (enum ring_scope)9},
	    {.kind = ENVELOPE_BYE, .scope = RING_ALL},
	    {.kind = ENVELOPE_BEACON, .scope = RING_ALL},
	    {.kind = ENVELOPE_RINGS, .scope = RING_ALL},
	};

	(void)state;
	for (size_t i = 0; i < LEN(heads); i++) {
		struct buf bytes = {0};
		struct envelope e;

		envelope_begin(&bytes, &a, &heads[i]);
		buf_append(&bytes, "\xff\xff\xff\xff", 4);
		envelope_end(&bytes, 0, &a);
		assert_int_equal(envelope_open(buf_slice(&bytes), &b, &e), ENVELOPE_DAMAGED);
		buf_fini(&bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rings_come_out_as_they_went_in),
	    cmocka_unit_test(a_beacon_says_what_its_node_dropped),
	    cmocka_unit_test(strangers_are_told_apart),
	    cmocka_unit_test(nothing_cut_or_changed_is_heard),
	    cmocka_unit_test(signed_nonsense_is_damaged),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
