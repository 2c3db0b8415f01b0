#!/usr/bin/env bash
# Ends what up.sh started and removes its state, network and cgroups. The built binaries stay.
. "$(dirname "$0")/lib.sh"
need_root
[ -e "$STATE/.heddle-lab" ] || { log "there is no cluster"; exit 0; }
nodes=$(nodes_present)
for n in $nodes; do stop "kubelet$n" "kube-proxy$n" "policy$n" "containerd$n"; done
stop balancer kube-scheduler kube-controller-manager kube-apiserver etcd

cgroups() { local d; for d in /sys/fs/cgroup/$CGROUP /sys/fs/cgroup/*/$CGROUP; do [ ! -d "$d" ] || echo "$d"; done; }
# What runs in the nodes' cgroups is what runs in pods.
pods() { local d; for d in $(cgroups); do find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null; done | sort -un; }
for _ in $(seq 100); do
	pids=$(pods)
	[ -n "$pids" ] || break
	# shellcheck disable=SC2086
	kill -9 $pids 2>/dev/null || true
	sleep 0.05
done
# The shims carry the address of the containerd that started them.
for n in $nodes; do
	for p in /proc/[0-9]*; do
		if { tr '\0' ' ' <"$p/cmdline" | grep -q -- "^[^ ]*containerd-shim-runc-v2 .*-address $STATE/node$n/containerd.sock"; } 2>/dev/null; then
			kill -9 "${p#/proc/}" 2>/dev/null || true
		fi
	done
	stop "node$n" # mounts and the pods' networks go with it
done
if [ -e "$STATE/run/bridge" ]; then ip link del "$BRIDGE" 2>/dev/null || true; fi
for n in $nodes; do ip link del "hlab${LAB}v$n" 2>/dev/null || true; done
for _ in 1 2 3 4 5; do
	for d in $(cgroups); do find "$d" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
	if [ -z "$(cgroups)" ] && rm -rf --one-file-system "$STATE" 2>/dev/null; then break; fi
	sleep 0.3
done
[ ! -e "$STATE" ] || die "$STATE is still in use"
log "down"
