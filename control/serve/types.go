package serve

import (
	"context"
	"iter"
	"time"

	"github.com/heddle-mesh/heddle/identity"
	"github.com/heddle-mesh/heddle/mesh"
	"github.com/heddle-mesh/heddle/xds"
)

// Store answers what proxies must hold, as of one snapshot. It is asked from many goroutines at once and must not change its answer.
type Store interface {
	// Names lists, in a stable order, what a wildcard subscriber of the type must hold.
	Names(p *mesh.Proxy, typeURL string) iter.Seq[string]
	// Resource is the resource as this proxy must have it, or false when there is none.
	Resource(p *mesh.Proxy, n xds.Name) (*xds.Resource, bool)
}

// Change says what may differ from the publication before. Whoever holds the same version is not sent it again.
type Change struct {
	// Name is a resource that may differ; an empty Name.Name says that the list of names of the type may differ.
	Name xds.Name
	// Variant is the resource as it was for those who must ask again; nil is everybody who has the name.
	Variant *xds.Resource
}

// Publication is a new snapshot.
type Publication struct {
	Revision mesh.Revision
	Store    Store
	Changes  iter.Seq[Change] // nil: anything may differ
	Since    time.Time        // when the oldest change in it was heard of; zero when unknown
}

// Authenticator finds who a client is from its credential (a bearer token or a peer certificate) and from nothing else.
type Authenticator interface {
	Authenticate(ctx context.Context) (identity.ID, error)
}

// Registrar hears of proxies before anybody else does.
type Registrar interface {
	// Register finds or makes the object that a proxy's workload is known by, where the proxy says that it needs one (else nil), and completes the proxy from it. proven says
	// whether the proxy showed a credential. It may wait for an API; an error ends the stream.
	Register(ctx context.Context, p *mesh.Proxy, proven bool) (Registration, error)
}

// Registration lives as long as the stream. Its methods do not block.
type Registration interface {
	Probed(healthy bool, message string) // what the proxy found out about its workload
	Release()
}

// Observer hears of what happens on the streams. Calls come from the goroutine of the proxy's stream and must not block.
type Observer interface {
	Connected(p *mesh.Proxy)
	Disconnected(p *mesh.Proxy)
	// Acked says that the proxy holds these versions now. revision is the newest snapshot that its stream has looked at; every resource of the proxy that differs in it is
	// on its way, if it is not here.
	Acked(p *mesh.Proxy, revision mesh.Revision, resources []*xds.Resource)
	// Rejected says that the proxy refused a version; it keeps the last good one.
	Rejected(p *mesh.Proxy, resource *xds.Resource, text string)
}
