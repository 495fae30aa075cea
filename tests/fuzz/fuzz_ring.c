/* SPDX-License-Identifier: MIT */
/* What is heard as a ring is said the same way again; the first two bytes give scope and id. */
#include "chat/ring.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	slice in = slice_of((const char *)bytes, len);
	enum ring_scope scope = (enum ring_scope)(fuzz_byte(&in) % 3);
	uint64_t id = fuzz_byte(&in);
	struct mail *mail = ring_decode(scope, id, in), *again;
	struct buf said = {0};

	if (mail == NULL)
		return 0;
	ring_encode(&said, mail);
	again = ring_decode(scope, id, buf_slice(&said));
	assert(again != NULL && again->kind == mail->kind && buf_len(&said) <= in.len);
	ring_mail_destroy(again);
	ring_mail_destroy(mail);
	buf_fini(&said);
	return 0;
}
