/* EAL, its log, threads, cycles. */
#define _GNU_SOURCE
#include "failure.h"
#include "hitless_dpdk.h"

#include <stdio.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_version.h>

static hl_log_writer log_writer;

static ssize_t log_write(void *cookie, const char *text, size_t length)
{
	(void)cookie;
	log_writer(text, length, (uint32_t)rte_log_cur_msg_loglevel());
	return (ssize_t)length;
}

/* For EAL's usage text of a hundred lines. */
static ssize_t swallow(void *cookie, const char *text, size_t length)
{
	(void)cookie;
	(void)text;
	return (ssize_t)length;
}

int hl_log_open(hl_log_writer writer)
{
	FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_write});
	FILE *nowhere = fopencookie(NULL, "w", (cookie_io_functions_t){.write = swallow});

	if (stream == NULL || nowhere == NULL)
		return -errno;
	setvbuf(stream, NULL, _IOLBF, 0);
	log_writer = writer;
	if (rte_openlog_stream(stream) != 0)
		return -EIO;
	/* EAL prints its worst errors here, and so do the libraries under some drivers. Rust's own output does not
	 * pass through these. */
	stderr = stream;
	stdout = nowhere;
	return 0;
}

int hl_eal_start(int argc, char **argv)
{
	rte_errno = 0;
	return rte_eal_init(argc, argv) < 0 ? failure() : 0;
}

void hl_eal_stop(void)
{
	rte_eal_cleanup();
}

int hl_thread_register(void)
{
	if (rte_lcore_id() != LCORE_ID_ANY)
		return -EEXIST;
	return rte_thread_register() != 0 ? failure() : 0;
}

void hl_thread_unregister(void)
{
	rte_thread_unregister();
}

uint64_t hl_cycles(void)
{
	return rte_get_tsc_cycles();
}

uint64_t hl_cycles_hz(void)
{
	return rte_get_tsc_hz();
}

const char *hl_error_text(int error)
{
	return rte_strerror(error);
}

const char *hl_version(void)
{
	return rte_version();
}
