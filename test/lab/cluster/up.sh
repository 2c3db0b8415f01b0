#!/usr/bin/env bash
# Starts cluster number $LAB: etcd and the control plane as processes of this machine, and $LAB_NODES nodes (containerd, kubelet, kube-proxy), each in network and
# mount namespaces of its own, so that mounts and packet filter of the machine do not change. Running it again starts what is missing.
. "$(dirname "$0")/lib.sh"
need_root
need containerd=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins iptables=iptables nft=nftables conntrack=conntrack ip=iproute2 \
	openssl=openssl curl=curl nsenter=util-linux mount=mount sysctl=procps
"$HERE/build.sh"
begun=$(date +%s.%N)
since() { awk -v a="$begun" -v b="$(date +%s.%N)" 'BEGIN{printf "%.1fs", b-a}'; }
umask 022
make_state
nodes=$(seq "$LAB_NODES")

# --- certificates
ca() {
	[ -s "$PKI/$1.crt" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 \
		-subj "/CN=$1" -addext keyUsage=critical,keyCertSign,digitalSignature -keyout "$PKI/$1.key" -out "$PKI/$1.crt" 2>/dev/null
}
# cert NAME CA SUBJECT [SAN]
cert() {
	[ ! -s "$PKI/$1.crt" ] || return 0
	local extensions="extendedKeyUsage=clientAuth,serverAuth"
	[ -z "${4:-}" ] || extensions+=$'\n'"subjectAltName=$4"
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$3" -keyout "$PKI/$1.key" 2>/dev/null |
		openssl x509 -req -days 365 -CA "$PKI/$2.crt" -CAkey "$PKI/$2.key" -set_serial "0x$(openssl rand -hex 8)" -extfile <(echo "$extensions") -out "$PKI/$1.crt" 2>/dev/null
}
# kubeconfig FILE CERTIFICATE holds what it needs, so that it may be copied.
kubeconfig() {
	put "$1" <<-EOF
	apiVersion: v1
	kind: Config
	clusters: [{name: lab$LAB, cluster: {server: "$API", certificate-authority-data: $(base64 -w0 <"$PKI/ca.crt")}}]
	users: [{name: lab$LAB, user: {client-certificate-data: $(base64 -w0 <"$PKI/$2.crt"), client-key-data: $(base64 -w0 <"$PKI/$2.key")}}]
	contexts: [{name: lab$LAB, context: {cluster: lab$LAB, user: lab$LAB}}]
	current-context: lab$LAB
	EOF
}
ca ca; ca front-proxy-ca
cert apiserver ca /CN=kube-apiserver "IP:${HOST_IPS[0]},IP:${HOST_IPS[1]},IP:127.0.0.1,IP:$SERVICE_NET.1,IP:${NET6}200::1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
cert apiserver-kubelet-client ca /O=system:masters/CN=kube-apiserver-kubelet-client
cert front-proxy-client front-proxy-ca /CN=front-proxy-client
cert admin ca /O=system:masters/CN=kubernetes-admin
cert controller-manager ca /CN=system:kube-controller-manager
cert scheduler ca /CN=system:kube-scheduler
cert proxy ca /CN=system:kube-proxy
for n in $nodes; do
	cert "node$n" ca "/O=system:nodes/CN=system:node:node$n" "IP:$(node_ip4 "$n"),IP:$(node_ip6 "$n"),DNS:node$n"
	kubeconfig "$STATE/node$n.conf" "node$n"
done
[ -s "$PKI/sa.key" ] || openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
[ -s "$PKI/sa.pub" ] || openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
kubeconfig "$KUBECONFIG_ADMIN" admin
for c in controller-manager scheduler proxy; do kubeconfig "$STATE/$c.conf" $c; done

# --- network: one bridge, and on it a pair of ends for each node
if ! ip link show "$BRIDGE" >/dev/null 2>&1; then
	touch "$STATE/run/bridge"
	ip link add "$BRIDGE" type bridge
	if has IPv4; then ip addr add "${HOST_IPS[0]}/24" dev "$BRIDGE"; fi
	if has IPv6; then ip addr add "${HOST_IPS[1]}/64" dev "$BRIDGE" nodad; fi
	ip link set "$BRIDGE" up
fi
[ -e "$STATE/run/bridge" ] || die "$BRIDGE is there, but not of this cluster; set LAB to another number"
own_namespaces() { [ "$(cat "/proc/$(daemon_pid "node$1")/comm")" = pause ]; }
for n in $nodes; do
	if running "node$n"; then continue; fi
	# Mounts in the node reach its pods but not the machine, and end with the node.
	start "node$n" unshare --net --mount --propagation shared "$BIN/pause"
	wait_for 10 "namespaces of node$n" own_namespaces "$n"
	ip link del "hlab${LAB}v$n" 2>/dev/null || true
	ip link add "hlab${LAB}v$n" type veth peer name eth0 netns "$(daemon_pid "node$n")"
	ip link set "hlab${LAB}v$n" master "$BRIDGE" up
	mkdir -p /run/containerd /var/log/containers /opt/cni /etc/cni /run/heddle-node
	in_node "$n" sh -ec "
		mount -t tmpfs tmpfs /run/containerd
		mount -t tmpfs tmpfs /var/log/containers
		mount -t tmpfs tmpfs /run/heddle-node
		mount -t tmpfs tmpfs /opt/cni
		mount -t tmpfs tmpfs /etc/cni
		mkdir /opt/cni/bin /etc/cni/net.d
		cd /usr/lib/cni && ln -s \"\$PWD\"/* /opt/cni/bin/ && cd /
		mount -t bpf bpf /sys/fs/bpf || true # its own: the machine's is not the node's
		ip link set lo up
		ip link set eth0 up"
	if has IPv4; then
		in_node "$n" sh -ec "
			ip addr add $(node_ip4 "$n")/24 dev eth0
			ip route add default via ${HOST_IPS[0]}
			sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
			sysctl -qw net.bridge.bridge-nf-call-iptables=1 2>/dev/null || true"
	fi
	if has IPv6; then
		# Nobody has the same addresses: looking for duplicates would take a second or two whenever a bridge or a pod starts.
		in_node "$n" sh -ec "
			sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0
			ip addr add $(node_ip6 "$n")/64 dev eth0 nodad
			ip -6 route add default via ${HOST_IPS[1]}
			sysctl -qw net.bridge.bridge-nf-call-ip6tables=1 2>/dev/null || true
			rm /opt/cni/bin/bridge"
		in_node "$n" install -m 755 "$HERE/bridge.sh" /opt/cni/bin/bridge
	fi
	ip_route "$(pods4 "$n")" "$(pods6 "$n")" "$n"
done
for n in $nodes; do
	for m in $nodes; do
		if [ "$m" = "$n" ]; then continue; fi
		if has IPv4; then in_node "$n" ip route replace "$(pods4 "$m")" via "$(node_ip4 "$m")"; fi
		if has IPv6; then in_node "$n" ip -6 route replace "$(pods6 "$m")" via "$(node_ip6 "$m")"; fi
	done
done
ip_route "${SERVICE_CIDRS[@]}" 1
ip_route "${LB_CIDRS[@]}" 1

# --- etcd and the API server
start etcd "$BIN/etcd" --name lab --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
	--listen-client-urls "http://127.0.0.1:$PORT" --advertise-client-urls "http://127.0.0.1:$PORT" \
	--listen-peer-urls "http://127.0.0.1:$((PORT + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((PORT + 1))" \
	--initial-cluster "lab=http://127.0.0.1:$((PORT + 1))"
start kube-apiserver "$BIN/kube-apiserver" \
	--etcd-servers="http://127.0.0.1:$PORT" --bind-address="$HOST_IP" --advertise-address="$HOST_IP" --secure-port=6443 \
	--service-cluster-ip-range="$(of "${SERVICE_CIDRS[@]}")" --allow-privileged=true --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
	--client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
	--kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
	--kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
	--service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
	--requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client --requestheader-extra-headers-prefix=X-Remote-Extra- \
	--requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User --enable-aggregator-routing=true \
	--proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key"

# --- containerd on every node, with the images at hand
# cgroup_dir N makes the node's cgroup in every hierarchy, of version 2 or 1.
cgroup_dir() {
	local d p c
	if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
		for p in "" "/$CGROUP" "/$CGROUP/node$1"; do
			mkdir -p "/sys/fs/cgroup$p"
			for c in cpuset cpu io memory hugetlb pids; do echo "+$c" >"/sys/fs/cgroup$p/cgroup.subtree_control" 2>/dev/null || true; done
		done
		return
	fi
	for d in /sys/fs/cgroup/*/; do
		for p in "$d$CGROUP" "$d$CGROUP/node$1"; do
			mkdir -p "$p"
			if [ -e "$p/cpuset.cpus" ] && [ -z "$(cat "$p/cpuset.cpus")" ]; then
				cat "$p/../cpuset.cpus" >"$p/cpuset.cpus"; cat "$p/../cpuset.mems" >"$p/cpuset.mems"
			fi
		done
	done
}
for n in $nodes; do
	d=$STATE/node$n
	mkdir -p "$d"/{ipam,kubelet,logs}
	cgroup_dir "$n"
	# Without CAP_SYS_RESOURCE runc cannot lower a process's OOM score, hence restrict_oom_score_adj.
	put "$d/containerd.toml" <<-EOF
	version = 2
	root = "$d/containerd"
	state = "$d/run"
	disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
	[grpc]
	  address = "$d/containerd.sock"
	[plugins."io.containerd.internal.v1.opt"]
	  path = "$d/opt"
	[plugins."io.containerd.grpc.v1.cri"]
	  sandbox_image = "lab.local/pause:1"
	  netns_mounts_under_state_dir = true
	  restrict_oom_score_adj = true
	  enable_unprivileged_ports = true
	  enable_unprivileged_icmp = true
	  [plugins."io.containerd.grpc.v1.cri".containerd]
	    snapshotter = "$LAB_SNAPSHOTTER"
	    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
	      runtime_type = "io.containerd.runc.v2"
	      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
	        SystemdCgroup = false
	  [plugins."io.containerd.grpc.v1.cri".cni]
	    bin_dir = "/opt/cni/bin"
	    conf_dir = "/etc/cni/net.d"
	EOF
	# The node has folders of its own; a copy that is there already may have more in it by now.
	in_node "$n" test -e /etc/cni/net.d/10-lab.conflist || in_node "$n" tee /etc/cni/net.d/10-lab.conflist >/dev/null <<-EOF
	{"cniVersion": "1.0.0", "name": "lab", "plugins": [
	  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
	   "ipam": {"type": "host-local", "dataDir": "$d/ipam", "ranges": [$(of "[{\"subnet\": \"$(pods4 "$n")\"}]" "[{\"subnet\": \"$(pods6 "$n")\"}]")],
	     "routes": [$(of '{"dst": "0.0.0.0/0"}' '{"dst": "::/0"}')]}},
	  {"type": "portmap", "capabilities": {"portMappings": true}}
	]}
	EOF
	echo "# no name server" >"$d/resolv.conf"
	start "containerd$n" nsenter -t "$(daemon_pid "node$n")" -n -m -- containerd -c "$d/containerd.toml"
done
for n in $nodes; do
	wait_for 60 "containerd on node$n" ctr_node "$n" version
	for archive in "$LAB_CACHE"/images/*.tar; do import_image "$n" "$archive"; done
done
wait_for 180 "ready API server" api /readyz
log "API server ready after $(since)"

# --- the rest of the control plane, and the nodes
cm=$STATE/controller-manager.conf
start kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$cm" --authentication-kubeconfig="$cm" --authorization-kubeconfig="$cm" \
	--bind-address=127.0.0.1 --secure-port=$((PORT + 2)) --leader-elect=false --use-service-account-credentials --kube-api-qps=200 --kube-api-burst=400 \
	--root-ca-file="$PKI/ca.crt" --service-account-private-key-file="$PKI/sa.key" \
	--cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --cluster-cidr="$POD_CIDR"
s=$STATE/scheduler.conf
start kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$s" --authentication-kubeconfig="$s" --authorization-kubeconfig="$s" \
	--bind-address=127.0.0.1 --secure-port=$((PORT + 3)) --leader-elect=false
for n in $nodes; do
	d=$STATE/node$n enter="nsenter -t $(daemon_pid "node$n") -n -m --"
	put "$d/kubelet.yaml" <<-EOF
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	address: $(node_ip "$n")
	authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
	authorization: {mode: Webhook}
	tlsCertFile: $PKI/node$n.crt
	tlsPrivateKeyFile: $PKI/node$n.key
	cgroupDriver: cgroupfs
	cgroupRoot: /$CGROUP/node$n
	failCgroupV1: false
	failSwapOn: false
	containerRuntimeEndpoint: unix://$d/containerd.sock
	clusterDNS: [$DNS_IP]
	clusterDomain: cluster.local
	resolvConf: $d/resolv.conf
	podLogsDir: $d/logs
	volumePluginDir: $d/plugins
	serializeImagePulls: false
	imageGCHighThresholdPercent: 100
	evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
	maxPods: 110
	EOF
	# shellcheck disable=SC2086
	start "kubelet$n" $enter "$BIN/kubelet" --config="$d/kubelet.yaml" --kubeconfig="$STATE/node$n.conf" --root-dir="$d/kubelet" --cert-dir="$d/pki" \
		--hostname-override="node$n" --node-ip="$(node_ips "$n")" --node-labels="topology.kubernetes.io/region=lab,topology.kubernetes.io/zone=zone$n"
	put "$d/kube-proxy.yaml" <<-EOF
	apiVersion: kubeproxy.config.k8s.io/v1alpha1
	kind: KubeProxyConfiguration
	mode: $LAB_PROXY_MODE
	clusterCIDR: $POD_CIDR
	hostnameOverride: node$n
	clientConnection: {kubeconfig: $STATE/proxy.conf}
	conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	EOF
	# shellcheck disable=SC2086
	start "kube-proxy$n" $enter "$BIN/kube-proxy" --config="$d/kube-proxy.yaml"
	# shellcheck disable=SC2086
	start "policy$n" $enter "$BIN/policy" --kubeconfig="$KUBECONFIG_ADMIN"
done
start balancer bash "$HERE/balancer.sh"

sed "s/DNS_IP/$DNS_IP/" "$HERE/coredns.yaml" | kubectl apply -f - >/dev/null
for n in $nodes; do wait_for 120 "registered node$n" api "/api/v1/nodes/node$n"; done
kubectl wait --for=condition=Ready node --all --timeout=180s >/dev/null
wait_for 60 "default service account" api /api/v1/namespaces/default/serviceaccounts/default
kubectl -n kube-system rollout status deployment/coredns --timeout=180s >/dev/null
log "cluster ready after $(since): export KUBECONFIG=$KUBECONFIG_ADMIN PATH=$BIN:\$PATH"
