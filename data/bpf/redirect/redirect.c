//go:build ignore

// Capture at the socket: connections of enrolled network namespaces are dialled to the proxy beside them, which asks for the original destination as it would ask netfilter.
//
//   connect4/6, sendmsg4/6   decide, remember the destination at the socket, write the proxy's address over it
//   sockops                  client: pass the destination on under the connection's addresses; proxy: take it to the accepted socket
//   getsockopt               proxy: SO_ORIGINAL_DST
//   getpeername4/6,
//   recvmsg4/6               client: the peer is whom it called
//   sock_create              no Multipath TCP, whose connect() no hook sees
//
// Programs run for every process of the tree, so each begins with what lets most go by at once.

#include "redirect.h"

// verdict is the port of this namespace's proxy that a call is for, in host byte order, or 0 if it is left alone. The order is capture.Rules'.
static __always_inline __u16 verdict(struct bpf_sock_addr *ctx, const struct pod *pod, const struct place *to, __u32 family)
{
	if (ctx->sk && ctx->sk->mark == pod->mark)
		return 0;
	__u64 users = bpf_get_current_uid_gid(); // group in the upper half
	if (rule(pod, RULE_UID, (__u32)users) || ((pod->flags & POD_GROUPS) && rule(pod, RULE_GID, users >> 32)))
		return 0;
	__u32 range = range_of(pod, to, family);
	if (range & RANGE_INTERFACE)
		return 0;
	__u16 port = bpf_ntohs(to->port);
	if (port == 53 && pod->dns)
		return pod->dns;
	if (ctx->protocol != IPPROTO_TCP || (range & (RANGE_OWN | RANGE_EXCLUDED)) || (pod->flags & POD_NO_OUTBOUND))
		return 0;
	__u32 about = (pod->flags & POD_PORTS) ? rule(pod, RULE_PORT, port) : 0;
	if (about & RULE_EXCLUDED)
		return 0;
	if (!(pod->flags & POD_ONLY) || (about & RULE_INCLUDED) || (range & RANGE_INCLUDED))
		return pod->outbound;
	return 0;
}

// source lets a connection keep the address of its workload: without it the kernel would choose a loopback address, because the proxy is at one. Best effort.
static __always_inline void source(struct bpf_sock_addr *ctx, const struct pod *pod, int mapped)
{
	if (!ctx->sk || ctx->type != SOCK_STREAM)
		return;
	if (ctx->user_family == AF_INET) {
		if (ctx->sk->src_ip4)
			return;
		struct sockaddr_in from = {};
		from.sin_family = AF_INET;
		from.sin_addr.s_addr = pod->source4;
		bpf_bind(ctx, (struct sockaddr *)&from, sizeof(from));
		return;
	}
	if (ctx->sk->src_ip6[0] || ctx->sk->src_ip6[1] || ctx->sk->src_ip6[2] || ctx->sk->src_ip6[3])
		return;
	struct sockaddr_in6 from = {};
	from.sin6_family = AF_INET6;
	if (mapped) {
		from.sin6_addr.s6_addr32[2] = MAPPED;
		from.sin6_addr.s6_addr32[3] = pod->source4;
	} else {
		from.sin6_addr.s6_addr32[0] = pod->source6[0];
		from.sin6_addr.s6_addr32[1] = pod->source6[1];
		from.sin6_addr.s6_addr32[2] = pod->source6[2];
		from.sin6_addr.s6_addr32[3] = pod->source6[3];
	}
	bpf_bind(ctx, (struct sockaddr *)&from, sizeof(from));
}

// call4 sends an IPv4 call to the proxy if it is to be captured. It is 0 for a call that must fail: one that is to be captured and cannot be, for want of memory.
static __always_inline int call4(struct bpf_sock_addr *ctx, int connects)
{
	struct pod *pod = pod_of(bpf_get_netns_cookie(ctx));
	if (!pod)
		return 1;
	struct place to = {.ip = {0, 0, MAPPED, ctx->user_ip4}, .port = (__be16)ctx->user_port, .role = ROLE_CALLER};
	__u16 port = (pod->flags & POD_IPV4) ? verdict(ctx, pod, &to, AF_INET) : 0;
	if (!port) {
		forget(ctx->sk);
		return 1;
	}
	if (!remember(ctx->sk, &to))
		return 0;
	if (connects)
		source(ctx, pod, 1);
	ctx->user_ip4 = LOOPBACK4;
	ctx->user_port = bpf_htons(port);
	return 1;
}

