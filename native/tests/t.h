/* t.h: the C test harness.
 *
 * A test program is a table of named promises.  It prints one line per test and exits 0
 * when all passed, 1 when one failed, 77 when it could run nothing here (with the reason).
 * Arguments select tests by a substring of their name.  T_CHECK stops the test, not the
 * program. */
#ifndef QX_T_H
#define QX_T_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_case {
	const char *name;
	void (*run)(void);
};

static jmp_buf t_failed;
static void (*t_after_each)(void); /* set by programs whose failed tests leave things */

#define T_FAIL(...)                                                                          \
	do {                                                                                 \
		printf("  %s:%d: ", __FILE__, __LINE__);                                     \
		printf(__VA_ARGS__);                                                         \
		printf("\n");                                                                \
		longjmp(t_failed, 1);                                                        \
	} while (0)

#define T_CHECK(cond)                                                                        \
	do {                                                                                 \
		if (!(cond))                                                                 \
			T_FAIL("%s", #cond);                                                 \
	} while (0)

/* Both sides as signed 64-bit numbers, printed when they differ. */
#define T_EQ(got, want)                                                                      \
	do {                                                                                 \
		int64_t t_got = (int64_t)(got), t_want = (int64_t)(want);                    \
		if (t_got != t_want)                                                         \
			T_FAIL("%s is %lld, not %s (%lld)", #got, (long long)t_got, #want,   \
			       (long long)t_want);                                           \
	} while (0)

#define T_SKIP_PROGRAM(...)                                                                  \
	do {                                                                                 \
		printf("SKIP: ");                                                            \
		printf(__VA_ARGS__);                                                         \
		printf("\n");                                                                \
		exit(77);                                                                    \
	} while (0)

/* A small generator with a printed seed: tests repeat exactly (xorshift64*). */
static inline uint64_t t_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717u;
}

/* Not inlined: no variable of the caller may live in a register across setjmp. */
__attribute__((noinline, unused)) static int t_passes(const struct t_case *c)
{
	if (setjmp(t_failed) != 0)
		return 0;
	c->run();
	return 1;
}

static inline int t_main(const struct t_case *cases, size_t case_cnt, int argc, char **argv)
{
	int failed = 0, ran = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < case_cnt; i++) {
		if (argc > 1 && !strstr(cases[i].name, argv[1]))
			continue;
		ran++;
		if (t_passes(&cases[i])) {
			printf("ok   %s\n", cases[i].name);
		} else {
			failed++;
			printf("FAIL %s\n", cases[i].name);
		}
		if (t_after_each)
			t_after_each();
	}
	printf("%d passed, %d failed\n", ran - failed, failed);
	return failed || !ran;
}

#define T_MAIN(cases)                                                                        \
	int main(int argc, char **argv)                                                      \
	{                                                                                    \
		return t_main(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);          \
	}

#endif
