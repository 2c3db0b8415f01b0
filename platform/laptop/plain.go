package laptop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/heddle-mesh/heddle/platform/shop"
)

// Without namespaces (ModeProxy) every workload has a loopback address of its own, where its proxy takes what others send to it, and the proxy through which the workload
// calls others. The workload itself listens on a port of the host.
const (
	plainInbound = 15006 // Istio's port for traffic that arrives
	plainProxy   = 15007
)

// plainPrefix has the workloads' addresses.
var plainPrefix = netip.MustParsePrefix("127.78.0.0/16")

// plainLimits say what does not work without namespaces.
var plainLimits = []string{
	"only HTTP calls of programs that obey HTTP_PROXY go through the mesh; nothing is captured, so all else is neither routed, nor encrypted, nor measured",
	"names of services resolve in HTTP_PROXY requests only; plain TCP by name and DNS do not work (the shop goes without its ledger)",
	"workloads share this machine's ports, and every process of it reaches them without a proxy: identities are told apart, not enforced",
	"what a gateway opens besides port 80 is open on all addresses of this machine",
}

// plainMeshConfig makes every sidecar an HTTP proxy for its workload.
func (m *meshRun) plainMeshConfig() (path string, err error) {
	path = m.dir.join("mesh.yaml")
	if err := os.WriteFile(path, []byte(fmt.Sprintf("proxyHttpPort: %d\n", plainProxy)), 0o644); err != nil {
		return "", fmt.Errorf("write the mesh's settings: %w", err)
	}
	return path, nil
}

// plainParts is the shop without what speaks plain TCP.
func plainParts() (parts []shop.Part) {
	for _, p := range shop.Parts() {
		if p.Appends = ""; !p.TCP {
			parts = append(parts, p)
		}
	}
	return parts
}

// plainEnvironment leads a program's HTTP calls to the proxy of its workload.
func plainEnvironment(w *workload, env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		name = strings.ToLower(name)
		return name == "http_proxy" || name == "no_proxy"
	})
	proxy := "http://" + netip.AddrPortFrom(w.addresses[0], plainProxy).String()
	return append(env, "HTTP_PROXY="+proxy, "http_proxy="+proxy, "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1")
}

// plainListener opens a port of the host for a part of the shop; others reach it through its proxy.
func (w *workload) plainListener() (*os.File, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a port for %s: %w", w.id(), err)
	}
	defer l.Close()
	w.hostPort = uint16(l.Addr().(*net.TCPAddr).Port)
	return l.(*net.TCPListener).File()
}

// plainFree makes sure that a port of the host is free for a process that is to listen there: whoever has it would get what others send to the process.
func (m *meshRun) plainFree(ctx context.Context, port uint16) error {
	found, err := m.fabric.Listening(ctx, "", port)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New("port " + strconv.Itoa(int(port)) + " of this machine is taken; without namespaces all workloads share its ports, so let the process listen on another one and give that with --port")
	}
	return nil
}