static __always_inline int call6(struct bpf_sock_addr *ctx, int connects)
{
	struct pod *pod = pod_of(bpf_get_netns_cookie(ctx));
	if (!pod)
		return 1;
	struct place to = {.ip = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}, .port = (__be16)ctx->user_port, .role = ROLE_CALLER};
	int mapped = is_mapped(&to);
	__u16 port = 0;
	if (pod->flags & (mapped ? POD_IPV4 : POD_IPV6))
		port = verdict(ctx, pod, &to, mapped ? AF_INET : AF_INET6);
	if (!port) {
		forget(ctx->sk);
		return 1;
	}
	if (!remember(ctx->sk, &to))
		return 0;
	if (connects)
		source(ctx, pod, mapped);
	ctx->user_ip6[0] = 0;
	ctx->user_ip6[1] = 0;
	ctx->user_ip6[2] = mapped ? MAPPED : 0;
	ctx->user_ip6[3] = mapped ? LOOPBACK4 : bpf_htonl(1);
	ctx->user_port = bpf_htons(port);
	return 1;
}

SEC("cgroup/connect4")
int redirect_connect4(struct bpf_sock_addr *ctx)
{
	return call4(ctx, 1);
}

SEC("cgroup/connect6")
int redirect_connect6(struct bpf_sock_addr *ctx)
{
	return call6(ctx, 1);
}

SEC("cgroup/sendmsg4")
int redirect_sendmsg4(struct bpf_sock_addr *ctx)
{
	return ctx->user_port == bpf_htons(53) ? call4(ctx, 0) : 1;
}

SEC("cgroup/sendmsg6")
int redirect_sendmsg6(struct bpf_sock_addr *ctx)
{
	return ctx->user_port == bpf_htons(53) ? call6(ctx, 0) : 1;
}

// called is whom a socket called before its call was redirected, or null.
static __always_inline struct place *called(struct bpf_sock_addr *ctx)
{
	struct place *to = ctx->sk ? bpf_sk_storage_get(&places, ctx->sk, 0, 0) : 0;
	return to && to->role == ROLE_CALLER ? to : 0;
}

static __always_inline void peer4(struct bpf_sock_addr *ctx, const struct place *to)
{
	ctx->user_ip4 = to->ip[3];
	ctx->user_port = to->port;
}

static __always_inline void peer6(struct bpf_sock_addr *ctx, const struct place *to)
{
	ctx->user_ip6[0] = to->ip[0];
	ctx->user_ip6[1] = to->ip[1];
	ctx->user_ip6[2] = to->ip[2];
	ctx->user_ip6[3] = to->ip[3];
	ctx->user_port = to->port;
}

SEC("cgroup/getpeername4")
int redirect_getpeername4(struct bpf_sock_addr *ctx)
{
	struct place *to = called(ctx);
	if (to)
		peer4(ctx, to);
	return 1;
}

SEC("cgroup/getpeername6")
int redirect_getpeername6(struct bpf_sock_addr *ctx)
{
	struct place *to = called(ctx);
	if (to)
		peer6(ctx, to);
	return 1;
}

// from_proxy says whether a datagram came from the port where this namespace's proxy answers names.
static __always_inline int from_proxy(struct bpf_sock_addr *ctx)
{
	struct pod *pod = pod_of(bpf_get_netns_cookie(ctx));
	return pod && pod->dns && ctx->user_port == bpf_htons(pod->dns);
}

SEC("cgroup/recvmsg4")
int redirect_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct place *to = called(ctx);
	if (to && ctx->user_ip4 == LOOPBACK4 && from_proxy(ctx))
		peer4(ctx, to);
	return 1;
}

