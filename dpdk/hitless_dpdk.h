/*
 * The foreign contract: all that Rust knows of DPDK. Only our own functions and structs stand here, so that one
 * header serves every DPDK from 22.11 to 24.11; the C files beside it tie each value to DPDK's own.
 *
 * Functions that can fail return 0 or a negative errno. Nothing here keeps a pointer that it was passed, except
 * where a comment says so.
 */
#ifndef HITLESS_DPDK_H
#define HITLESS_DPDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---------------------------------------------------------------- EAL and log (eal.c) */

/* Takes `length` bytes of log text, not ended by 0, in a message of DPDK's `level` (1 worst, 8 debug; 0 unknown).
 * Called on any thread; must not print through C's stdio. */
typedef void (*hl_log_writer)(const char *text, size_t length, uint32_t level);

/* From now on DPDK's log, and what C code prints to stderr, goes to `writer`, which is kept; what C code prints to
 * stdout goes nowhere. */
int hl_log_open(hl_log_writer writer);

/* rte_eal_init, at most once a process. The thread that calls becomes DPDK's main thread and stays pinned to its
 * core: let it be one that ends. `argv` has `argc` writable strings and a NULL, and outlives the EAL. */
int hl_eal_start(int argc, char **argv);
void hl_eal_stop(void);

/* Gives the calling thread an identity of its own, which memory pools need for their caches. */
int hl_thread_register(void);
void hl_thread_unregister(void);

uint64_t hl_cycles(void);
uint64_t hl_cycles_hz(void);

/* Static, or of the calling thread until its next call. `error` is positive. */
const char *hl_error_text(int error);
const char *hl_version(void);

/* ---------------------------------------------------------------- packet buffers (pool.c) */

/* The first cache line of an rte_mbuf. Rust reads and writes it in place. */
struct hl_mbuf {
	uint8_t *buf_addr;
	uint64_t unused_iova;
	uint16_t data_off;
	uint16_t unused_refcnt;
	uint16_t nb_segs;
	uint16_t port;
	uint64_t ol_flags;
	uint32_t unused_packet_type;
	uint32_t pkt_len;
	uint16_t data_len;
	uint16_t unused_vlan_tci;
	uint32_t unused_rss_hash;
	uint32_t unused_hash_hi;
	uint16_t unused_vlan_tci_outer;
	uint16_t buf_len;
};

/* Bits of ol_flags. Both bits of a pair: the data is right, the field is not filled in. */
#define HL_RX_L4_CHECKSUM_BAD 0x008
#define HL_RX_L4_CHECKSUM_GOOD 0x100
#define HL_RX_IP_CHECKSUM_BAD 0x010
#define HL_RX_IP_CHECKSUM_GOOD 0x080

/* Bytes before the frame in a fresh buffer. */
#define HL_HEADROOM 128

struct hl_pool; /* an rte_mempool */

/* NULL, and the errno in `error`, when it cannot be had. `socket` -1: any. */
struct hl_pool *hl_pool_create(const char *name, uint32_t count, uint32_t cache, uint16_t data_room, int socket,
			       int *error);
uint32_t hl_pool_available(const struct hl_pool *pool);
struct hl_mbuf *hl_mbuf_allocate(struct hl_pool *pool);
void hl_mbuf_free(struct hl_mbuf *mbuf);
void hl_mbuf_free_bulk(struct hl_mbuf **mbufs, uint32_t count);

/* Where drivers put receive times in an mbuf: byte offset, and the bit of ol_flags that says it is set. */
int hl_timestamp_field(uint32_t *offset, uint64_t *flag);

/* ---------------------------------------------------------------- devices (device.c) */

#define HL_RSS_IPV4 0x0004
#define HL_RSS_IPV4_FRAGMENT 0x0008
#define HL_RSS_IPV4_TCP 0x0010
#define HL_RSS_IPV4_UDP 0x0020
#define HL_RSS_IPV4_SCTP 0x0040
#define HL_RSS_IPV4_OTHER 0x0080
#define HL_RSS_IPV6 0x0100
#define HL_RSS_IPV6_FRAGMENT 0x0200
#define HL_RSS_IPV6_TCP 0x0400
#define HL_RSS_IPV6_UDP 0x0800
#define HL_RSS_IPV6_SCTP 0x1000
#define HL_RSS_IPV6_OTHER 0x2000
/* The same with extension headers. Some devices know IPv6 only in this form. */
#define HL_RSS_IPV6_EXTENDED 0x08000
#define HL_RSS_IPV6_TCP_EXTENDED 0x10000
#define HL_RSS_IPV6_UDP_EXTENDED 0x20000

#define HL_RX_OFFLOAD_IPV4_CHECKSUM 0x00002
#define HL_RX_OFFLOAD_UDP_CHECKSUM 0x00004
#define HL_RX_OFFLOAD_TCP_CHECKSUM 0x00008
#define HL_RX_OFFLOAD_SCATTER 0x02000
#define HL_RX_OFFLOAD_TIMESTAMP 0x04000
#define HL_RX_OFFLOAD_SCTP_CHECKSUM 0x20000

