package main

import (
	"sort"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionslisters "k8s.io/apiextensions-apiserver/pkg/client/listers/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/version"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/tools/cache"
)

// joinDiscovery keeps the groups of custom kinds in the plain list at /apis,
// which older clients read. (The newer, aggregated form has them by itself: both
// servers write to one list.)
func (c *chain) joinDiscovery() error {
	definitions := c.custom.Informers.Apiextensions().V1().CustomResourceDefinitions()
	lister := definitions.Lister()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err := definitions.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { poke() }, UpdateFunc: func(any, any) { poke() }, DeleteFunc: func(any) { poke() },
	})
	if err != nil {
		return err
	}
	return c.native.AddPostStartHook("heddle-discovery", func(hook genericapiserver.PostStartHookContext) error {
		c.native.DiscoveryGroupManager.AddGroup(apiGroup(apiextensionsv1.GroupName, map[string]bool{"v1": true}))
		go func() {
			listed := map[string]bool{}
			for {
				select {
				case <-hook.Done():
					return
				case <-changed:
					listed = c.listGroups(lister, listed)
				}
			}
		}()
		return nil
	})
}

// listGroups brings the list of groups up to date and returns what is in it.
func (c *chain) listGroups(lister apiextensionslisters.CustomResourceDefinitionLister, listed map[string]bool) map[string]bool {
	all, err := lister.List(labels.Everything())
	if err != nil { // an indexer in memory does not fail
		return listed
	}
	groups := map[string]map[string]bool{}
	for _, crd := range all {
		if !established(crd) {
			continue
		}
		for _, v := range crd.Spec.Versions {
			if !v.Served {
				continue
			}
			if groups[crd.Spec.Group] == nil {
				groups[crd.Spec.Group] = map[string]bool{}
			}
			groups[crd.Spec.Group][v.Name] = true
		}
	}
	now := map[string]bool{}
	for group, versions := range groups {
		c.native.DiscoveryGroupManager.AddGroup(apiGroup(group, versions))
		now[group] = true
		delete(listed, group)
	}
	for group := range listed {
		c.native.DiscoveryGroupManager.RemoveGroup(group)
	}
	return now
}

func apiGroup(name string, versions map[string]bool) metav1.APIGroup {
	g := metav1.APIGroup{Name: name}
	for v := range versions {
		g.Versions = append(g.Versions, metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v})
	}
	sort.Slice(g.Versions, func(i, j int) bool {
		return version.CompareKubeAwareVersionStrings(g.Versions[i].Version, g.Versions[j].Version) > 0
	})
	g.PreferredVersion = g.Versions[0]
	return g
}
