package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/heddle-mesh/heddle/data/proxy/announce"
	"github.com/heddle-mesh/heddle/data/proxy/kubelet"
	"github.com/heddle-mesh/heddle/data/proxy/secret"
)

// GRPCBootstrap is the name of the file in the work folder that GRPC_XDS_BOOTSTRAP is to point to (Istio's name).
const GRPCBootstrap = "grpc-bootstrap.json"

// certificates is the folder, in the work folder, with the newest key, chain and roots: a link, so that all three change at once.
const certificates = "certificates"

// RunGRPC serves programs that speak xDS by themselves, through gRPC's libraries, until the context ends: it writes their bootstrap, carries their streams to the control
// plane with the workload's credential, and keeps its key and certificate in files, which the bootstrap names (gRFC A29). Every stream of every program is carried.
func RunGRPC(ctx context.Context, o Options) error {
	o.grpc = true
	if err := o.complete(); err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	g := &grpcAgent{o: o, log: o.Log, quit: quit}
	if err := g.open(); err != nil {
		return errors.Join(err, g.close())
	}
	return errors.Join(g.run(ctx), g.close())
}

// grpcAgent has one field per subsystem.
type grpcAgent struct {
	o        Options
	log      *slog.Logger
	rotation *secret.Rotation
	relay    *relay
	local    *local
	status   pages
	quit     context.CancelFunc
}

func (g *grpcAgent) open() error {
	if err := os.MkdirAll(g.o.WorkDir, g.o.folderMode()); err != nil {
		return fmt.Errorf("make the agent's folder: %w", err)
	}
	if err := os.Chmod(g.o.WorkDir, g.o.folderMode()); err != nil {
		return fmt.Errorf("make the agent's folder: %w", err)
	}
	g.o.own = func() *secret.SVID { return g.rotation.Current() }
	authority, err := secret.NewClient(g.o.channel(g.o.CAAddress))
	if err != nil {
		return err
	}
	id, err := g.o.Workload.ID()
	if err != nil {
		return err
	}
	g.rotation = &secret.Rotation{CA: authority, ID: id.String(), Log: g.log.With("part", "secret")}
	g.rotation.Subscribe(g.save)
	if g.relay, err = newRelay(g.o.channel(g.o.XDSAddress), nil, g.log.With("part", "xds")); err != nil {
		return err
	}
	if g.local, err = listenLocal(g.o.socket(), g.relay, nil, nil); err != nil {
		return err
	}
	if g.o.Shared {
		if err := os.Chmod(g.o.socket(), 0o666); err != nil {
			return fmt.Errorf("open the agent's socket to the workload: %w", err)
		}
	}
	ready := http.NewServeMux()
	ready.HandleFunc("GET /healthz/ready", g.ready)
	for _, address := range g.o.Status {
		if err := g.status.tcp("status-address", address, kubelet.Status(g.o.probes, g.quit, ready)); err != nil {
			return err
		}
	}
	b, err := grpcBootstrap(g.o)
	if err != nil {
		return err
	}
	return g.write(filepath.Join(g.o.WorkDir, GRPCBootstrap), b)
}

func (g *grpcAgent) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ended(g.rotation.Run(ctx)) })
	group.Go(func() error { return g.local.run(ctx) })
	group.Go(func() error { return g.status.run(ctx) })
	return group.Wait()
}

