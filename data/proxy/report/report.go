// Package report turns what ended into numbers and lines: Istio's standard metrics and access log records, for requests and for TCP connections.
//
// In: facts of an exchange or a connection, on the worker that served it. Out: counters by handle and access log lines. Series are made when a combination of labels
// is first seen and remembered per worker, so that the usual report looks one key up and allocates nothing. A Reporter is shared by all workers; each call belongs
// to the worker that it names.
package report

import (
	"strconv"
	"strings"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/data/proxy/stats"
	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/telemetry"
)

// Workload is what metrics say of one side. Empty fields are unknown.
type Workload struct {
	Name, Namespace, App, Version, Service, Revision, Cluster string // Service and Revision are Istio's canonical ones
}

// ParseWorkload reads Istio's endpoint metadata NAME;NAMESPACE;CANONICAL-SERVICE;CANONICAL-REVISION;CLUSTER. The canonical names stand for the labels app and version.
func ParseWorkload(s string) (w Workload) {
	parts := strings.SplitN(s, ";", 5)
	for len(parts) < 5 {
		parts = append(parts, "")
	}
	return Workload{Name: parts[0], Namespace: parts[1], App: parts[2], Version: parts[3], Service: parts[2], Revision: parts[3], Cluster: parts[4]}
}

// Own is the workload that the proxy runs beside, by its labels.
func Own(name, namespace, cluster string, labels map[string]string) Workload {
	first := func(keys ...string) string {
		for _, k := range keys {
			if labels[k] != "" {
				return labels[k]
			}
		}
		return ""
	}
	w := Workload{Name: name, Namespace: namespace, Cluster: cluster, App: labels["app"], Version: labels["version"]}
	if n := labels["service.istio.io/workload-name"]; n != "" {
		w.Name = n
	}
	if w.Service = first("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"); w.Service == "" {
		w.Service = w.Name
	}
	if w.Revision = first("service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"); w.Revision == "" {
		w.Revision = "latest"
	}
	return w
}

// Facts tell of a request or connection what its series depend on. It is comparable, and the key under which series are remembered.
type Facts struct {
	Direction config.Direction
	TCP       bool
	GRPC      bool
	Messages  bool // of gRPC, which have fewer labels
	Mutual    bool // mutual TLS with the downstream
	Code      int
	Status    string // of gRPC, "" for none
	Flags     string // comma separated, "" for none
	// Cluster names the upstream cluster, Service its host, name and namespace; empty where no cluster was chosen.
	Cluster                 string
	Service                 config.ClusterTelemetry
	Endpoint                string // Istio's endpoint metadata, see ParseWorkload
	Peer                    Workload
	SourceID, DestinationID string          // SPIFFE IDs, "" if unknown
	Plan                    *telemetry.Plan // nil for the standard
	Values                  string          // of the plan's expressions, see Values
}

// series are the handles of one combination of labels.
type series struct {
	over                     bool // for all that is beyond the bound
	requests                 stats.Handle
	duration, request, reply stats.Histogram
	sent, received           stats.Handle
	opened, closed           stats.Handle
	asked, answered          stats.Handle
}

// Reporter makes series.
type Reporter struct {
	own          Workload
	registry     *stats.Registry
	workers      []worker
	combinations *combinations
}

// worker is what one worker remembers.
type worker struct {
	shard  *stats.Shard
	series map[Facts]*series
	peers  map[string]*peer // by header
	_      [64]byte
}

// maxRemembered bounds the combinations that one worker remembers; the registry bounds the series.
const maxRemembered = 8192

// New makes a reporter for workers 0 to n-1. Each writes into the shard of its own index.
func New(own Workload, registry *stats.Registry, shards []*stats.Shard) *Reporter {
	r := &Reporter{own: own, registry: registry, combinations: newCombinations(registry), workers: make([]worker, len(shards))}
	for i := range r.workers {
		r.workers[i] = worker{shard: shards[i], series: map[Facts]*series{}}
	}
	return r
}

func (r *Reporter) find(w *worker, f *Facts) *series {
	if s := w.series[*f]; s != nil {
		return s
	}
	if len(w.series) >= maxRemembered {
		clear(w.series)
	}
	s := r.describe(f)
	w.series[*f] = s
	return s
}

// Request counts one request. Sizes are of heads and bodies, as they were on the wire.
func (r *Reporter) Request(index int, f *Facts, duration time.Duration, received, sent uint64) {
	w := &r.workers[index]
	s := r.find(w, f)
	if s.over {
		w.shard.Inc(r.combinations.over)
	}
	w.shard.Inc(s.requests)
	w.shard.Observe(s.duration, uint64(max(duration.Milliseconds(), 0)))
	w.shard.Observe(s.request, received)
	w.shard.Observe(s.reply, sent)
}

// Opened counts a connection whose upstream is connected.
func (r *Reporter) Opened(index int, f *Facts) {
	w := &r.workers[index]
	w.shard.Inc(r.find(w, f).opened)
}

// Closed counts a connection that has ended.
func (r *Reporter) Closed(index int, f *Facts) {
	w := &r.workers[index]
	s := r.find(w, f)
	if s.over {
		w.shard.Inc(r.combinations.over)
	}
	w.shard.Inc(s.closed)
}

