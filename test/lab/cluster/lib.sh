# shellcheck shell=bash disable=SC2034
# Settings and functions of the lab's scripts; sourced, not run. Every setting may be set from the environment.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../../.." && pwd)
: "${LAB:=1}"                              # which cluster: 1 to 9 may run side by side
: "${LAB_CACHE:=$ROOT/.cache/lab}"         # built binaries and images
: "${LAB_STATE:=/var/lib/heddle-lab$LAB}"  # the running cluster; removed by down.sh
: "${LAB_NODES:=1}"
: "${LAB_PROXY_MODE:=nftables}"            # of kube-proxy; or iptables
: "${LAB_FAMILIES:=$(if [ "$(cat /proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null)" = 0 ]; then echo IPv4,IPv6; else echo IPv4; fi)}" # of everything; or IPv6
: "${LAB_SNAPSHOTTER:=overlayfs}"          # or native, where overlayfs does not work

[[ $LAB =~ ^[1-9]$ ]] || { echo "lab: LAB=$LAB is not one of 1 to 9" >&2; exit 2; }
K8S_VERSION=v1.36.3
BIN=$LAB_CACHE/bin
STATE=$LAB_STATE
PKI=$STATE/pki
KUBECONFIG_ADMIN=$STATE/admin.conf

# The families of addresses, the first of which is the main one. of IPV4 IPV6 is what the cluster has of the two, as a list; main IPV4 IPV6 is the first of it.
case $LAB_FAMILIES in
IPv4) of() { echo "$1"; } ;;
IPv6) of() { echo "$2"; } ;;
IPv4,IPv6) of() { echo "$1,$2"; } ;;
*) echo "lab: LAB_FAMILIES=$LAB_FAMILIES is not one of IPv4, IPv6 and IPv4,IPv6" >&2; exit 2 ;;
esac
main() { local all; all=$(of "$@"); echo "${all%%,*}"; }
has() { [[ ,$LAB_FAMILIES, == *,$1,* ]]; }

# A cluster's addresses follow from its number.
BRIDGE=heddlelab$LAB
CGROUP=heddlelab$LAB
second=$((200 + LAB * 4))
NET6=fd68:6564:646c:$LAB                # of IPv6, and three hexadecimal digits of what follows in each line
NODE_NET=10.$second.0                   # node N is $NODE_NET.(10+N), ${NET6}000::(10+N)
HOST_IPS=("$NODE_NET.1" "${NET6}000::1")
HOST_IP=$(main "${HOST_IPS[@]}")        # the API server
POD_NET=10.$((second + 1))              # node N has $POD_NET.N.0/24, ${NET6}1NN::/64
POD_CIDR=$(of "$POD_NET.0.0/16" "${NET6}100::/56")
SERVICE_NET=10.$((second + 2)).0
SERVICE_CIDRS=("$SERVICE_NET.0/16" "${NET6}200::/112")
LB_NET=10.$((second + 3)).0             # addresses of LoadBalancer services, served by node 1
LB_CIDRS=("$LB_NET.0/24" "${NET6}300::/112")
DNS_IP=$(main "$SERVICE_NET.10" "${NET6}200::a")
API=https://$(main "$HOST_IP" "[$HOST_IP]"):6443
PORT=$((12000 + LAB * 100))             # first of the loopback ports of etcd, controller manager and scheduler

node_ip4() { echo "$NODE_NET.$((10 + $1))"; }
node_ip6() { echo "${NET6}000::$((10 + $1))"; }
node_ips() { of "$(node_ip4 "$1")" "$(node_ip6 "$1")"; }
node_ip() { main "$(node_ip4 "$1")" "$(node_ip6 "$1")"; }
pods4() { echo "$POD_NET.$1.0/24"; }
pods6() { printf '%s1%02d::/64\n' "$NET6" "$1"; }
# load_balancer N FAMILIES is the JSON of the addresses number N of a Service with those families, which are JSON too.
load_balancer() {
	local four six; four="{\"ip\":\"$LB_NET.$1\"}" six="{\"ip\":\"$(printf '%s300::%x' "$NET6" "$1")\"}"
	case $2 in '["IPv4"]') echo "[$four]" ;; '["IPv6"]') echo "[$six]" ;; *) echo "[$four,$six]" ;; esac
}
# ip_route CIDR4 CIDR6 N leads what the cluster has of two ranges to node N.
ip_route() {
	if has IPv4; then ip route replace "$1" via "$(node_ip4 "$3")"; fi
	if has IPv6; then ip -6 route replace "$2" via "$(node_ip6 "$3")"; fi
}
log() { printf '%s lab%s: %s\n' "$(date +%H:%M:%S)" "$LAB" "$*" >&2; }
die() { log "error: $*"; exit 1; }
need_root() { [ "$(id -u)" = 0 ] || die "run as root"; }

