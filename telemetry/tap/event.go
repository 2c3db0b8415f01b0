// Package tap is what is told of one request that a proxy has served: who asked whom, what was answered, and every decision on the way. It also chooses among such events.
//
// In: lines of JSON, as a proxy's pages /tap and /tap/recent write them, or files of such lines. Out: Events, and whether a Selector chooses one. It knows no proxy.
package tap

import "time"

// Event is one finished request. Times in milliseconds are since its start, -1 for what never came.
type Event struct {
	ID    string    `json:"request_id,omitempty"` // x-request-id
	Trace string    `json:"trace_id,omitempty"`   // 32 hexadecimal digits, where the request is traced
	Start time.Time `json:"start"`
	Proxy string    `json:"proxy,omitempty"` // that tells it: WORKLOAD.NAMESPACE
	// Direction is inbound, outbound or unspecified (a gateway's listener), seen from the proxy.
	Direction   string `json:"direction"`
	Source      Side   `json:"source"`
	Destination Side   `json:"destination"`
	Downstream  string `json:"downstream,omitempty"` // address of the client
	Peer        string `json:"peer,omitempty"`       // identity that the client proved
	MTLS        bool   `json:"mtls"`                 // mutual TLS: with the client at an inbound proxy, else with the endpoint
	Protocol    string `json:"protocol"`

	Method    string     `json:"method"`
	Authority string     `json:"authority"`
	Path      string     `json:"path"`
	Request   [][]string `json:"request_headers,omitempty"` // names and values, in order; not of requests that are shown later
	Status    int        `json:"status"`                    // 0: none
	GRPC      *int       `json:"grpc_status,omitempty"`
	Response  [][]string `json:"response_headers,omitempty"`
	Flags     string     `json:"flags,omitempty"` // Envoy's response flags
	Details   string     `json:"details,omitempty"`
	Received  uint64     `json:"bytes_received"`
	Sent      uint64     `json:"bytes_sent"`

	// The decisions, in their order.
	Listener      string  `json:"listener,omitempty"`
	Chain         string  `json:"filter_chain,omitempty"`
	Table         string  `json:"route_config,omitempty"`
	Host          string  `json:"virtual_host,omitempty"`
	Route         string  `json:"route,omitempty"`
	Origin        string  `json:"origin,omitempty"` // the user's object that the route comes from
	Filters       []Act   `json:"filters,omitempty"`
	Policy        string  `json:"policy,omitempty"` // that decided on access, as the proxy names it
	Access        *Access `json:"access,omitempty"`
	Cluster       string  `json:"cluster,omitempty"`
	ClusterOrigin string  `json:"cluster_origin,omitempty"` // the user's object that shaped the cluster
	Subset        string  `json:"subset,omitempty"`
	Endpoint      string  `json:"endpoint,omitempty"` // of the latest try
	Why           *Choice `json:"why,omitempty"`      // it was chosen
	Attempts      int     `json:"attempts"`
	Tries         []Try   `json:"tries,omitempty"` // the first 16

	RequestDone   float64 `json:"request_done_ms"`   // the request's last byte
	ResponseBegan float64 `json:"response_began_ms"` // the response's first byte
	Duration      float64 `json:"duration_ms"`
	Times         *Times  `json:"timings,omitempty"`

	// Dropped is in a line of its own: so many events came faster than they were read.
	Dropped uint64 `json:"dropped,omitempty"`
}

// Side is one end of a request, as far as it is known.
type Side struct {
	Workload  string `json:"workload,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service,omitempty"` // of a destination its host; of a source its canonical name
	Principal string `json:"principal,omitempty"`
	Address   string `json:"address,omitempty"`
}

// Act is what a filter did.
type Act struct {
	Filter string  `json:"filter"`       // fault, cors, ext_authz, rbac
	Did    string  `json:"did"`          // such as delayed, aborted, allowed, denied
	By     string  `json:"by,omitempty"` // the policy or the server behind it
	Status int     `json:"status,omitempty"`
	At     float64 `json:"at_ms"`
	Took   float64 `json:"took_ms,omitempty"`
}

