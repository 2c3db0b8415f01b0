#!/usr/bin/env bash
# Builds the lab's binaries and images into $LAB_CACHE; does nothing when they are those of these sources.
. "$(dirname "$0")/lib.sh"
cd "$HERE"
command -v go >/dev/null || die "needs go $(sed -n 's/^go //p' go.mod) or newer"
stamp=$(cat go.mod go.sum build.sh components/*.go coredns/*.go pause/*.go policy/*.go <(echo "$K8S_VERSION") | sha256sum | cut -d' ' -f1)
if [ "$(cat "$LAB_CACHE/stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi
mkdir -p "$BIN" "$LAB_CACHE/images"
minor=${K8S_VERSION#v1.}; minor=${minor%%.*} set=
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	set+=" -X $p.gitVersion=$K8S_VERSION -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitTreeState=clean"
done
export CGO_ENABLED=0
log "building Kubernetes $K8S_VERSION (8 minutes the first time on two cores, half a minute afterwards)"
go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$BIN/" ./pause ./coredns ./policy
go build -trimpath -buildvcs=false -ldflags "-s -w$set" -o "$BIN/" ./components
for c in etcd kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl; do ln -sf components "$BIN/$c"; done
(cd "$ROOT" && go build -trimpath -buildvcs=false -o "$BIN/image" ./charts/image)
"$BIN/image" -name lab.local/pause:1 -o "$LAB_CACHE/images/pause.tar" "$BIN/pause"
"$BIN/image" -name lab.local/coredns:1 -o "$LAB_CACHE/images/coredns.tar" "$BIN/coredns"
echo "$stamp" >"$LAB_CACHE/stamp"
log "built: $(du -sh "$LAB_CACHE" | cut -f1) in $LAB_CACHE"
