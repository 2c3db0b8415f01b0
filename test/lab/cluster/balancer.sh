#!/usr/bin/env bash
# Gives every Service of type LoadBalancer an address of each of its families; kube-proxy serves it and the host routes it to node 1. up.sh starts this.
. "$(dirname "$0")/lib.sh"
next=$STATE/run/balancer.next
while :; do
	kubectl get services -A --watch -o 'jsonpath={.metadata.namespace}{" "}{.metadata.name}{" "}{.spec.type}{" "}{.spec.ipFamilies}{" "}{.status.loadBalancer.ingress[*].ip}{"\n"}' |
		while read -r ns name type families ips; do
			# Families are a list in JSON, addresses are words.
			[ "$type" = LoadBalancer ] && [ "$(wc -w <<<"${families//,/ }")" != "$(wc -w <<<"$ips")" ] || continue
			n=$(cat "$next" 2>/dev/null || echo 0); n=$((n % 253 + 1)); echo $n >"$next"
			kubectl -n "$ns" patch service "$name" --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":$(load_balancer "$n" "$families")}}}" || true
		done || true
	sleep 1
done
