package kube

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/heddle-mesh/heddle/api"
	"github.com/heddle-mesh/heddle/api/diagnosis"
	"github.com/heddle-mesh/heddle/control/config"
)

// How often the API is asked which kinds it serves: often while some are missing, since their CRDs may be on their way.
const (
	discoverMissing = 2 * time.Second
	discoverAgain   = 30 * time.Second
	goneAfter       = 20 * time.Second // a kind that is not served any more is believed to be gone after this
)

// Source watches every kind of the table that the API serves and its role reads.
type Source struct {
	client   *Client
	store    *config.Store
	log      *slog.Logger
	presence *presence

	mu       sync.Mutex
	watching map[*api.Kind]*kindWatch
	found    bool // every kind has been asked for once
	synced   bool
	complete chan struct{} // closed with synced
	wg       sync.WaitGroup
}

type kindWatch struct {
	resource schema.GroupVersionResource
	cancel   context.CancelFunc
	listed   bool
	seen     time.Time // when the API last said that it serves the kind
}

// NewSource makes a source; Run starts it.
func NewSource(c *Client, store *config.Store, log *slog.Logger) *Source {
	tell := func(problems []api.Problem) { store.Complain(c.Role.String(), problems) }
	return &Source{client: c, store: store, log: log, presence: &presence{client: c, log: log, tell: tell, answer: time.Now()},
		watching: map[*api.Kind]*kindWatch{}, complete: make(chan struct{})}
}

// Client is that of the API that is read.
func (s *Source) Client() *Client { return s.client }

// Served says which version of a kind is watched, and whether the API serves the kind at all.
func (s *Source) Served(k *api.Kind) (schema.GroupVersionResource, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w, ok := s.watching[k]
	if !ok {
		return schema.GroupVersionResource{}, false
	}
	return w.resource, true
}

// Run follows the API until ctx ends. It never gives up: an API that is away keeps what was last seen.
func (s *Source) Run(ctx context.Context) error {
	defer s.wg.Wait()
	first, complete := true, s.complete
	for {
		missing, err := s.discover(ctx)
		switch {
		case err != nil:
			if first {
				s.log.Error("the "+s.client.Role.String()+" cannot be used yet; trying again", "error", s.client.explain(err))
			}
		case first:
			s.log.Info(s.client.Role.String()+" found", "host", s.client.Host, "missing", missing)
		}
		first = first && err != nil
		pause := discoverAgain
		if err != nil || len(missing) > 0 {
			pause = discoverMissing
		}
		select {
		case <-ctx.Done():
			return nil
		case <-complete:
			complete = nil // once: now for the kinds that are not essential
		case <-time.After(pause):
		}
	}
}

// ready says whether the API has all of its own parts: while it starts it may answer that a kind which it will serve does not exist.
func (c *Client) ready(ctx context.Context) error {
	rest := c.discovery.RESTClient()
	if v := reflect.ValueOf(rest); rest == nil || v.Kind() == reflect.Pointer && v.IsNil() { // a fake one in tests
		return nil
	}
	_, err := rest.Get().AbsPath("/readyz").DoRaw(ctx)
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) {
		return nil // not ours to ask
	}
	return err
}

// discover starts the watches of kinds that are served now and stops those of kinds that are gone. It lists the kinds that are missing.
func (s *Source) discover(ctx context.Context) (missing []string, err error) {
	if err := s.client.ready(ctx); err != nil {
		return nil, fmt.Errorf("wait for the API to be ready: %w", err)
	}
	served := map[string][]string{} // group/version → plurals
	ask := func(gv string) ([]string, error) {
		if names, ok := served[gv]; ok {
			return names, nil
		}
		list, err := s.client.discovery.ServerResourcesForGroupVersion(gv)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("ask for the resources of %s: %w", gv, err)
		}
		names := []string{}
		if err == nil {
			for _, r := range list.APIResources {
				names = append(names, r.Name)
			}
		}
		served[gv] = names
		return names, nil
	}
	s.mu.Lock()
	complete := s.synced
	s.mu.Unlock()
	for _, k := range api.Kinds {
		if !s.client.Role.Reads(k) || !complete && !essential(k) {
			continue
		}
		version, err := find(k, ask)
		if err != nil {
			return nil, err
		}
		if version == "" {
			missing = append(missing, k.Name())
		}
		s.set(ctx, k, version)
	}
	s.mu.Lock()
	s.found = true
	s.mu.Unlock()
	s.checkSynced()
	return missing, nil
}

// essential kinds change what the mesh does, so the first snapshot waits for them. The others are only answered that they are not honoured; they are watched
// afterwards, because an API that was just started takes its time over each kind.
func essential(k *api.Kind) bool { return k.Handled || k.Security }

// find gives the version of a kind to watch, the preferred one first, or "".
func find(k *api.Kind, ask func(gv string) ([]string, error)) (string, error) {
	for _, v := range append([]string{k.Version}, k.Versions...) {
		names, err := ask(schema.GroupVersion{Group: k.Group, Version: v}.String())
		if err != nil {
			return "", err
		}
		if slices.Contains(names, k.Plural) {
			return v, nil
		}
	}
	return "", nil
}