// Access is what decided on access.
type Access struct {
	Allowed bool   `json:"allowed"`
	Policy  string `json:"policy,omitempty"` // NAMESPACE/NAME of an AuthorizationPolicy; "" when no policy matched
	Rule    int    `json:"rule"`             // its place in spec.rules
}

// Choice is why an endpoint was chosen.
type Choice struct {
	// Policy is the load balancing policy, as Envoy names it in lower case, or what named the endpoint: session, original_destination, client_name.
	Policy string `json:"policy"`
	// HashOf is what the hash of the policy was made of: header X, cookie X, query X, source ip. Without any a random one stood in.
	HashOf []string `json:"hash_of,omitempty"`
	// Priority is that of the chosen endpoints, Priorities how many there are, and Health what was chosen among: healthy, degraded, or any, in panic.
	Priority   int    `json:"priority"`
	Priorities int    `json:"priorities,omitempty"`
	Health     string `json:"health,omitempty"`
	// Endpoints of the priority in all, those of them that are healthy, and those that the policy chose among.
	Endpoints  int `json:"endpoints,omitempty"`
	Healthy    int `json:"healthy,omitempty"`
	Candidates int `json:"candidates,omitempty"`
	// Localities that shared the requests by weight; one, where they have none.
	Localities int    `json:"localities,omitempty"`
	Locality   string `json:"locality,omitempty"` // of the endpoint: REGION/ZONE/SUBZONE
	// Subset is the labels that endpoints had to have; Fallback says that others stood in for those that the route asks for.
	Subset   string `json:"subset,omitempty"`
	Fallback bool   `json:"fallback,omitempty"`
	Avoided  int    `json:"avoided,omitempty"` // endpoints that were drawn and left, because an earlier try had used them
	InFlight int    `json:"in_flight,omitempty"`
	// Session is what a client keeps its endpoint by: cookie X or header X.
	Session string `json:"session,omitempty"`
}

// Try is one try. Queue is the wait for a connection without the connect itself; First is from the request's way out to the response's head.
type Try struct {
	Number   int     `json:"number"`
	Endpoint string  `json:"endpoint,omitempty"` // "": none could be chosen
	Workload string  `json:"workload,omitempty"`
	Why      *Choice `json:"why,omitempty"`
	Status   int     `json:"status,omitempty"`
	Failure  string  `json:"failure,omitempty"` // why there is no response
	Began    float64 `json:"began_ms"`
	Duration float64 `json:"duration_ms"`
	Reused   bool    `json:"reused"` // the connection was there already
	Queue    float64 `json:"queue_ms"`
	Connect  float64 `json:"connect_ms"`
	TLS      float64 `json:"tls_ms"`
	First    float64 `json:"first_byte_ms"`
}

// Times sums up where the time went, in milliseconds: Before the first try (filters, faults), the tries' queues, connects and handshakes, the wait for the first byte of the
// answer, and the rest of the answer. Parts of tries that run at the same time count each.
type Times struct {
	Before  float64 `json:"before_ms"`
	Queue   float64 `json:"queue_ms"`
	Connect float64 `json:"connect_ms"`
	TLS     float64 `json:"tls_ms"`
	First   float64 `json:"first_byte_ms"`
	Answer  float64 `json:"answer_ms"`
	Whole   float64 `json:"whole_ms"`
}

// Failed says whether the request came to a bad end: no answer, 5xx, or a gRPC status that is the server's fault.
func (e *Event) Failed() bool {
	return e.Status == 0 || e.Status >= 500 || e.GRPC != nil && ServerFault(*e.GRPC)
}

// ServerFault says whether a gRPC status is not the client's doing: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE and DATA_LOSS.
func ServerFault(status int) bool {
	switch status {
	case 2, 4, 12, 13, 14, 15:
		return true
	}
	return false
}