// ready: programs that start now find their configuration and their certificate.
func (g *grpcAgent) ready(w http.ResponseWriter, _ *http.Request) {
	if _, err := os.Stat(filepath.Join(g.o.WorkDir, certificates)); err != nil {
		reason := "there is no certificate yet"
		if err := g.rotation.Failure(); err != nil {
			reason += ": " + err.Error()
		}
		http.Error(w, reason, http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "LIVE") // the reader is gone otherwise
}

// save writes a certificate into a folder of its own and then points the link to it.
func (g *grpcAgent) save(s *secret.SVID) {
	now := filepath.Join(g.o.WorkDir, certificates)
	before, _ := os.Readlink(now)
	folder, err := os.MkdirTemp(g.o.WorkDir, "."+certificates+"-")
	if err == nil {
		err = errors.Join(os.Chmod(folder, g.o.folderMode()), g.write(filepath.Join(folder, "cert-chain.pem"), s.ChainPEM),
			g.write(filepath.Join(folder, "key.pem"), s.KeyPEM), g.write(filepath.Join(folder, "root-cert.pem"), s.RootsPEM))
	}
	if err == nil {
		link := now + ".new"
		_ = os.Remove(link) // of an agent that was killed
		err = errors.Join(os.Symlink(filepath.Base(folder), link), os.Rename(link, now))
	}
	if err != nil {
		_ = os.RemoveAll(folder) // nobody knows it
		g.log.Error("certificate not written, programs go on with the one that they have", "part", "secret", "error", err)
		return
	}
	if before != "" {
		_ = os.RemoveAll(filepath.Join(g.o.WorkDir, filepath.Base(before))) // who has its files open reads on
	}
}

func (g *grpcAgent) write(path string, b []byte) error {
	mode := os.FileMode(0o600)
	if g.o.Shared {
		mode = 0o644
	}
	if err := os.WriteFile(path, b, mode); err != nil {
		return fmt.Errorf("write for programs with gRPC: %w", err)
	}
	return os.Chmod(path, mode)
}

func (g *grpcAgent) close() error {
	if g.local != nil {
		g.local.close()
	}
	if g.relay != nil {
		g.relay.close()
	}
	g.status.close()
	if g.o.temporary {
		return os.RemoveAll(g.o.WorkDir)
	}
	now := filepath.Join(g.o.WorkDir, certificates)
	if name, err := os.Readlink(now); err == nil {
		_ = os.RemoveAll(filepath.Join(g.o.WorkDir, filepath.Base(name)))
	}
	for _, f := range []string{filepath.Join(g.o.WorkDir, GRPCBootstrap), g.o.socket(), now} {
		_ = os.Remove(f) // it may not be there
	}
	return nil
}

// folderMode: the folder holds a key.
func (o *Options) folderMode() os.FileMode {
	if o.Shared {
		return 0o755
	}
	return 0o700
}

// grpcBootstrap is the bootstrap of gRPC's xDS clients and servers (gRFC A27, A29, A36), with the names that Istio's have.
func grpcBootstrap(o Options) ([]byte, error) {
	w := o.Workload
	w.Kind, w.Features = announce.Sidecar, nil
	n, err := w.Node()
	if err != nil {
		return nil, err
	}
	metadata := n.GetMetadata().AsMap()
	for _, key := range []string{"HEDDLE_FEATURES", "HEDDLE_VERSION", "DNS_CAPTURE"} {
		delete(metadata, key)
	}
	metadata["GENERATOR"] = "grpc"
	file := func(name string) string { return filepath.Join(o.WorkDir, certificates, name) }
	return json.MarshalIndent(object{
		"xds_servers": []any{object{
			"server_uri": "unix://" + o.socket(), "channel_creds": []any{object{"type": "insecure"}}, "server_features": []any{"xds_v3"},
		}},
		"node": object{
			"id": n.GetId(), "cluster": n.GetCluster(), "metadata": metadata, "locality": object{"region": w.Region, "zone": w.Zone, "sub_zone": w.Subzone},
		},
		"certificate_providers": object{"default": object{"plugin_name": "file_watcher", "config": object{
			"certificate_file": file("cert-chain.pem"), "private_key_file": file("key.pem"), "ca_certificate_file": file("root-cert.pem"), "refresh_interval": "60s",
		}}},
		"server_listener_resource_name_template": "xds.istio.io/grpc/lds/inbound/%s",
	}, "", "  ")
}
