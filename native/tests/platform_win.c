/* platform_win.c: see platform.h. */
#include "platform.h"

#include <winsock2.h>

#include "win_import.h"

enum {
	NS_PER_MS = 1000000,
	NS_PER_S = 1000000000
};

static uint32_t timer_calls;
static WINAPI BOOL (*set_timer)(HANDLE, const LARGE_INTEGER *, LONG, PTIMERAPCROUTINE, LPVOID,
				BOOL);

static WINAPI BOOL counted_set_timer(HANDLE timer, const LARGE_INTEGER *due, LONG period,
				     PTIMERAPCROUTINE routine, LPVOID arg, BOOL resume)
{
	HMODULE kernel = GetModuleHandleW(L"kernel32.dll");

	timer_calls++;
	if (!set_timer)
		set_timer = (__typeof__(set_timer))(void *)GetProcAddress(kernel,
									  "SetWaitableTimer");
	return set_timer(timer, due, period, routine, arg, resume);
}

WIN_IMPORT(SetWaitableTimer, counted_set_timer);

uint32_t platform_timer_calls(void)
{
	return timer_calls;
}

int platform_open_handles(void)
{
	DWORD cnt = 0;

	GetProcessHandleCount(GetCurrentProcess(), &cnt);
	return (int)cnt;
}

bool platform_readable(struct qx_datapath *dp, int timeout_ms)
{
	return qx_wait(dp, 0, (uint64_t)timeout_ms * NS_PER_MS) == 1;
}

void platform_pump(struct qx_datapath *const *dps, uint32_t cnt, int timeout_ms)
{
	for (int ms = 0; ms <= timeout_ms; ms++) {
		for (uint32_t i = 0; i < cnt; i++)
			if (qx_wait(dps[i], 0, 0) == 1)
				return;
		Sleep(ms < timeout_ms);
	}
}

uint64_t platform_now_ns(void)
{
	LARGE_INTEGER count, hz;

	QueryPerformanceCounter(&count);
	QueryPerformanceFrequency(&hz);
	return (uint64_t)(count.QuadPart / hz.QuadPart) * NS_PER_S +
	       (uint64_t)(count.QuadPart % hz.QuadPart) * NS_PER_S / (uint64_t)hz.QuadPart;
}
