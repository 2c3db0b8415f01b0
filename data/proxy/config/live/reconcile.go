package live

import (
	"slices"
	"time"

	"github.com/heddle-mesh/heddle/data/proxy/config"
	"github.com/heddle-mesh/heddle/xds"
)

// reconcile makes in force what is complete: subscriptions first, then warming, then one publication. When a configuration cannot be applied, the changes that it is
// made of are tried one by one; those that fail are taken back and returned with their errors.
func (l *Live) reconcile(changes []*change) map[xds.Name]error {
	if l.closed {
		return nil
	}
	l.subscribe()
	l.resolve()
	now := time.Now()
	changes = append(changes, l.warm(now)...)
	failed := map[xds.Name]error{}
	if err := l.apply(); err != nil {
		if len(changes) == 0 {
			l.opts.Log.Error("configuration not put into force", "error", err)
		}
		l.isolate(changes, failed)
	}
	l.subscribe() // without what only the former configuration needed
	l.resolve()
	l.schedule(now)
	l.judge()
	return failed
}

// apply builds and publishes, if there is something new.
func (l *Live) apply() error {
	next := l.build()
	if next == nil {
		return nil
	}
	if err := l.opts.Apply(next); err != nil {
		return err
	}
	l.current.Store(next)
	return nil
}

// isolate takes all changes back and makes them again one by one.
func (l *Live) isolate(changes []*change, failed map[xds.Name]error) {
	for _, c := range slices.Backward(changes) {
		c.undo()
	}
	for _, c := range changes {
		c.redo()
		if err := l.apply(); err != nil {
			c.undo()
			failed[c.name] = err
		}
	}
}

// judge decides whether the first configuration is complete.
func (l *Live) judge() {
	if l.ready.Load() {
		return
	}
	for _, t := range l.wanted {
		if (t == xds.Listener || t == xds.Cluster) && !l.heard[t] {
			return
		}
	}
	for _, s := range l.clusters {
		if s.live == nil {
			return
		}
	}
	for _, s := range l.listeners {
		if s.live == nil {
			return
		}
	}
	l.ready.Store(true)
}

// subscribe asks for what is referred to and gives up what is not any more.
func (l *Live) subscribe() {
	if l.sub == nil {
		return
	}
	endpoints, routes, secrets := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range l.clusters {
		for _, h := range []*held[config.Cluster]{s.live, s.next} {
			if h == nil {
				continue
			}
			if h.value.Type == config.EDS {
				endpoints[h.value.ServiceName] = true
			}
			l.want(secrets, clusterSecrets(h.value))
		}
	}
	for _, s := range l.listeners {
		for _, h := range []*held[config.Listener]{s.live, s.next} {
			if h == nil {
				continue
			}
			for _, name := range listenerRoutes(h.value) {
				routes[name] = true
			}
			l.want(secrets, listenerSecrets(h.value))
		}
	}
	forget(l, xds.Endpoints, endpoints, l.assignments)
	forget(l, xds.Route, routes, l.tables)
	forget(l, xds.Secret, secrets, l.secrets)
	for name := range l.heardHosts {
		if !routes[name] {
			l.forgetHosts(name)
		}
	}
	for name := range l.built {
		if !routes[name] {
			delete(l.built, name)
		}
	}
	l.subscribeHosts()
}

// forgetHosts drops the virtual hosts of a route configuration that is given up or gone; they come again with it.
func (l *Live) forgetHosts(route string) {
	delete(l.hosts, route)
	delete(l.heardHosts, route)
	delete(l.built, route)
}

// subscribeHosts asks for all virtual hosts once a route configuration says that they come one by one.
func (l *Live) subscribeHosts() {
	if l.asked[xds.VirtualHost] != nil {
		return
	}
	for _, t := range l.tables {
		if t.value != nil && t.value.VHDS {
			l.asked[xds.VirtualHost] = map[string]bool{}
			l.sub.Subscribe(xds.VirtualHost)
			return
		}
	}
}

// want adds the names that come over ADS; static ones and the workload's own do not.
func (l *Live) want(names map[string]bool, refs []config.SecretRef) {
	for _, r := range refs {
		if h := l.secrets[r.Name]; !r.Local && r.Name != "" && (h == nil || !h.static) {
			names[r.Name] = true
		}
	}
}

// forget makes the subscription of a type what is wanted, and drops what is held of the rest.
func forget[T any](l *Live, typeURL string, wanted map[string]bool, store map[string]*held[T]) {
	asked := l.asked[typeURL]
	if asked == nil {
		asked = map[string]bool{}
		l.asked[typeURL] = asked
	}
	var add, remove []string
	for _, name := range sortedKeys(wanted) {
		if !asked[name] {
			asked[name] = true
			add = append(add, name)
		}
	}
	for _, name := range sortedKeys(asked) {
		if !wanted[name] {
			delete(asked, name)
			delete(store, name)
			remove = append(remove, name)
		}
	}
	if len(add) > 0 {
		l.sub.Subscribe(typeURL, add...)
	}
	if len(remove) > 0 {
		l.sub.Unsubscribe(typeURL, remove...)
	}
}

func listenerRoutes(x *config.Listener) (names []string) {
	for _, c := range chains(x) {
		if c.HTTP != nil && c.HTTP.RouteName != "" {
			names = append(names, c.HTTP.RouteName)
		}
	}
	return names
}

func chains(x *config.Listener) []*config.Chain {
	if x.Default == nil {
		return x.Chains
	}
	return append(x.Chains[:len(x.Chains):len(x.Chains)], x.Default)
}

func listenerSecrets(x *config.Listener) (refs []config.SecretRef) {
	for _, c := range chains(x) {
		if c.TLS != nil {
			refs = append(refs, paramSecrets(&c.TLS.TLSParams)...)
		}
	}
	return refs
}

func clusterSecrets(c *config.Cluster) (refs []config.SecretRef) {
	if c.TLS != nil {
		refs = append(refs, paramSecrets(&c.TLS.TLSParams)...)
	}
	for _, m := range c.Matches {
		if m.TLS != nil {
			refs = append(refs, paramSecrets(&m.TLS.TLSParams)...)
		}
	}
	return refs
}

func paramSecrets(p *config.TLSParams) []config.SecretRef {
	refs := p.Certificates[:len(p.Certificates):len(p.Certificates)]
	if p.Roots != nil {
		refs = append(refs, *p.Roots)
	}
	return refs
}
