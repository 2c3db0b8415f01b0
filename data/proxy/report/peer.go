package report

import (
	"encoding/base64"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/heddle-mesh/heddle/data/proxy/codec"
	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stream"
)

// Peers exchanges what workloads say of themselves, in Istio's headers: x-envoy-peer-metadata holds an encoded google.protobuf.Struct, x-envoy-peer-metadata-id the node.
// Own facts leave only for workloads of the mesh, and a peer's are believed only when its certificate was verified. It implements stream.ResponseFilter.
type Peers struct {
	reporter *Reporter
	id       []byte
	metadata []byte
}

// maxMetadata bounds what a peer may say of itself, as the header has it.
const maxMetadata = 8 << 10

// maxPeers bounds the peers that a worker remembers.
const maxPeers = 1024

// NewPeers prepares the own headers of a node.
func NewPeers(r *Reporter, nodeID string) (*Peers, error) {
	text, err := Introduction(r.own)
	if err != nil {
		return nil, err
	}
	return &Peers{reporter: r, id: []byte(nodeID), metadata: []byte(text)}, nil
}

// Introduction is what a workload says of itself, as the header has it.
func Introduction(w Workload) (string, error) {
	labels := map[string]any{}
	for k, v := range map[string]string{"app": w.App, "version": w.Version, "service.istio.io/canonical-name": w.Service, "service.istio.io/canonical-revision": w.Revision} {
		if v != "" {
			labels[k] = v
		}
	}
	s, err := structpb.NewStruct(map[string]any{"NAME": w.Name, "NAMESPACE": w.Namespace, "WORKLOAD_NAME": w.Name, "CLUSTER_ID": w.Cluster, "LABELS": labels})
	if err != nil {
		return "", fmt.Errorf("build peer metadata: %w", err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return "", fmt.Errorf("build peer metadata: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// Request implements stream.Filter.
func (p *Peers) Request(x *stream.Exchange) stream.Verdict {
	h := &x.Request.Fields
	if x.Manager().Direction != config.Inbound {
		if _, c := x.Cluster(); c != nil && inside(c.Config()) {
			p.say(h)
		} else {
			h.Del(codec.EnvoyPeerMetadata)
			h.Del(codec.EnvoyPeerMetadataID)
		}
		return stream.Continue
	}
	if t := x.Origin().TLS; t != nil && t.Peer != nil {
		p.hear(x, h)
	}
	h.Del(codec.EnvoyPeerMetadata)
	h.Del(codec.EnvoyPeerMetadataID)
	return stream.Continue
}

// Response implements stream.ResponseFilter. An answer goes to whom has introduced itself.
func (p *Peers) Response(x *stream.Exchange) {
	h := &x.Response.Fields
	if x.Manager().Direction == config.Inbound {
		if metadata, _ := x.Peer(); metadata != "" {
			p.say(h)
		}
		return
	}
	if o := x.UpstreamOrigin(); o != nil && o.TLS != nil && o.TLS.Peer != nil {
		p.hear(x, h)
	}
	h.Del(codec.EnvoyPeerMetadata)
	h.Del(codec.EnvoyPeerMetadataID)
}

func (p *Peers) say(h *codec.Fields) {
	h.Set(codec.EnvoyPeerMetadata, p.metadata)
	h.Set(codec.EnvoyPeerMetadataID, p.id)
}

func (p *Peers) hear(x *stream.Exchange, h *codec.Fields) {
	v, ok := h.Value(codec.EnvoyPeerMetadata)
	if !ok || len(v) > maxMetadata {
		return
	}
	peer := p.reporter.peer(x.Worker().Loop.Index(), v)
	x.SetPeer(peer.text, "")
}

// inside says whether a cluster is of the mesh: its endpoints are told by certificates of the mesh.
func inside(c *config.Cluster) bool {
	own := func(t *config.ClientTLS) bool { return t != nil && len(t.Certificates) > 0 && t.Certificates[0].Local }
	for _, m := range c.Matches {
		if own(m.TLS) {
			return true
		}
	}
	return own(c.TLS)
}

// peer is a workload as it introduced itself.
type peer struct {
	text     string // the header
	workload Workload
}

// peer finds or reads an introduction. What does not decode introduces nobody.
func (r *Reporter) peer(index int, header []byte) *peer {
	w := &r.workers[index]
	if known := w.peers[string(header)]; known != nil {
		return known
	}
	if w.peers == nil || len(w.peers) >= maxPeers {
		w.peers = map[string]*peer{}
	}
	fresh := &peer{text: string(header), workload: ParsePeer(header)}
	w.peers[fresh.text] = fresh
	return fresh
}

// ParsePeer reads Istio's peer metadata.
func ParsePeer(header []byte) (w Workload) {
	b, err := base64.StdEncoding.AppendDecode(nil, header)
	s := &structpb.Struct{}
	if err != nil || proto.Unmarshal(b, s) != nil {
		return w
	}
	f := s.GetFields()
	labels := map[string]string{}
	for k, v := range f["LABELS"].GetStructValue().GetFields() {
		labels[k] = v.GetStringValue()
	}
	name := f["WORKLOAD_NAME"].GetStringValue()
	if name == "" {
		name = f["NAME"].GetStringValue()
	}
	if name == "" {
		return w
	}
	return Own(name, f["NAMESPACE"].GetStringValue(), f["CLUSTER_ID"].GetStringValue(), labels)
}

var _ stream.ResponseFilter = (*Peers)(nil)