# make_state makes the folder that down.sh removes, so it must be the lab's own.
make_state() {
	[ ! -d "$STATE" ] || [ -e "$STATE/.heddle-lab" ] || [ -z "$(ls -A "$STATE")" ] || die "$STATE holds something else"
	mkdir -p "$STATE"/{log,run,etcd,images,pki}
	touch "$STATE/.heddle-lab"
}

# need COMMAND=PACKAGE... installs the Debian packages whose command (or file) is absent.
need() {
	local pair missing=() policy=/usr/sbin/policy-rc.d made='' ok=yes
	for pair in "$@"; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	log "installing ${missing[*]}"
	apt-get update -qq >/dev/null
	# Packages that bring a service must not start it.
	if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=yes; fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || ok=
	[ -z "$made" ] || rm -f $policy
	[ -n "$ok" ] || die "apt-get install ${missing[*]} failed"
}

# A daemon is known by its process id and start time, since ids are used again; a zombie counts as gone.
start_time() { awk '$3 != "Z" {print $22}' "/proc/$1/stat" 2>/dev/null || true; }
daemon_pid() { cut -d' ' -f1 "$STATE/run/$1.pid"; }
running() {
	local pid begun
	[ -s "$STATE/run/$1.pid" ] || return 1
	read -r pid begun <"$STATE/run/$1.pid"
	[ -n "$begun" ] && [ "$(start_time "$pid")" = "$begun" ]
}

# start NAME COMMAND... runs a daemon unless it runs. It has no descriptor of the caller's: one of a lock would keep the lock as long as the cluster runs.
start() {
	local name=$1; shift
	if running "$name"; then return; fi
	(
		for fd in $(ls /proc/self/fd); do [ "$fd" -le 2 ] || eval "exec $fd>&-"; done
		exec setsid nohup "$@" >>"$STATE/log/$name.log" 2>&1 </dev/null
	) &
	echo "$! $(start_time $!)" >"$STATE/run/$name.pid"
}

# stop NAME... ends daemons at once: nothing of their state is kept.
stop() {
	local name
	for name in "$@"; do
		if running "$name"; then kill -9 -- "-$(daemon_pid "$name")" 2>/dev/null || true; fi
	done
	for name in "$@"; do
		while running "$name"; do sleep 0.05; done
		rm -f "$STATE/run/$name.pid"
	done
}

# wait_for SECONDS WHAT COMMAND... tries a command until it succeeds.
wait_for() {
	local end=$((SECONDS + $1)) limit=$1 what=$2; shift 2
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || die "no $what after ${limit}s; see $STATE/log"
		sleep 0.1
	done
}

# put FILE writes its input, but leaves a file alone that holds it already: kube-proxy ends when its settings are written.
put() {
	local new; new=$(cat)
	[ -e "$1" ] && [ "$(cat "$1")" = "$new" ] || printf '%s\n' "$new" >"$1"
}

in_node() { local n=$1; shift; nsenter -t "$(daemon_pid "node$n")" -n -m -- "$@"; }
ctr_node() { local n=$1; shift; ctr -a "$STATE/node$n/containerd.sock" -n k8s.io "$@"; }
import_image() { ctr_node "$1" images import --snapshotter "$LAB_SNAPSHOTTER" "$2" >/dev/null; }
kubectl() { "$BIN/kubectl" --kubeconfig "$KUBECONFIG_ADMIN" "$@"; }
nodes_present() { local d; for d in "$STATE"/node[0-9]*; do [ ! -d "$d" ] || echo "${d##*/node}"; done; }
api() { curl -gfsS --max-time 5 --cacert "$PKI/ca.crt" --cert "$PKI/admin.crt" --key "$PKI/admin.key" "$API$1"; }
