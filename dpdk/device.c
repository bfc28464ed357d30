/* Devices: probe, configure, start, close, ask. */
#define ALLOW_EXPERIMENTAL_API /* rte_eth_read_clock, until 24.11 */
#include "hitless_dpdk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_version.h>

_Static_assert(HL_RSS_IPV4 == RTE_ETH_RSS_IPV4, "RSS type");
_Static_assert(HL_RSS_IPV4_FRAGMENT == RTE_ETH_RSS_FRAG_IPV4, "RSS type");
_Static_assert(HL_RSS_IPV4_TCP == RTE_ETH_RSS_NONFRAG_IPV4_TCP, "RSS type");
_Static_assert(HL_RSS_IPV4_UDP == RTE_ETH_RSS_NONFRAG_IPV4_UDP, "RSS type");
_Static_assert(HL_RSS_IPV4_SCTP == RTE_ETH_RSS_NONFRAG_IPV4_SCTP, "RSS type");
_Static_assert(HL_RSS_IPV4_OTHER == RTE_ETH_RSS_NONFRAG_IPV4_OTHER, "RSS type");
_Static_assert(HL_RSS_IPV6 == RTE_ETH_RSS_IPV6, "RSS type");
_Static_assert(HL_RSS_IPV6_FRAGMENT == RTE_ETH_RSS_FRAG_IPV6, "RSS type");
_Static_assert(HL_RSS_IPV6_TCP == RTE_ETH_RSS_NONFRAG_IPV6_TCP, "RSS type");
_Static_assert(HL_RSS_IPV6_UDP == RTE_ETH_RSS_NONFRAG_IPV6_UDP, "RSS type");
_Static_assert(HL_RSS_IPV6_SCTP == RTE_ETH_RSS_NONFRAG_IPV6_SCTP, "RSS type");
_Static_assert(HL_RSS_IPV6_OTHER == RTE_ETH_RSS_NONFRAG_IPV6_OTHER, "RSS type");
_Static_assert(HL_RSS_IPV6_EXTENDED == RTE_ETH_RSS_IPV6_EX, "RSS type");
_Static_assert(HL_RSS_IPV6_TCP_EXTENDED == RTE_ETH_RSS_IPV6_TCP_EX, "RSS type");
_Static_assert(HL_RSS_IPV6_UDP_EXTENDED == RTE_ETH_RSS_IPV6_UDP_EX, "RSS type");

_Static_assert(HL_RX_OFFLOAD_IPV4_CHECKSUM == RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, "offload");
_Static_assert(HL_RX_OFFLOAD_UDP_CHECKSUM == RTE_ETH_RX_OFFLOAD_UDP_CKSUM, "offload");
_Static_assert(HL_RX_OFFLOAD_TCP_CHECKSUM == RTE_ETH_RX_OFFLOAD_TCP_CKSUM, "offload");
_Static_assert(HL_RX_OFFLOAD_SCATTER == RTE_ETH_RX_OFFLOAD_SCATTER, "offload");
_Static_assert(HL_RX_OFFLOAD_TIMESTAMP == RTE_ETH_RX_OFFLOAD_TIMESTAMP, "offload");
_Static_assert(HL_RX_OFFLOAD_SCTP_CHECKSUM == RTE_ETH_RX_OFFLOAD_SCTP_CKSUM, "offload");
_Static_assert(HL_TX_OFFLOAD_IPV4_CHECKSUM == RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, "offload");
_Static_assert(HL_TX_OFFLOAD_UDP_CHECKSUM == RTE_ETH_TX_OFFLOAD_UDP_CKSUM, "offload");
_Static_assert(HL_TX_OFFLOAD_TCP_CHECKSUM == RTE_ETH_TX_OFFLOAD_TCP_CKSUM, "offload");
_Static_assert(HL_TX_OFFLOAD_SCTP_CHECKSUM == RTE_ETH_TX_OFFLOAD_SCTP_CKSUM, "offload");
_Static_assert(HL_TX_OFFLOAD_MULTI_SEGMENT == RTE_ETH_TX_OFFLOAD_MULTI_SEGS, "offload");

_Static_assert(HL_RSS_TABLE_MAX % RTE_ETH_RETA_GROUP_SIZE == 0, "table");

