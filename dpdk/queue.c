/* Bursts: DPDK's inline functions, one call each. */
#include "hitless_dpdk.h"

#include <rte_ethdev.h>

uint16_t hl_receive(uint16_t port, uint16_t queue, struct hl_mbuf **mbufs, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, (struct rte_mbuf **)mbufs, count);
}

uint16_t hl_transmit(uint16_t port, uint16_t queue, struct hl_mbuf **mbufs, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, (struct rte_mbuf **)mbufs, count);
}
