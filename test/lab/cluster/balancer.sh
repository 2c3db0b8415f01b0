#!/usr/bin/env bash
# Gives every Service of type LoadBalancer an address of each of its families, or the one that its loadBalancerIP asks for, if that is of the range; kube-proxy serves it and the
# host routes it to node 1. up.sh starts this. The last address of the range is given to nobody who does not ask.
. "$(dirname "$0")/lib.sh"
give() { kubectl -n "$1" patch service "$2" --subresource=status --type=merge -p "{\"status\":{\"loadBalancer\":{\"ingress\":$3}}}" || true; }
next=$STATE/run/balancer.next
while :; do
	kubectl get services -A --watch -o 'jsonpath={.metadata.namespace}{" "}{.metadata.name}{" "}{.spec.type}{" "}{.spec.ipFamilies}{" want="}{.spec.loadBalancerIP}{" "}{.status.loadBalancer.ingress[*].ip}{"\n"}' |
		while read -r ns name type families want ips; do
			# Families are a list in JSON, addresses are words.
			[ "$type" = LoadBalancer ] || continue
			want=${want#want=}
			case $want in
			'')
				[ "$(wc -w <<<"${families//,/ }")" != "$(wc -w <<<"$ips")" ] || continue
				n=$(cat "$next" 2>/dev/null || echo 0); n=$((n % 253 + 1)); echo $n >"$next"
				give "$ns" "$name" "$(load_balancer "$n" "$families")" ;;
			"$LB_NET".* | "${NET6}"300::*) [ "$ips" = "$want" ] || give "$ns" "$name" "[{\"ip\":\"$want\"}]" ;;
			*) [ -z "$ips" ] || give "$ns" "$name" "[]" ;;
			esac
		done || true
	sleep 1
done