// Moved counts bytes of a connection, as the server received and sent them.
func (r *Reporter) Moved(index int, f *Facts, received, sent uint64) {
	w := &r.workers[index]
	s := r.find(w, f)
	w.shard.Add(s.received, received)
	w.shard.Add(s.sent, sent)
}

// Messages counts gRPC messages of requests and responses.
func (r *Reporter) Messages(index int, f *Facts, request, response uint64) {
	w := &r.workers[index]
	s := r.find(w, f)
	w.shard.Add(s.asked, request)
	w.shard.Add(s.answered, response)
}

// describe registers the series of a combination.
func (r *Reporter) describe(f *Facts) *series {
	values, given := r.labels(f), f.Values
	over := !r.combinations.admit(f)
	if over {
		blur(&values)
		given = overflowed
	}
	count := func(m telemetry.Metric, labels []telemetry.Label) stats.Handle {
		if d, ok := desc(f.Plan, m, labels, &values, given); ok {
			return r.registry.Counter(d)
		}
		return 0
	}
	if f.TCP {
		tcp := telemetry.TCPLabels()
		return &series{
			over: over,
			sent: count(telemetry.TCPSentBytes, tcp), received: count(telemetry.TCPReceivedBytes, tcp),
			opened: count(telemetry.TCPConnectionOpened, tcp), closed: count(telemetry.TCPConnectionClosed, tcp),
		}
	}
	if f.Messages {
		of := telemetry.MessageLabels()
		return &series{over: over, asked: count(telemetry.RequestMessages, of), answered: count(telemetry.ResponseMessages, of)}
	}
	http, bounds := telemetry.HTTPLabels(), telemetry.Buckets()
	measure := func(m telemetry.Metric) stats.Histogram {
		if d, ok := desc(f.Plan, m, http, &values, given); ok {
			return r.registry.Histogram(d, bounds)
		}
		return stats.Histogram{}
	}
	return &series{over: over, requests: count(telemetry.Requests, http), duration: measure(telemetry.RequestDuration), request: measure(telemetry.RequestBytes), reply: measure(telemetry.ResponseBytes)}
}

// labels are the values of all 25 labels.
func (r *Reporter) labels(f *Facts) (v [telemetry.LabelCount]string) {
	source, destination := r.own, f.destination()
	v[telemetry.Reporter], v[telemetry.ConnectionSecurityPolicy] = telemetry.ReporterSource, telemetry.Unknown
	if f.Direction == config.Inbound {
		source, destination = f.source(), r.own
		v[telemetry.Reporter], v[telemetry.ConnectionSecurityPolicy] = telemetry.ReporterDestination, telemetry.Plaintext
		if f.Mutual {
			v[telemetry.ConnectionSecurityPolicy] = telemetry.MutualTLS
		}
	}
	side := func(w Workload, id string, name, namespace, principal, app, version, service, revision, cluster telemetry.Label) {
		v[name], v[namespace], v[principal], v[app], v[version] = w.Name, w.Namespace, id, w.App, w.Version
		v[service], v[revision], v[cluster] = w.Service, w.Revision, w.Cluster
	}
	side(source, f.SourceID, telemetry.SourceWorkload, telemetry.SourceWorkloadNamespace, telemetry.SourcePrincipal, telemetry.SourceApp, telemetry.SourceVersion,
		telemetry.SourceCanonicalService, telemetry.SourceCanonicalRevision, telemetry.SourceCluster)
	side(destination, f.DestinationID, telemetry.DestinationWorkload, telemetry.DestinationWorkloadNamespace, telemetry.DestinationPrincipal, telemetry.DestinationApp,
		telemetry.DestinationVersion, telemetry.DestinationCanonicalService, telemetry.DestinationCanonicalRevision, telemetry.DestinationCluster)
	v[telemetry.DestinationService], v[telemetry.DestinationServiceName], v[telemetry.DestinationServiceNamespace] = f.Service.Service, f.Service.ServiceName, f.Service.ServiceNamespace
	if f.Service.Service == "" && f.Cluster != "" { // as Istio names what is no service of the mesh
		v[telemetry.DestinationServiceName] = f.Cluster
	}
	if v[telemetry.DestinationServiceNamespace] == "" {
		v[telemetry.DestinationServiceNamespace] = destination.Namespace
	}
	v[telemetry.RequestProtocol] = f.protocol()
	v[telemetry.ResponseCode] = strconv.Itoa(f.Code)
	if v[telemetry.ResponseFlags] = f.Flags; f.Flags == "" {
		v[telemetry.ResponseFlags] = telemetry.NoFlags
	}
	for i := range v {
		if v[i] == "" {
			v[i] = telemetry.Unknown
		}
	}
	v[telemetry.GRPCResponseStatus] = f.Status // empty, not unknown, for what is no gRPC
	return v
}

func (f *Facts) protocol() string {
	switch {
	case f.TCP:
		return "tcp"
	case f.GRPC:
		return "grpc"
	}
	return "http"
}

func (f *Facts) destination() Workload {
	if f.Peer != (Workload{}) {
		return f.Peer
	}
	return ParseWorkload(f.Endpoint)
}

// source is the downstream: what it told, else the namespace that its certificate proves.
func (f *Facts) source() Workload {
	w := f.Peer
	if w.Namespace == "" {
		if id, err := identity.ParseID(f.SourceID); err == nil {
			w.Namespace = id.Namespace()
		}
	}
	return w
}
