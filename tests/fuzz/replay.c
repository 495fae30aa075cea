/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target on every file of a directory: what was once found stays found. */
#include <dirent.h>
#include <stdio.h>

#include "base/mem.h"
#include "fuzz.h"

static void
replay(const char *path)
{
	struct buf bytes = {0};
	FILE *file = fopen(path, "r");
	uint8_t *exact;
	size_t len;

	if (file == NULL)
		panic("can't open %s", path);
	while ((len = fread(buf_reserve(&bytes, 4096), 1, 4096, file)) > 0)
		buf_grew(&bytes, len);
	(void)fclose(file);
	/* A copy that ends where its memory ends, as libFuzzer gives it. */
	len = buf_len(&bytes);
	exact = mem_alloc(len);
	if (len > 0)
		memcpy(exact, buf_head(&bytes), len);
	(void)LLVMFuzzerTestOneInput(exact, len);
	mem_free(exact);
	buf_fini(&bytes);
}

int
main(int argc, char **argv)
{
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	struct dirent *entry;
	unsigned files = 0;

	if (dir == NULL)
		panic("usage: %s DIRECTORY", argv[0]);
	while ((entry = readdir(dir)) != NULL) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		replay(path);
		files++;
	}
	(void)closedir(dir);
	if (files == 0)
		panic("%s is empty", argv[1]);
	(void)printf("%u inputs of %s\n", files, argv[1]);
	return 0;
}
