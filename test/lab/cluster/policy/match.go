package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// lines are the conditions of a rule: one for each set of peers and each port.
func (w *world) lines(d direction, pod *corev1.Pod, namespace string, r rule) (all []string) {
	chosen := w.chosen(namespace, r.peers)
	peers := append(sets(d.peer, chosen), blocks(d.peer, r.peers)...)
	if len(r.peers) == 0 {
		peers, chosen = []string{""}, w.pods
	}
	if len(r.ports) == 0 {
		return peers
	}
	for _, port := range r.ports {
		if port.Port == nil || port.Port.Type == intstr.Int {
			for _, p := range peers {
				all = append(all, strings.TrimSpace(p+" "+number(port)))
			}
			continue
		}
		// A name is that of a port of the destination: of the pod itself, or of each peer.
		if d.kind == networkingv1.PolicyTypeIngress {
			for _, n := range named(pod, port) {
				for _, p := range peers {
					all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s dport %d", p, protocol(port), n)))
				}
			}
			continue
		}
		by := map[int32][]*corev1.Pod{}
		for _, p := range chosen {
			for _, n := range named(p, port) {
				by[n] = append(by[n], p)
			}
		}
		for _, n := range slices.Sorted(maps.Keys(by)) {
			for _, p := range sets(d.peer, by[n]) {
				all = append(all, fmt.Sprintf("%s %s dport %d", p, protocol(port), n))
			}
		}
	}
	return all
}

// chosen are the pods that the selectors of peers choose. Without a selector of namespaces they are those of the policy's own.
func (w *world) chosen(namespace string, peers []networkingv1.NetworkPolicyPeer) (all []*corev1.Pod) {
	for _, pod := range w.pods {
		if slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
			if p.IPBlock != nil {
				return false
			}
			if p.NamespaceSelector == nil && pod.Namespace != namespace || p.NamespaceSelector != nil && !selects(p.NamespaceSelector, w.spaces[pod.Namespace]) {
				return false
			}
			return p.PodSelector == nil || selects(p.PodSelector, pod.Labels)
		}) {
			all = append(all, pod)
		}
	}
	return all
}

// sets are conditions for the addresses of pods, one for each family.
func sets(side string, pods []*corev1.Pod) (all []string) {
	by := map[string][]string{}
	for _, p := range pods {
		for _, ip := range addresses(p) {
			by[family(ip)] = append(by[family(ip)], ip.String())
		}
	}
	for _, f := range slices.Sorted(maps.Keys(by)) {
		all = append(all, fmt.Sprintf("%s %s { %s }", f, side, strings.Join(by[f], ", ")))
	}
	return all
}

// blocks are conditions for ranges without their exceptions.
func blocks(side string, peers []networkingv1.NetworkPolicyPeer) (all []string) {
	for _, p := range peers {
		if p.IPBlock == nil {
			continue
		}
		f := "ip"
		if strings.Contains(p.IPBlock.CIDR, ":") {
			f = "ip6"
		}
		line := fmt.Sprintf("%s %s %s", f, side, p.IPBlock.CIDR)
		for _, e := range p.IPBlock.Except {
			line += fmt.Sprintf(" %s %s != %s", f, side, e)
		}
		all = append(all, line)
	}
	return all
}

func protocol(p networkingv1.NetworkPolicyPort) string {
	if p.Protocol != nil {
		return strings.ToLower(string(*p.Protocol))
	}
	return "tcp"
}

// number is the condition for a port by number, a range of them, or all of a protocol.
func number(p networkingv1.NetworkPolicyPort) string {
	switch {
	case p.Port == nil:
		return "meta l4proto " + protocol(p)
	case p.EndPort != nil:
		return fmt.Sprintf("%s dport %d-%d", protocol(p), p.Port.IntVal, *p.EndPort)
	}
	return fmt.Sprintf("%s dport %d", protocol(p), p.Port.IntVal)
}

// named are the numbers of a pod's ports with a name and a protocol.
func named(pod *corev1.Pod, want networkingv1.NetworkPolicyPort) (all []int32) {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			if p.Name == want.Port.StrVal && strings.ToLower(cmp.Or(string(p.Protocol), "TCP")) == protocol(want) && !slices.Contains(all, p.ContainerPort) {
				all = append(all, p.ContainerPort)
			}
		}
	}
	return all
}
