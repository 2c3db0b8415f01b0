// Package machine reads the files with which a machine outside of Kubernetes joins a mesh: those of heddle workload entry configure, or of istioctl x workload entry configure.
//
// In: a folder with cluster.env, mesh.yaml, root-cert.pem and istio-token. Out: values for the flags of a proxy.
package machine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// Flag is a flag of the proxy with a value.
type Flag struct{ Name, Value string }

// Read gives the flags that the files of a folder stand for. What a machine knows itself, its name and addresses, is looked up where the files do not say it.
func Read(dir string) ([]Flag, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "mesh.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the files of the machine: %w; heddle workload entry configure writes them", err)
	}
	var mesh struct {
		DefaultConfig json.RawMessage `json:"defaultConfig"`
	}
	var config struct {
		DiscoveryAddress string            `json:"discoveryAddress"`
		InterceptionMode string            `json:"interceptionMode"`
		Concurrency      *int              `json:"concurrency"`
		ProxyMetadata    map[string]string `json:"proxyMetadata"`
	}
	if err = yaml.Unmarshal(raw, &mesh); err == nil && mesh.DefaultConfig != nil {
		err = json.Unmarshal(mesh.DefaultConfig, &config)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, "mesh.yaml"), err)
	}
	env, err := environment(filepath.Join(dir, "cluster.env"))
	if err != nil {
		return nil, err
	}
	values := maps.Clone(config.ProxyMetadata)
	if values == nil {
		values = map[string]string{}
	}
	maps.Copy(values, env)
	var out []Flag
	add := func(flag, value string) {
		if value != "" {
			out = append(out, Flag{flag, value})
		}
	}
	add("xds-address", config.DiscoveryAddress)
	for flag, file := range map[string]string{"token-file": "istio-token", "root-cert": "root-cert.pem"} {
		if path := filepath.Join(dir, file); exists(path) {
			add(flag, path)
		}
	}
	for flag, key := range named {
		add(flag, values[key])
	}
	labels := map[string]string{}
	if text := values["ISTIO_METAJSON_LABELS"]; text != "" {
		if err := json.Unmarshal([]byte(text), &labels); err != nil {
			return nil, fmt.Errorf("read %s: ISTIO_METAJSON_LABELS: %w", filepath.Join(dir, "cluster.env"), err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		add("label", k+"="+labels[k])
	}
	add("interception-mode", config.InterceptionMode)
	if config.Concurrency != nil {
		add("concurrency", strconv.Itoa(*config.Concurrency))
	}
	var compact bytes.Buffer
	if mesh.DefaultConfig != nil && json.Compact(&compact, mesh.DefaultConfig) == nil {
		add("proxy-config", compact.String())
	}
	return own(out, values["ISTIO_SVC_IP"])
}

// named are the flags that have one value of the environment.
var named = map[string]string{
	"namespace": "POD_NAMESPACE", "service-account": "SERVICE_ACCOUNT", "trust-domain": "TRUST_DOMAIN", "cluster-id": "ISTIO_META_CLUSTER_ID", "mesh-id": "ISTIO_META_MESH_ID",
	"network": "ISTIO_META_NETWORK", "register-group": "ISTIO_META_AUTO_REGISTER_GROUP", "workload-entry": "ISTIO_META_WORKLOAD_ENTRY",
}

// own adds what the machine knows of itself.
func own(out []Flag, ip string) ([]Flag, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the name of this machine: %w; give --name", err)
	}
	name, _, _ := strings.Cut(host, ".")
	out = append(out, Flag{"name", name})
	if ip != "" {
		return append(out, Flag{"ip", ip}), nil
	}
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("find the addresses of this machine: %w; give --ip", err)
	}
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && p.Addr().IsGlobalUnicast() {
			out = append(out, Flag{"ip", p.Addr().Unmap().String()})
		}
	}
	return out, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// environment reads assignments as a shell does, as far as these files go: a name, =, and text with quotes. A file that is not there says nothing.
func environment(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the files of the machine: %w", err)
	}
	out := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, text, ok := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		value, good := unquoted(text)
		if !ok || !good {
			return nil, fmt.Errorf("read %s: line %d is not NAME=VALUE", path, n)
		}
		out[strings.TrimSpace(key)] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return out, nil
}

// unquoted joins the quoted and plain parts of a word.
func unquoted(s string) (string, bool) {
	var b strings.Builder
	for s != "" {
		switch q := s[0]; q {
		case '\'', '"':
			i := strings.IndexByte(s[1:], q)
			if i < 0 {
				return "", false
			}
			b.WriteString(s[1 : 1+i])
			s = s[2+i:]
		default:
			b.WriteByte(q)
			s = s[1:]
		}
	}
	return b.String(), true
}