int hl_device_probe(const char *arguments)
{
	return rte_dev_probe(arguments);
}

static struct rte_device *device_of(uint16_t port)
{
	struct rte_eth_dev_info info;

	return rte_eth_dev_info_get(port, &info) == 0 ? info.device : NULL;
}

int hl_device_port(const char *name, uint16_t *port)
{
	uint16_t each;

	RTE_ETH_FOREACH_DEV(each) {
		struct rte_device *device = device_of(each);

		if (device != NULL && strcmp(rte_dev_name(device), name) == 0) {
			*port = each;
			return 0;
		}
	}
	return -ENODEV;
}

int hl_device_info(uint16_t port, struct hl_device_info *out)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	int result = rte_eth_dev_info_get(port, &info);

	if (result != 0)
		return result;
	*out = (struct hl_device_info){
		.socket = rte_eth_dev_socket_id(port),
		.mtu_min = info.min_mtu,
		.mtu_max = info.max_mtu,
		.rx_queues_max = info.max_rx_queues,
		.tx_queues_max = info.max_tx_queues,
		.rx_descriptors_max = info.rx_desc_lim.nb_max,
		.tx_descriptors_max = info.tx_desc_lim.nb_max,
		.rx_buffer_max = UINT32_MAX,
		.rss_table_size = info.reta_size,
		.rss_key_size = info.hash_key_size,
		.rss_types = info.flow_type_rss_offloads,
		.rx_offloads = info.rx_offload_capa,
		.tx_offloads = info.tx_offload_capa,
	};
	/* Some drivers limit the frame instead. */
	if (info.max_mtu == UINT16_MAX && info.max_rx_pktlen < UINT16_MAX)
		out->mtu_max = info.max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN;
	/* A device that says nothing of its key has one of the usual length. */
	if (info.reta_size != 0 && info.hash_key_size == 0)
		out->rss_key_size = 40;
#if RTE_VERSION >= RTE_VERSION_NUM(24, 3, 0, 0)
	out->rx_buffer_max = info.max_rx_bufsize;
#endif
	snprintf(out->driver, sizeof(out->driver), "%s", info.driver_name);
	if (rte_eth_macaddr_get(port, &mac) == 0)
		memcpy(out->mac, mac.addr_bytes, sizeof(out->mac));
	return rte_eth_dev_get_mtu(port, &out->mtu);
}

int hl_device_configure(uint16_t port, struct hl_device_config *config)
{
	struct rte_eth_conf conf = {
		.rxmode = {
			.mq_mode = config->rss_types != 0 ? RTE_ETH_MQ_RX_RSS : RTE_ETH_MQ_RX_NONE,
			.mtu = config->mtu,
			.offloads = config->rx_offloads,
		},
		.txmode.offloads = config->tx_offloads,
		.rx_adv_conf.rss_conf = {
			.rss_hf = config->rss_types,
			.rss_key = config->rss_key_size != 0 ? config->rss_key : NULL,
			.rss_key_len = config->rss_key_size,
		},
	};
	int result = rte_eth_dev_configure(port, config->rx_queues, config->tx_queues, &conf);

	if (result != 0)
		return result;
	return rte_eth_dev_adjust_nb_rx_tx_desc(port, &config->rx_descriptors, &config->tx_descriptors);
}

int hl_device_set_mtu(uint16_t port, uint16_t mtu)
{
	return rte_eth_dev_set_mtu(port, mtu);
}

static unsigned int socket_of(uint16_t port)
{
	int socket = rte_eth_dev_socket_id(port);

	return socket < 0 ? (unsigned int)SOCKET_ID_ANY : (unsigned int)socket;
}

int hl_device_rx_queue(uint16_t port, uint16_t queue, uint16_t descriptors, struct hl_pool *pool)
{
	return rte_eth_rx_queue_setup(port, queue, descriptors, socket_of(port), NULL, (struct rte_mempool *)pool);
}

int hl_device_tx_queue(uint16_t port, uint16_t queue, uint16_t descriptors)
{
	return rte_eth_tx_queue_setup(port, queue, descriptors, socket_of(port), NULL);
}

int hl_device_start(uint16_t port)
{
	return rte_eth_dev_start(port);
}

