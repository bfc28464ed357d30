/* DPDK's rte_hash by the method of tables.rs: the same keys in the same order, batches of 32, each look-up ended by a
 * read from the session it found.
 *
 * cc -O3 -march=native perf/rte_hash.c -o rte_hash $(pkg-config --cflags --libs libdpdk)
 * ./rte_hash SLOTS... */
#include <stdio.h>
#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_prefetch.h>

#define BATCH 32
#define ROUNDS 5
#define LOOKUPS (1u << 20)

struct key {
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint32_t protocol;
};

struct session {
	uint32_t last_seen_ms;
	char rest[60];
} __attribute__((aligned(64)));

static struct session *sessions;

static struct key key_of(uint32_t number)
{
	uint32_t side = number / 2 / 60000;
	uint16_t port = rte_cpu_to_be_16(1024 + number / 2 % 60000);

	if (number % 2 == 0)
		return (struct key){rte_cpu_to_be_32(20u << 24 | side), rte_cpu_to_be_32(10u << 24 | 1), port,
				    rte_cpu_to_be_16(80), 17};
	return (struct key){rte_cpu_to_be_32(12u << 24 | 1), rte_cpu_to_be_32(11u << 24 | side),
			    rte_cpu_to_be_16(8080), port, 17};
}

static void fill(struct key *queries, uint32_t first, uint32_t count)
{
	uint32_t state = 1;

	for (uint32_t n = 0; n < LOOKUPS; n++) {
		state = state * 1664525 + 1013904223;
		queries[n] = key_of(first + (uint32_t)(((uint64_t)state * count) >> 32));
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double measure(const struct rte_hash *table, const struct key *queries, uint32_t *found)
{
	double rounds[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start = rte_rdtsc();

		*found = 0;
		for (uint32_t at = 0; at < LOOKUPS; at += BATCH) {
			const void *keys[BATCH];
			void *data[BATCH];
			uint64_t hits = 0;

			for (int n = 0; n < BATCH; n++)
				keys[n] = &queries[at + n];
			rte_hash_lookup_bulk_data(table, keys, BATCH, &hits, data);
			for (int n = 0; n < BATCH; n++)
				if (hits >> n & 1)
					rte_prefetch0(&sessions[(uintptr_t)data[n]]);
			for (int n = 0; n < BATCH; n++)
				if (hits >> n & 1) {
					*(volatile uint32_t *)&sessions[(uintptr_t)data[n]].last_seen_ms;
					++*found;
				}
		}
		rounds[round] = (double)(rte_rdtsc() - start) / LOOKUPS;
	}
	qsort(rounds, ROUNDS, sizeof(*rounds), ascending);
	return rounds[ROUNDS / 2];
}

static void contest(uint32_t slots, double load, struct key *queries)
{
	uint32_t tuples = (uint32_t)(slots * load) / 2 * 2, refused = 0, found, wrong;
	struct rte_hash_parameters parameters = {
		.name = "contender",
		.entries = slots,
		.key_len = sizeof(struct key),
		.hash_func = rte_hash_crc,
	};
	struct rte_hash *table = rte_hash_create(&parameters);
	double hit, miss;

	if (table == NULL) {
		printf("%-16s%10u%6.2f   no memory\n", "rte_hash", slots, load);
		return;
	}
	sessions = aligned_alloc(64, (size_t)tuples / 2 * sizeof(*sessions));
	for (uint32_t n = 0; n < tuples; n++) {
		struct key key = key_of(n);

		sessions[n / 2].last_seen_ms = n;
		refused += rte_hash_add_key_data(table, &key, (void *)(uintptr_t)(n / 2)) != 0;
	}
	fill(queries, 0, tuples);
	hit = measure(table, queries, &found);
	fill(queries, tuples, tuples);
	miss = measure(table, queries, &wrong);
	printf("%-16s%10u%6.2f%8.1f%8.1f%9u%8.3f%6u\n", "rte_hash", slots, load, hit, miss, refused,
	       (double)found / LOOKUPS, wrong);
	free(sessions);
	rte_hash_free(table);
}

int main(int argc, char **argv)
{
	static const double loads[] = {0.5, 0.8, 0.95};
	static const char *const defaults[] = {"65536", "1048576", "8388608", "67108864"};
	char *eal[] = {argv[0], "--no-huge", "--no-pci", "--no-shconf", "--log-level=error", "-m", "8192"};
	struct key *queries = calloc(LOOKUPS, sizeof(*queries));
	int given = argc > 1;

	if (queries == NULL || rte_eal_init(sizeof(eal) / sizeof(*eal), eal) < 0)
		return 1;
	for (int n = 0; n < (given ? argc - 1 : 4); n++)
		for (unsigned int load = 0; load < 3; load++)
			contest(strtoul(given ? argv[n + 1] : defaults[n], NULL, 0), loads[load], queries);
	return 0;
}
