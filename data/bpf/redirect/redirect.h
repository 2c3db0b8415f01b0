// What the programs of redirect.c keep, shared with the Go side through generated types. A change of a layout here needs a new redirect.layout.

#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80 // of both families: linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h

#define LOOPBACK4 bpf_htonl(0x7f000001)
#define MAPPED bpf_htonl(0xffff) // third word of an IPv4 address in IPv6 form

#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif

// Flags of a pod.
#define POD_IPV4 1 // has addresses of the family: calls of another one fail as they would without capture
#define POD_IPV6 2
#define POD_NO_OUTBOUND 4
#define POD_ONLY 8 // only what is included
#define POD_PORTS 16 // has rules about ports
#define POD_GROUPS 32 // has rules about groups

// pod is what is captured in one network namespace.
struct pod {
	__u64 table; // of its rules and ranges: changed in one step with the rest
	__be32 source6[4];
	__be32 source4;
	__u32 mark;
	__u32 flags;
	__u16 outbound; // host byte order, as dns; 0: names are not captured
	__u16 dns;
};

// Flags of a range of addresses.
#define RANGE_EXCLUDED 1
#define RANGE_INCLUDED 2
#define RANGE_OWN 4 // of the namespace itself
#define RANGE_INTERFACE 8 // reached through an excluded interface

struct range_key {
	__u32 prefix; // bits of what follows
	__u32 family;
	__u64 table;
	__be32 ip[4]; // IPv4 in the first
};

// Kinds and values of rules.
#define RULE_PORT 1
#define RULE_UID 2
#define RULE_GID 3
#define RULE_EXCLUDED 1
#define RULE_INCLUDED 2

struct rule_key {
	__u64 table;
	__u32 kind;
	__u32 value;
};

// Who keeps a place.
#define ROLE_CALLER 1
#define ROLE_PROXY 2

// place is an original destination.
struct place {
	__be32 ip[4]; // IPv4 in IPv6 form
	__be16 port;
	__u16 role;
};

// tuple is a connection as both of its ends see it.
struct tuple {
	__u64 ns;
	__be32 caller[4];
	__u32 caller_port, proxy_port; // host byte order
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); // cookie of the network namespace
	__type(value, struct pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1048576);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct range_key);
	__type(value, __u32);
} ranges SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct rule_key);
	__type(value, __u32);
} rules SEC(".maps");

// places go with their sockets.
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct place);
} places SEC(".maps");

// pending connections are on their way from a client to its proxy; what is never accepted ages out.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct tuple);
	__type(value, struct place);
} pending SEC(".maps");

static __always_inline struct pod *pod_of(__u64 ns)
{
	return bpf_map_lookup_elem(&pods, &ns);
}

static __always_inline __u32 rule(const struct pod *pod, __u32 kind, __u32 value)
{
	struct rule_key key = {.table = pod->table, .kind = kind, .value = value};
	__u32 *flags = bpf_map_lookup_elem(&rules, &key);
	return flags ? *flags : 0;
}

static __always_inline int is_mapped(const struct place *p)
{
	return !p->ip[0] && !p->ip[1] && p->ip[2] == MAPPED;
}

// range_of is what is known of the narrowest range with an address; the flags of wider ones are in it already.
static __always_inline __u32 range_of(const struct pod *pod, const struct place *to, __u32 family)
{
	struct range_key key = {.prefix = 8 * (sizeof(key) - sizeof(key.prefix)), .family = family, .table = pod->table};
	if (family == AF_INET) {
		key.ip[0] = to->ip[3];
	} else {
		__builtin_memcpy(key.ip, to->ip, sizeof(key.ip));
	}
	__u32 *flags = bpf_map_lookup_elem(&ranges, &key);
	return flags ? *flags : 0;
}

// remember keeps a destination with a socket; 0 if there is no memory.
static __always_inline int remember(struct bpf_sock *sk, const struct place *to)
{
	if (!sk)
		return 0;
	struct place *kept = bpf_sk_storage_get(&places, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!kept)
		return 0;
	*kept = *to;
	return 1;
}

static __always_inline void forget(struct bpf_sock *sk)
{
	if (sk)
		bpf_sk_storage_delete(&places, sk);
}

static __always_inline struct tuple tuple_of(struct bpf_sock_ops *ctx, __u64 ns, int caller)
{
	__u32 remote = bpf_ntohl(ctx->remote_port), local = ctx->local_port;
	struct tuple t = {.ns = ns, .caller_port = caller ? local : remote, .proxy_port = caller ? remote : local};
	if (ctx->family == AF_INET) {
		t.caller[2] = MAPPED;
		__u32 ip = caller ? ctx->local_ip4 : ctx->remote_ip4;
		asm volatile("" : "+r"(ip)); // or it is read together with the last word below, at a computed offset, which the verifier refuses
		t.caller[3] = ip;
		return t;
	}
	if (caller) {
		t.caller[0] = ctx->local_ip6[0];
		t.caller[1] = ctx->local_ip6[1];
		t.caller[2] = ctx->local_ip6[2];
		t.caller[3] = ctx->local_ip6[3];
	} else {
		t.caller[0] = ctx->remote_ip6[0];
		t.caller[1] = ctx->remote_ip6[1];
		t.caller[2] = ctx->remote_ip6[2];
		t.caller[3] = ctx->remote_ip6[3];
	}
	return t;
}
