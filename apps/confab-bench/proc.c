/* SPDX-License-Identifier: MIT */
#include "proc.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "wire/json.h"

/* `pid (name) state …`: the name may hold anything, also brackets. */
static bool
stat_read(const char *path, char ret_name[32], double *ret_cpu_s)
{
	unsigned long user, sys;
	char text[1024], *open, *close;
	FILE *f = fopen(path, "r");
	bool got = f != NULL && fgets(text, sizeof(text), f) != NULL;

	if (f != NULL)
		(void)fclose(f);
	if (!got || (open = strchr(text, '(')) == NULL || (close = strrchr(text, ')')) == NULL)
		return false;
	*close = '\0';
	(void)snprintf(ret_name, 32, "%s", open + 1);
	if (sscanf(close + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) !=
	    2)
		return false;
	*ret_cpu_s = (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
	return true;
}

bool
proc_cpu_read(int pid, struct proc_cpu *ret)
{
	char path[320], name[32];
	const struct dirent *entry;
	DIR *tasks;

	ret->count = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!stat_read(path, name, &ret->cpu_s))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if ((tasks = opendir(path)) == NULL)
		return false;
	while ((entry = readdir(tasks)) != NULL && ret->count < PROC_THREADS_MAX) {
		struct proc_thread *thread = &ret->threads[ret->count];

		if (entry->d_name[0] == '.')
			continue;
		thread->tid = (int)strtol(entry->d_name, NULL, 10);
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, thread->tid);
		if (stat_read(path, thread->name, &thread->cpu_s))
			ret->count++;
	}
	(void)closedir(tasks);
	return true;
}

bool
proc_memory_read(int pid, struct proc_memory *ret)
{
	char path[64], line[256];
	unsigned long kib;
	FILE *f;

	*ret = (struct proc_memory){0};
	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	if ((f = fopen(path, "r")) == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "Rss: %lu kB", &kib) == 1)
			ret->rss = (uint64_t)kib * 1024;
		else if (sscanf(line, "Private_Dirty: %lu kB", &kib) == 1)
			ret->private_dirty = (uint64_t)kib * 1024;
	}
	(void)fclose(f);
	return true;
}

double
proc_own_cpu_s(void)
{
	struct rusage used;

	(void)getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

void
proc_put_machine(struct buf *to)
{
	char line[256], model[128] = "";
	struct utsname system;
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f != NULL && model[0] == '\0' && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "model name : %127[^\n]", model);
	if (f != NULL)
		(void)fclose(f);
	(void)uname(&system);
	buf_put(to, S("{"));
	json_str(to, "cpu", slice_str(model));
	json_uint(to, "cores", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
	json_str(to, "kernel", slice_str(system.release));
	json_uint(
	    to, "memory", (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
	buf_put(to, S("}"));
}
