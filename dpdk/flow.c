/* Flow rules: UDP to one port goes to one queue. */
#include "failure.h"
#include "hitless_dpdk.h"

#include <netinet/in.h>
#include <stdio.h>

#include <rte_byteorder.h>
#include <rte_flow.h>

static int explain(int result, const struct rte_flow_error *error, char *message, size_t size)
{
	snprintf(message, size, "%s", error->message != NULL ? error->message : rte_strerror(-result));
	return result;
}

int hl_flow_create(uint16_t port, const struct hl_flow_request *request, struct hl_flow **flow, char *message,
		   size_t size)
{
	const struct rte_flow_attr attributes = {.ingress = 1};
	const struct rte_flow_item_ipv4 ipv4 = {.hdr.next_proto_id = IPPROTO_UDP};
	const struct rte_flow_item_ipv4 ipv4_mask = {.hdr.next_proto_id = 0xff};
	const struct rte_flow_item_ipv6 ipv6 = {.hdr.proto = IPPROTO_UDP};
	const struct rte_flow_item_ipv6 ipv6_mask = {.hdr.proto = 0xff};
	const struct rte_flow_item_udp udp = {.hdr.dst_port = rte_cpu_to_be_16(request->udp_port)};
	const struct rte_flow_item_udp udp_mask = {.hdr.dst_port = 0xffff};
	struct rte_flow_item ip = {
		.type = request->ipv6 ? RTE_FLOW_ITEM_TYPE_IPV6 : RTE_FLOW_ITEM_TYPE_IPV4,
	};
	if (request->name_protocol) {
		ip.spec = request->ipv6 ? (const void *)&ipv6 : &ipv4;
		ip.mask = request->ipv6 ? (const void *)&ipv6_mask : &ipv4_mask;
	}
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH},
		ip,
		{.type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask},
		{.type = RTE_FLOW_ITEM_TYPE_END},
	};
	const struct rte_flow_action_queue queue = {.index = request->queue};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &queue},
		{.type = RTE_FLOW_ACTION_TYPE_END},
	};
	struct rte_flow_error error = {0};
	int result = rte_flow_validate(port, &attributes, pattern, actions, &error);

	if (result != 0)
		return explain(result, &error, message, size);
	if (flow == NULL)
		return 0;
	*flow = (struct hl_flow *)rte_flow_create(port, &attributes, pattern, actions, &error);
	return *flow == NULL ? explain(failure(), &error, message, size) : 0;
}

int hl_flow_destroy(uint16_t port, struct hl_flow *flow)
{
	struct rte_flow_error error;

	return rte_flow_destroy(port, (struct rte_flow *)flow, &error);
}
