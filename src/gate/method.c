/* SPDX-License-Identifier: MIT */
#include "gate/method.h"

#include "base/panic.h"

static const struct method methods[] = {
#define METHOD_AS_ROW(text, run_name, table, who, heavy, ...)                                      \
	{.name = "" text,                                                                          \
	    .name_len = sizeof(text) - 1,                                                          \
	    .run = run_##run_name,                                                                 \
	    .params = table,                                                                       \
	    .need = who,                                                                           \
	    .weight = heavy,                                                                       \
	    __VA_ARGS__},
    METHODS(METHOD_AS_ROW)};
static_assert(LEN(methods) <= UINT8_MAX, "a tag holds the index in a byte");

const struct method *
method_find(slice name)
{
	for (size_t i = 0; i < LEN(methods); i++)
		if (methods[i].name_len == name.len &&
		    memcmp(methods[i].name, name.ptr, name.len) == 0)
			return &methods[i];
	return NULL;
}

unsigned
method_index(const struct method *method)
{
	return (unsigned)(method - methods);
}

const struct method *
method_at(unsigned index)
{
	assert(index < LEN(methods));
	return &methods[index];
}