func (s *Source) set(ctx context.Context, k *api.Kind, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watching[k]
	resource := schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Plural}
	if w != nil && version == "" && time.Since(w.seen) < goneAfter {
		return
	}
	if w != nil && w.resource == resource {
		w.seen = time.Now()
	}
	if w != nil && w.resource != resource {
		w.cancel()
		delete(s.watching, k)
		if version == "" {
			// The API has answered so for a while: the kind is gone and its objects with it. An API that does not answer never gets here.
			s.log.Warn("kind is no longer served; its objects are gone", "kind", k.Name())
			s.store.Replace(owner(k), nil)
			s.store.Complain(owner(k), nil)
		}
		w = nil
	}
	if w != nil || version == "" {
		return
	}
	wctx, cancel := context.WithCancel(ctx)
	w = &kindWatch{resource: resource, cancel: cancel, seen: time.Now()}
	s.watching[k] = w
	s.wg.Go(func() { s.watch(wctx, k, w) })
}

func owner(k *api.Kind) string { return "kubernetes:" + k.Name() }

func (s *Source) watch(ctx context.Context, k *api.Kind, w *kindWatch) {
	options := func(o *metav1.ListOptions) {
		if k.Group == api.GroupCore && k.Kind == "Secret" {
			// Tokens and Helm's releases are many, large and none of our business.
			o.FieldSelector = "type!=kubernetes.io/service-account-token,type!=helm.sh/release.v1"
		}
	}
	res := s.client.dynamic.Resource(w.resource)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			options(&o)
			all, err := list(ctx, k, res.List, o)
			s.complain(ctx, k, err)
			if err != nil {
				return nil, err
			}
			return all, nil
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			options(&o)
			stream, err := res.Watch(ctx, o)
			s.complain(ctx, k, err)
			return stream, err
		},
	}
	r := cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, plainLists{}), &unstructured.Unstructured{}, &sink{s, k, w}, cache.ReflectorOptions{
		Name: k.Name(), TypeDescription: k.Name(),
		// An API that was restarted is found again within seconds.
		Backoff: &wait.Backoff{Duration: 200 * time.Millisecond, Cap: 3 * time.Second, Factor: 2, Jitter: 0.5, Steps: 10},
	})
	r.RunWithContext(ctx)
}

// plainLists makes the reflectors list and then watch. A streamed list waits for the API's watch cache of each kind, which takes an API that was just
// started seconds; a list is answered from its store.
type plainLists struct{}

// IsWatchListSemanticsUnSupported is what package cache asks.
func (plainLists) IsWatchListSemanticsUnSupported() bool { return true }

// complain tells of a kind that cannot be watched, such as one that RBAC forbids, or of an API that is away.
func (s *Source) complain(ctx context.Context, k *api.Kind, err error) {
	if ctx.Err() != nil || !s.presence.heard(err) {
		return
	}
	if err == nil {
		s.store.Complain(owner(k), nil)
		return
	}
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) {
		return // the reflector lists anew
	}
	s.presence.refused(err)
	s.store.Complain(owner(k), []api.Problem{{Object: api.Ref{Kind: "Watch", Name: k.Name()}, Code: diagnosis.CodeInvalid,
		Message: "the kind cannot be watched: " + s.client.explain(err).Error(), Hint: "give heddled this right there; the objects last seen stay in effect"}})
}

// checkSynced tells the store once every kind that is served has been listed. A snapshot of some kinds only would, without its policies, allow too much.
func (s *Source) checkSynced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.synced || !s.found {
		return
	}
	for k, w := range s.watching {
		if !w.listed && essential(k) {
			return
		}
	}
	s.synced = true
	s.store.Synced(s.client.Role.String())
	close(s.complete)
}

// sink takes what a reflector sees of one kind. Nothing but the decoded object is kept.
type sink struct {
	source *Source
	kind   *api.Kind
	watch  *kindWatch
}

// Add takes a new object.
func (k *sink) Add(obj any) error { return k.Update(obj) }

// Update takes a changed object.
func (k *sink) Update(obj any) error {
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watch %s: unexpected %T", k.kind.Name(), obj)
	}
	if o, problems := decode(k.kind, u); o.Kind != nil {
		k.source.store.Put(owner(k.kind), o, problems)
	}
	return nil
}

// Delete takes the removal of an object.
func (k *sink) Delete(obj any) error {
	if d, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = d.Obj
	}
	u, ok := obj.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("watch %s: unexpected %T", k.kind.Name(), obj)
	}
	k.source.store.Delete(owner(k.kind), api.Ref{Group: k.kind.Group, Kind: k.kind.Kind, Namespace: api.Namespace(u.GetNamespace()), Name: u.GetName()})
	return nil
}

// Replace takes a whole list.
func (k *sink) Replace(list []any, _ string) error {
	items := make([]config.Item, 0, len(list))
	for _, obj := range list {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			if o, problems := decode(k.kind, u); o.Kind != nil {
				items = append(items, config.Item{Object: o, Problems: problems})
			}
		}
	}
	k.source.store.Replace(owner(k.kind), items)
	k.source.mu.Lock()
	k.watch.listed = true
	k.source.mu.Unlock()
	k.source.checkSynced()
	return nil
}

// Resync has no meaning here.
func (k *sink) Resync() error { return nil }
