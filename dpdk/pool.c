/* Packet buffers, and the proof that our view of them is DPDK's. */
#include "failure.h"
#include "hitless_dpdk.h"

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>
#include <rte_mempool.h>

#define SAME_FIELD(ours, theirs)                                                                                       \
	_Static_assert(offsetof(struct hl_mbuf, ours) == offsetof(struct rte_mbuf, theirs), #ours " moved");           \
	_Static_assert(sizeof(((struct hl_mbuf *)0)->ours) == sizeof(((struct rte_mbuf *)0)->theirs), #ours " resized")

SAME_FIELD(buf_addr, buf_addr);
SAME_FIELD(data_off, data_off);
SAME_FIELD(unused_refcnt, refcnt);
SAME_FIELD(nb_segs, nb_segs);
SAME_FIELD(port, port);
SAME_FIELD(ol_flags, ol_flags);
SAME_FIELD(unused_packet_type, packet_type);
SAME_FIELD(pkt_len, pkt_len);
SAME_FIELD(data_len, data_len);
SAME_FIELD(unused_vlan_tci, vlan_tci);
SAME_FIELD(unused_vlan_tci_outer, vlan_tci_outer);
SAME_FIELD(buf_len, buf_len);
_Static_assert(_Alignof(struct hl_mbuf) <= _Alignof(struct rte_mbuf), "alignment");
_Static_assert(sizeof(struct hl_mbuf) <= sizeof(struct rte_mbuf), "size");

_Static_assert(HL_RX_L4_CHECKSUM_BAD == RTE_MBUF_F_RX_L4_CKSUM_BAD, "flag");
_Static_assert(HL_RX_L4_CHECKSUM_GOOD == RTE_MBUF_F_RX_L4_CKSUM_GOOD, "flag");
_Static_assert((HL_RX_L4_CHECKSUM_BAD | HL_RX_L4_CHECKSUM_GOOD) == RTE_MBUF_F_RX_L4_CKSUM_NONE, "flag");
_Static_assert(HL_RX_IP_CHECKSUM_BAD == RTE_MBUF_F_RX_IP_CKSUM_BAD, "flag");
_Static_assert(HL_RX_IP_CHECKSUM_GOOD == RTE_MBUF_F_RX_IP_CKSUM_GOOD, "flag");
_Static_assert((HL_RX_IP_CHECKSUM_BAD | HL_RX_IP_CHECKSUM_GOOD) == RTE_MBUF_F_RX_IP_CKSUM_NONE, "flag");
_Static_assert(HL_HEADROOM == RTE_PKTMBUF_HEADROOM, "headroom");

struct hl_pool *hl_pool_create(const char *name, uint32_t count, uint32_t cache, uint16_t data_room, int socket,
			       int *error)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(name, count, cache, 0, data_room, socket);

	*error = pool == NULL ? -failure() : 0;
	return (struct hl_pool *)pool;
}

uint32_t hl_pool_available(const struct hl_pool *pool)
{
	return rte_mempool_avail_count((const struct rte_mempool *)pool);
}

struct hl_mbuf *hl_mbuf_allocate(struct hl_pool *pool)
{
	return (struct hl_mbuf *)rte_pktmbuf_alloc((struct rte_mempool *)pool);
}

void hl_mbuf_free(struct hl_mbuf *mbuf)
{
	rte_pktmbuf_free((struct rte_mbuf *)mbuf);
}

void hl_mbuf_free_bulk(struct hl_mbuf **mbufs, uint32_t count)
{
	rte_pktmbuf_free_bulk((struct rte_mbuf **)mbufs, count);
}

int hl_timestamp_field(uint32_t *offset, uint64_t *flag)
{
	int at;

	if (rte_mbuf_dyn_rx_timestamp_register(&at, flag) != 0)
		return failure();
	*offset = (uint32_t)at;
	return 0;
}
