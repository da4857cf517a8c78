/* test_umem.c: every frame has one owner, and the census knows. */
#include "umem.h"

#include <errno.h>

#include "t.h"

static uint32_t census_sum(const struct qx_umem *u)
{
	uint32_t sum = 0;

	for (int i = 0; i < QX_FRAME_STATE_CNT; i++)
		sum += u->census[i];
	return sum;
}

/* A new umem is all ours, page aligned (UMEM registration requires it) and writable. */
static void all_frames_start_free(void)
{
	struct qx_umem u;

	T_EQ(umem_open(&u, 64, 2048), 0);
	T_EQ(u.frame_cnt, 64);
	T_EQ(u.frame_shift, 11);
	T_EQ(u.len_bytes, 64 * 2048);
	T_EQ(u.census[QX_FRAME_FREE], 64);
	T_EQ(census_sum(&u), 64);
	T_EQ((uintptr_t)u.base % 4096, 0);
	u.base[u.len_bytes - 1] = 1;
	umem_close(&u);
	T_CHECK(u.base == NULL);
}

/* Frame sizes that AF_XDP cannot address are refused before the kernel sees them. */
static void impossible_sizes_are_refused(void)
{
	struct qx_umem u;

	T_EQ(umem_open(&u, 0, 2048), -EINVAL);
	T_EQ(umem_open(&u, 64, 0), -EINVAL);
	T_EQ(umem_open(&u, 64, 3000), -EINVAL);
	T_EQ(umem_open(&u, UINT32_MAX, 4096), -EINVAL);
	T_CHECK(u.base == NULL);
	umem_close(&u);
}

/* Taking yields each frame once, and says so when there are no more. */
static void taking_yields_each_frame_once(void)
{
	bool seen[32] = {false};
	struct qx_umem u;

	T_EQ(umem_open(&u, 32, 2048), 0);
	for (int i = 0; i < 32; i++) {
		uint32_t frame = umem_take(&u, QX_FRAME_BUILT);

		T_CHECK(frame < 32 && !seen[frame]);
		seen[frame] = true;
		T_EQ(u.state[frame], QX_FRAME_BUILT);
		T_EQ(census_sum(&u), 32);
	}
	T_EQ(umem_take(&u, QX_FRAME_BUILT), UINT32_MAX);
	T_EQ(u.census[QX_FRAME_BUILT], 32);
	umem_close(&u);
}

/* All moves from all states: exactly those from the frame's own place succeed. */
static void only_moves_from_the_right_place_succeed(void)
{
	struct qx_umem u;

	T_EQ(umem_open(&u, 8, 2048), 0);
	for (int at = 1; at < QX_FRAME_STATE_CNT; at++)
		for (int from = 0; from < QX_FRAME_STATE_CNT; from++)
			for (int to = 0; to < QX_FRAME_STATE_CNT; to++) {
				uint32_t frame = umem_take(&u, (enum qx_frame_state)at);
				bool moved = umem_move(&u, frame, (enum qx_frame_state)from,
						       (enum qx_frame_state)to);

				T_EQ(moved, from == at);
				T_EQ(u.state[frame], moved ? to : at);
				T_EQ(census_sum(&u), 8);
				if (u.state[frame] != QX_FRAME_FREE)
					T_CHECK(umem_move(&u, frame,
							  (enum qx_frame_state)u.state[frame],
							  QX_FRAME_FREE));
				T_EQ(u.census[QX_FRAME_FREE], 8);
			}
	umem_close(&u);
}

/* A phantom completion (the kernel reports a frame twice) must not free it twice: the next
 * two packets would share a buffer. */
static void a_frame_given_back_twice_is_caught(void)
{
	struct qx_umem u;
	uint32_t a;

	T_EQ(umem_open(&u, 4, 4096), 0);
	a = umem_take(&u, QX_FRAME_BUILT);
	T_CHECK(umem_move(&u, a, QX_FRAME_BUILT, QX_FRAME_TX));
	T_CHECK(umem_move(&u, a, QX_FRAME_TX, QX_FRAME_FREE));
	T_CHECK(!umem_move(&u, a, QX_FRAME_TX, QX_FRAME_FREE));
	T_EQ(u.census[QX_FRAME_FREE], 4);
	umem_close(&u);
}

/* Numbers that come out of a ring may be anything. */
static void frame_numbers_out_of_range_are_refused(void)
{
	struct qx_umem u;

	T_EQ(umem_open(&u, 4, 2048), 0);
	T_CHECK(!umem_move(&u, 4, QX_FRAME_FREE, QX_FRAME_FILL));
	T_CHECK(!umem_move(&u, UINT32_MAX, QX_FRAME_TX, QX_FRAME_FREE));
	T_EQ(umem_frame_of(&u, 4 * 2048 - 1), 3);
	T_CHECK(umem_frame_of(&u, UINT64_MAX) >= 4);
	T_CHECK(umem_frame(&u, 3) == u.base + 3 * 2048);
	umem_close(&u);
}

static const struct t_case cases[] = {
	{"all frames start free", all_frames_start_free},
	{"impossible sizes are refused", impossible_sizes_are_refused},
	{"taking yields each frame once", taking_yields_each_frame_once},
	{"only moves from the right place succeed", only_moves_from_the_right_place_succeed},
	{"a frame given back twice is caught", a_frame_given_back_twice_is_caught},
	{"frame numbers out of range are refused", frame_numbers_out_of_range_are_refused},
};

T_MAIN(cases)