int hl_device_stop(uint16_t port)
{
	return rte_eth_dev_stop(port);
}

void hl_device_close(uint16_t port)
{
	struct rte_device *device = device_of(port);
	uint16_t other;

	rte_eth_dev_stop(port);
	rte_eth_dev_close(port);
	if (device == NULL)
		return;
	RTE_ETH_FOREACH_DEV(other) {
		if (device_of(other) == device)
			return;
	}
	rte_dev_remove(device);
}

int hl_device_rss(uint16_t port, uint8_t *key, uint8_t size, uint64_t *types)
{
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = size};
	int result = rte_eth_dev_rss_hash_conf_get(port, &conf);

	*types = conf.rss_hf;
	return result;
}

int hl_device_set_rss(uint16_t port, uint8_t *key, uint8_t size, uint64_t types)
{
	struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = size, .rss_hf = types};

	return rte_eth_dev_rss_hash_update(port, &conf);
}

int hl_device_set_rss_table(uint16_t port, const uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[HL_RSS_TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE] = {0};

	if (size > HL_RSS_TABLE_MAX)
		return -E2BIG;
	for (uint16_t entry = 0; entry < size; entry++) {
		struct rte_eth_rss_reta_entry64 *group = &groups[entry / RTE_ETH_RETA_GROUP_SIZE];

		group->mask |= UINT64_C(1) << (entry % RTE_ETH_RETA_GROUP_SIZE);
		group->reta[entry % RTE_ETH_RETA_GROUP_SIZE] = queues[entry];
	}
	return rte_eth_dev_rss_reta_update(port, groups, size);
}

int hl_device_rss_table(uint16_t port, uint16_t *queues, uint16_t size)
{
	struct rte_eth_rss_reta_entry64 groups[HL_RSS_TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE] = {0};
	int result;

	if (size > HL_RSS_TABLE_MAX)
		return -E2BIG;
	for (uint16_t entry = 0; entry < size; entry++)
		groups[entry / RTE_ETH_RETA_GROUP_SIZE].mask |= UINT64_C(1) << (entry % RTE_ETH_RETA_GROUP_SIZE);
	result = rte_eth_dev_rss_reta_query(port, groups, size);
	for (uint16_t entry = 0; entry < size; entry++)
		queues[entry] = groups[entry / RTE_ETH_RETA_GROUP_SIZE].reta[entry % RTE_ETH_RETA_GROUP_SIZE];
	return result;
}

int hl_device_add_mac(uint16_t port, const uint8_t mac[6])
{
	struct rte_ether_addr address;

	memcpy(address.addr_bytes, mac, sizeof(address.addr_bytes));
	return rte_eth_dev_mac_addr_add(port, &address, 0);
}

int hl_device_all_multicast(uint16_t port)
{
	return rte_eth_allmulticast_enable(port);
}

int hl_device_promiscuous(uint16_t port)
{
	return rte_eth_promiscuous_enable(port);
}

int hl_device_link(uint16_t port, struct hl_link *out)
{
	struct rte_eth_link link = {0};
	int result = rte_eth_link_get_nowait(port, &link);

	out->up = link.link_status == RTE_ETH_LINK_UP;
	out->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	out->speed_mbps = link.link_speed;
	return result;
}

int hl_device_counters(uint16_t port, struct hl_counters *out)
{
	struct rte_eth_stats stats = {0};
	int result = rte_eth_stats_get(port, &stats);

	*out = (struct hl_counters){
		.rx_packets = stats.ipackets,
		.tx_packets = stats.opackets,
		.rx_bytes = stats.ibytes,
		.tx_bytes = stats.obytes,
		.rx_missed = stats.imissed,
		.rx_errors = stats.ierrors,
		.rx_no_buffer = stats.rx_nombuf,
		.tx_errors = stats.oerrors,
	};
	return result;
}

int hl_device_clock(uint16_t port, uint64_t *ticks)
{
	return rte_eth_read_clock(port, ticks);
}

int hl_device_ptp_time(uint16_t port, uint64_t *nanoseconds)
{
	struct timespec time;
	int result = rte_eth_timesync_read_time(port, &time);

	*nanoseconds = result == 0 ? (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec : 0;
	return result;
}
