#!/usr/bin/env bash
# Gives every Service of type LoadBalancer an address; kube-proxy serves it and the host routes it to node 1. up.sh starts this.
. "$(dirname "$0")/lib.sh"
next=$STATE/run/balancer.next
while :; do
	kubectl get services -A --watch -o 'jsonpath={.metadata.namespace}{" "}{.metadata.name}{" "}{.spec.type}{" "}{.status.loadBalancer.ingress[0].ip}{"\n"}' |
		while read -r ns name type ip; do
			[ "$type" = LoadBalancer ] && [ -z "$ip" ] || continue
			n=$(cat "$next" 2>/dev/null || echo 0); n=$((n % 253 + 1)); echo $n >"$next"
			kubectl -n "$ns" patch service "$name" --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"$LB_NET.$n\"}]}}}" || true
		done || true
	sleep 1
done