SEC("cgroup/recvmsg6")
int redirect_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct place *to = called(ctx);
	if (!to || ctx->user_ip6[0] || ctx->user_ip6[1])
		return 1;
	int loopback = ctx->user_ip6[2] == MAPPED ? ctx->user_ip6[3] == LOOPBACK4 : !ctx->user_ip6[2] && ctx->user_ip6[3] == bpf_htonl(1);
	if (loopback && from_proxy(ctx))
		peer6(ctx, to);
	return 1;
}

// Not inlined, as the next: merged, they would read the context at a computed offset, which the verifier refuses.
//
// The client's addresses are known before its first packet leaves, and the destination is handed over then: also before data in a SYN (Fast Open).
static __noinline int dialled(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return 0;
	__u64 ns = bpf_get_netns_cookie(ctx);
	struct place *to = bpf_sk_storage_get(&places, sk, 0, 0);
	if (to) {
		struct tuple t = tuple_of(ctx, ns, 1);
		bpf_map_update_elem(&pending, &t, to, BPF_ANY);
		return 0;
	}
	// Whoever calls the proxy's port itself must not inherit what a failed connection from the same port left.
	struct pod *pod = pod_of(ns);
	__u16 port = (__u16)bpf_ntohl(ctx->remote_port);
	if (pod && (port == pod->outbound || port == pod->dns)) {
		struct tuple t = tuple_of(ctx, ns, 1);
		bpf_map_delete_elem(&pending, &t);
	}
	return 0;
}

static __noinline int accepted(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	if (!sk)
		return 0;
	__u64 ns = bpf_get_netns_cookie(ctx);
	struct pod *pod = pod_of(ns);
	if (!pod || (ctx->local_port != pod->outbound && ctx->local_port != pod->dns))
		return 0;
	struct tuple t = tuple_of(ctx, ns, 0);
	struct place *to = bpf_map_lookup_elem(&pending, &t);
	if (!to)
		return 0;
	struct place mine = *to;
	mine.role = ROLE_PROXY;
	if (remember(sk, &mine))
		bpf_map_delete_elem(&pending, &t);
	return 0;
}

SEC("sockops")
int redirect_sockops(struct bpf_sock_ops *ctx)
{
	if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB)
		dialled(ctx);
	else if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		accepted(ctx);
	return 1;
}

SEC("cgroup/getsockopt")
int redirect_getsockopt(struct bpf_sockopt *ctx)
{
	if (ctx->optname != SO_ORIGINAL_DST || (ctx->level != SOL_IP && ctx->level != SOL_IPV6) || !ctx->sk)
		return 1;
	struct place *to = bpf_sk_storage_get(&places, ctx->sk, 0, 0);
	if (!to || to->role != ROLE_PROXY || is_mapped(to) != (ctx->level == SOL_IP))
		return 1;
	if (ctx->level == SOL_IP) {
		struct sockaddr_in *sa = ctx->optval;
		if ((void *)(sa + 1) > ctx->optval_end)
			return 1;
		__builtin_memset(sa, 0, sizeof(*sa));
		sa->sin_family = AF_INET;
		sa->sin_port = to->port;
		sa->sin_addr.s_addr = to->ip[3];
		ctx->optlen = sizeof(*sa);
	} else {
		struct sockaddr_in6 *sa = ctx->optval;
		if ((void *)(sa + 1) > ctx->optval_end)
			return 1;
		__builtin_memset(sa, 0, sizeof(*sa));
		sa->sin6_family = AF_INET6;
		sa->sin6_port = to->port;
		__builtin_memcpy(&sa->sin6_addr, to->ip, sizeof(to->ip));
		ctx->optlen = sizeof(*sa);
	}
	barrier(); // or the compiler writes both fields at once, which the verifier refuses
	ctx->retval = 0;
	return 1;
}

SEC("cgroup/sock_create")
int redirect_sock_create(struct bpf_sock *ctx)
{
	if (ctx->protocol != IPPROTO_MPTCP || !pod_of(bpf_get_netns_cookie(ctx)))
		return 1;
	bpf_set_retval(-EPROTONOSUPPORT); // as of a kernel without it, so that programs take TCP instead
	return 0;
}

char _license[] SEC("license") = "Apache-2.0";
