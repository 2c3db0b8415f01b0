package client

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/heddle-mesh/heddle/xds"
)

// delta is the incremental form.
type delta struct {
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func (d *delta) send(c *Client, node *corev3.Node, t *subscription, a *answer) error {
	req := &discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: t.url, ErrorDetail: a.detail()}
	if a != nil {
		req.ResponseNonce = a.nonce
	}
	c.mu.Lock()
	if t.opened {
		req.ResourceNamesSubscribe, req.ResourceNamesUnsubscribe = t.difference()
	} else {
		req.ResourceNamesSubscribe, req.InitialResourceVersions = t.first()
	}
	c.mu.Unlock()
	return d.stream.Send(req)
}

func (d *delta) tell(node *corev3.Node, detail *status.Status) error {
	return d.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xds.Health, ErrorDetail: detail})
}

func (d *delta) recv() (*response, error) {
	m, err := d.stream.Recv()
	if err != nil {
		return nil, err
	}
	r := &response{url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetSystemVersionInfo(), removed: m.GetRemovedResources()}
	for _, x := range m.GetResources() {
		r.resources = append(r.resources, &xds.Resource{
			Name: xds.Name{TypeURL: r.url, Name: x.GetName()}, Version: x.GetVersion(), Body: x.GetResource().GetValue(),
		})
	}
	return r, nil
}

// world is the state-of-the-world form.
type world struct {
	stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesClient
}

func (d *world) send(c *Client, node *corev3.Node, t *subscription, a *answer) error {
	req := &discoveryv3.DiscoveryRequest{Node: node, TypeUrl: t.url, ErrorDetail: a.detail()}
	c.mu.Lock()
	req.ResourceNames, req.ResponseNonce, req.VersionInfo = t.all(), t.nonce, t.version
	t.opened = true
	clear(t.add)
	c.mu.Unlock()
	return d.stream.Send(req)
}

func (d *world) tell(node *corev3.Node, detail *status.Status) error {
	return d.stream.Send(&discoveryv3.DiscoveryRequest{Node: node, TypeUrl: xds.Health, ErrorDetail: detail})
}

func (d *world) recv() (*response, error) {
	m, err := d.stream.Recv()
	if err != nil {
		return nil, err
	}
	r := &response{url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetVersionInfo()}
	for _, x := range m.GetResources() {
		name, err := nameOf(r.url, x.GetValue())
		if err != nil {
			return nil, err
		}
		r.resources = append(r.resources, xds.FromBytes(xds.Name{TypeURL: r.url, Name: name}, x.GetValue()))
	}
	return r, nil
}

// nameOf reads a resource's name from its bytes, since this form does not say it: the first field of every type but none of the name table, which is alone.
func nameOf(url string, body []byte) (string, error) {
	if url == xds.NameTable {
		return "", nil
	}
	name := ""
	for b := body; len(b) > 0; {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return "", fmt.Errorf("read the name of a %s: %w", xds.ShortType(url), protowire.ParseError(n))
		}
		b = b[n:]
		if number == 1 && kind == protowire.BytesType {
			v, n := protowire.ConsumeBytes(b)
			if n < 0 {
				return "", fmt.Errorf("read the name of a %s: %w", xds.ShortType(url), protowire.ParseError(n))
			}
			name = string(v) // the last one counts
		}
		n = protowire.ConsumeFieldValue(number, kind, b)
		if n < 0 {
			return "", fmt.Errorf("read the name of a %s: %w", xds.ShortType(url), protowire.ParseError(n))
		}
		b = b[n:]
	}
	return name, nil
}
