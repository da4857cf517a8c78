/* leaks.h: what must be as before after every test: open descriptors. */
#ifndef QX_LEAKS_H
#define QX_LEAKS_H

#include <dirent.h>
#include <stdio.h>

static inline int leaks_open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int cnt = 0;

	while (dir && readdir(dir))
		cnt++;
	if (dir)
		closedir(dir);
	return cnt;
}

static int leaks_fds_before = -1;
static int leaks_found;

/* leaks_check compares with the first call, says what is wrong and starts over, so that one
 * leak is told once.  Programs return leaks_found as a failure. */
static inline void leaks_check(void)
{
	int now = leaks_open_fds();

	if (leaks_fds_before >= 0 && now != leaks_fds_before) {
		printf("FAIL it left descriptors open: %d before, %d after\n",
		       leaks_fds_before, now);
		leaks_found = 1;
	}
	leaks_fds_before = now;
}

#endif