#define HL_TX_OFFLOAD_IPV4_CHECKSUM 0x0002
#define HL_TX_OFFLOAD_UDP_CHECKSUM 0x0004
#define HL_TX_OFFLOAD_TCP_CHECKSUM 0x0008
#define HL_TX_OFFLOAD_SCTP_CHECKSUM 0x0010
#define HL_TX_OFFLOAD_MULTI_SEGMENT 0x8000

/* Longest RSS key and largest redirection table we handle. */
#define HL_RSS_KEY_MAX 64
#define HL_RSS_TABLE_MAX 2048

struct hl_device_info {
	char driver[64];
	int32_t socket; /* -1: unknown */
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t mtu_min;
	uint16_t mtu_max;
	uint16_t rx_queues_max;
	uint16_t tx_queues_max;
	uint16_t rx_descriptors_max;
	uint16_t tx_descriptors_max;
	uint32_t rx_buffer_max; /* largest buffer a descriptor takes; UINT32_MAX: not said */
	uint16_t rss_table_size;
	uint8_t rss_key_size;
	uint64_t rss_types;
	uint64_t rx_offloads;
	uint64_t tx_offloads;
};

struct hl_device_config {
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t rx_descriptors; /* wanted; set to what the device takes */
	uint16_t tx_descriptors; /* likewise */
	uint16_t mtu;		 /* 0: the device's default */
	uint64_t rx_offloads;
	uint64_t tx_offloads;
	uint64_t rss_types; /* 0: no RSS */
	uint8_t rss_key[HL_RSS_KEY_MAX];
	uint8_t rss_key_size; /* 0: the device's default */
};

struct hl_link {
	bool up;
	bool full_duplex;
	uint32_t speed_mbps; /* UINT32_MAX: unknown */
};

struct hl_counters {
	uint64_t rx_packets;
	uint64_t tx_packets;
	uint64_t rx_bytes;
	uint64_t tx_bytes;
	uint64_t rx_missed;
	uint64_t rx_errors;
	uint64_t rx_no_buffer;
	uint64_t tx_errors;
};

/* Makes a driver take a device: a PCI address or a virtual device's name, with arguments. */
int hl_device_probe(const char *arguments);
/* The first port of the device of this name; -ENODEV without one. */
int hl_device_port(const char *name, uint16_t *port);
int hl_device_info(uint16_t port, struct hl_device_info *info);

/* In this order; the device is stopped until hl_device_start. Queues keep `pool`. */
int hl_device_configure(uint16_t port, struct hl_device_config *config);
int hl_device_set_mtu(uint16_t port, uint16_t mtu);
int hl_device_rx_queue(uint16_t port, uint16_t queue, uint16_t descriptors, struct hl_pool *pool);
int hl_device_tx_queue(uint16_t port, uint16_t queue, uint16_t descriptors);
int hl_device_start(uint16_t port);
int hl_device_stop(uint16_t port);
/* Stops the port, closes it, and gives the device back once it has no other port. */
void hl_device_close(uint16_t port);

/* Key and types in force; `key` has `size` bytes. */
int hl_device_rss(uint16_t port, uint8_t *key, uint8_t size, uint64_t *types);
int hl_device_set_rss(uint16_t port, uint8_t *key, uint8_t size, uint64_t types);
int hl_device_set_rss_table(uint16_t port, const uint16_t *queues, uint16_t size);
int hl_device_rss_table(uint16_t port, uint16_t *queues, uint16_t size);

int hl_device_add_mac(uint16_t port, const uint8_t mac[6]);
int hl_device_all_multicast(uint16_t port);
int hl_device_promiscuous(uint16_t port);
int hl_device_link(uint16_t port, struct hl_link *link);
int hl_device_counters(uint16_t port, struct hl_counters *counters);
/* The free-running clock that receive times are told in, and the PTP clock in nanoseconds. */
int hl_device_clock(uint16_t port, uint64_t *ticks);
int hl_device_ptp_time(uint16_t port, uint64_t *nanoseconds);

/* ---------------------------------------------------------------- bursts (queue.c) */

/* Each queue: one thread at a time. Return how many of `count` were received, or taken for sending. */
uint16_t hl_receive(uint16_t port, uint16_t queue, struct hl_mbuf **mbufs, uint16_t count);
uint16_t hl_transmit(uint16_t port, uint16_t queue, struct hl_mbuf **mbufs, uint16_t count);

/* ---------------------------------------------------------------- flow rules (flow.c) */

struct hl_flow; /* an rte_flow */

struct hl_flow_request {
	uint16_t udp_port; /* destination, host order */
	uint16_t queue;
	bool ipv6;
	bool name_protocol; /* spell "next header is UDP" out in the IP item, as some drivers want */
};

/* With `flow` NULL only asks whether the rule could be made. On failure `message` gets the driver's reason. */
int hl_flow_create(uint16_t port, const struct hl_flow_request *request, struct hl_flow **flow, char *message,
		   size_t size);
int hl_flow_destroy(uint16_t port, struct hl_flow *flow);

#endif
