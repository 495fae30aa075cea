/* SPDX-License-Identifier: MIT */
#include "cost.h"

#include <sodium.h>
#include <stdio.h>

/* By this name callgrind is told where a profile begins and ends. */
__attribute__((noipa)) void cost_measured(void (*run)(void *cookie), void *cookie);

void
cost_measured(void (*run)(void *cookie), void *cookie)
{
	run(cookie);
}

void
cost_of(const char *name, uint64_t units, void (*prepare)(void *cookie), void (*run)(void *cookie),
    void *cookie)
{
	if (prepare != NULL)
		prepare(cookie);
	run(cookie);
	if (prepare != NULL)
		prepare(cookie);
	cost_measured(run, cookie);
	printf("cost %s %llu\n", name, (unsigned long long)units);
}

void
cost_size(const char *name, size_t bytes)
{
	printf("size %s %zu\n", name, bytes);
}

/* --- Random numbers that are the same in each run --- */

static const char *
seeded_name(void)
{
	return "seeded";
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint32_t
seeded_random(void)
{
	static uint64_t state;
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static void
seeded_bytes(void *const to, const size_t size)
{
	unsigned char *bytes = to;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)seeded_random();
}

int
main(void)
{
	static randombytes_implementation seeded = {
	    .implementation_name = seeded_name, .random = seeded_random, .buf = seeded_bytes};

	(void)randombytes_set_implementation(&seeded);
	cost_sizes_base();
	cost_sizes_chat();
	cost_sizes_gate();
	cost_sizes_net();
	cost_chat();
	cost_store();
	return 0;
}
