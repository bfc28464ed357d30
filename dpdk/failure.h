/* Inside the C side only. */
#ifndef HITLESS_FAILURE_H
#define HITLESS_FAILURE_H

#include <errno.h>

#include <rte_errno.h>

/* The result of a DPDK call that failed. Some fail without a word in rte_errno. */
static inline int failure(void)
{
	return rte_errno > 0 ? -rte_errno : -EIO;
}

#endif
