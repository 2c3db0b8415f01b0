package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Objects are what the rules follow from.
type Objects struct {
	Policies   []*networkingv1.NetworkPolicy
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
}

// direction is one of the two questions that are asked about a new connection: may its source call (egress), and may its destination be called (ingress)?
type direction struct {
	kind      networkingv1.PolicyType
	own, peer string // the side of the isolated pod, and the other one, as nft names them
}

var directions = []direction{{networkingv1.PolicyTypeEgress, "saddr", "daddr"}, {networkingv1.PolicyTypeIngress, "daddr", "saddr"}}

// rule is a rule of a policy in either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

// Table is the text for nft that replaces all rules. Only forwarded packets are looked at, so the node itself, and the kubelet's probes, reach every pod; packets between pods
// of one bridge count as forwarded (br_netfilter). A chain of an isolated pod returns what is allowed.
func Table(o Objects) string {
	pods := slices.DeleteFunc(slices.Clone(o.Pods), func(p *corev1.Pod) bool {
		return p.Spec.HostNetwork || len(p.Status.PodIPs) == 0 || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	})
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(name(a), name(b)) })
	policies := slices.Clone(o.Policies)
	slices.SortFunc(policies, func(a, b *networkingv1.NetworkPolicy) int { return cmp.Compare(name(a), name(b)) })
	w := world{pods: pods, spaces: map[string]labels.Set{}}
	for _, n := range o.Namespaces {
		w.spaces[n.Name] = n.Labels
	}
	var jumps, chains strings.Builder
	for _, d := range directions {
		for i, pod := range pods {
			allowed, isolated := w.allowed(d, pod, policies)
			if !isolated {
				continue
			}
			chain := fmt.Sprintf("%s%d", strings.ToLower(string(d.kind)), i)
			for _, ip := range addresses(pod) {
				fmt.Fprintf(&jumps, "\t\t%s %s %s jump %s\n", family(ip), d.own, ip, chain)
			}
			fmt.Fprintf(&chains, "\tchain %s { # of %s\n", chain, name(pod))
			for _, line := range allowed {
				fmt.Fprintf(&chains, "\t\t%s\n", strings.TrimSpace(line+" return"))
			}
			chains.WriteString("\t\tmeta l4proto tcp reject with tcp reset\n\t\treject with icmpx admin-prohibited\n\t}\n")
		}
	}
	return "table inet networkpolicy\ndelete table inet networkpolicy\ntable inet networkpolicy {\n" + chains.String() +
		"\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tct state established,related accept\n" +
		"\t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept\n" + jumps.String() + "\t}\n}\n"
}

func name(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

func family(ip netip.Addr) string {
	if ip.Is6() {
		return "ip6"
	}
	return "ip"
}

func addresses(p *corev1.Pod) (all []netip.Addr) {
	for _, ip := range p.Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// world is whom selectors choose from.
type world struct {
	pods   []*corev1.Pod
	spaces map[string]labels.Set
}

// allowed are the conditions of what a pod may, one line of nft each, and whether a policy isolates it at all. A pod is always allowed to call itself.
func (w *world) allowed(d direction, pod *corev1.Pod, policies []*networkingv1.NetworkPolicy) (lines []string, isolated bool) {
	for _, p := range policies {
		if p.Namespace != pod.Namespace || !applies(p, d.kind) || !selects(&p.Spec.PodSelector, pod.Labels) {
			continue
		}
		if !isolated {
			isolated = true
			for _, ip := range addresses(pod) {
				lines = append(lines, fmt.Sprintf("%s %s %s", family(ip), d.peer, ip))
			}
		}
		for _, r := range rules(p, d.kind) {
			lines = append(lines, w.lines(d, pod, p.Namespace, r)...)
		}
	}
	return lines, isolated
}

// applies says whether a policy isolates in a direction. The API server writes the types down; the rest is what it does.
func applies(p *networkingv1.NetworkPolicy, kind networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, kind)
	}
	return kind == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

func rules(p *networkingv1.NetworkPolicy, kind networkingv1.PolicyType) (all []rule) {
	if kind == networkingv1.PolicyTypeIngress {
		for _, r := range p.Spec.Ingress {
			all = append(all, rule{r.From, r.Ports})
		}
		return all
	}
	for _, r := range p.Spec.Egress {
		all = append(all, rule{r.To, r.Ports})
	}
	return all
}

// selects says what a selector says; one that cannot be read, which the API server refuses, selects nothing.
func selects(s *metav1.LabelSelector, have map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(have))
}
