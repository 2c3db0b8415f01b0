package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Names of the node agent and its marks.
const (
	nodeAgent           = "heddle-node"
	validationContainer = "istio-validation"
	markCapture         = "heddle.dev/capture"
	uncapturedCode      = 126
)

func nodes() []one {
	const category = "node-agent"
	return []one{
		{category, "it is ready on every node", "look at: kubectl -n NAMESPACE get pods -l app=" + nodeAgent + " -o wide, and at the log of the one that is not ready", false, agentReady},
		{category, "every node captures by the best of its ways", "the log of the agent there says it of each pod; name the ways that you want: heddle install --set 'node.ways={nftables,iptables}'", false, captured},
		{category, "every pod that waits for its node is started", "pods of a node without a ready node agent wait for it; look at: kubectl describe pod", false, nobodyWaits},
		{category, "no pod runs uncaptured", "delete these pods, so that others are made", false, allCaptured},
	}
}

// agent is the DaemonSet; there need not be one.
func (s *state) agent(ctx context.Context) (*appsv1.DaemonSet, error) {
	d, err := s.Typed.AppsV1().DaemonSets(s.Namespace).Get(ctx, nodeAgent, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, errNothing
	}
	return d, err
}

func agentReady(ctx context.Context, s *state) error {
	d, err := s.agent(ctx)
	if err != nil {
		return err
	}
	if d.Status.DesiredNumberScheduled == 0 {
		return errors.New("no node is to have one: its nodeSelector fits none")
	}
	if d.Status.ObservedGeneration < d.Generation || d.Status.NumberAvailable < d.Status.DesiredNumberScheduled {
		without, err := s.nodesWithoutAgent(ctx)
		if err != nil {
			return err
		}
		return fmt.Errorf("%d of %d nodes have a ready one: not %s", d.Status.NumberAvailable, d.Status.DesiredNumberScheduled, some(without))
	}
	if d.Status.UpdatedNumberScheduled < d.Status.DesiredNumberScheduled {
		return warn("%d of %d nodes have one of this version", d.Status.UpdatedNumberScheduled, d.Status.DesiredNumberScheduled)
	}
	return nil
}

func (s *state) nodesWithoutAgent(ctx context.Context) (names []string, err error) {
	all, err := s.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	agents, err := s.Typed.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + nodeAgent})
	if err != nil {
		return nil, err
	}
	for _, n := range all.Items {
		if !slices.ContainsFunc(agents.Items, func(p corev1.Pod) bool {
			return p.Spec.NodeName == n.Name && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
		}) {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// nobodyWaits looks for pods that have a node, but no network for longer than that takes.
func nobodyWaits(ctx context.Context, s *state) error {
	if _, err := s.agent(ctx); err != nil {
		return err
	}
	var waiting []string
	err := s.pods(ctx, func(p *corev1.Pod, _ bool) {
		if p.Annotations[markCapture] == "" || p.Spec.NodeName == "" || p.Status.PodIP != "" {
			return
		}
		if scheduled := condition(p, corev1.PodScheduled); scheduled != nil && time.Since(scheduled.LastTransitionTime.Time) > time.Minute {
			waiting = append(waiting, p.Namespace+"/"+p.Name+" on "+p.Spec.NodeName)
		}
	})
	if err == nil && len(waiting) > 0 {
		return errors.New(some(waiting))
	}
	return err
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

func allCaptured(ctx context.Context, s *state) error {
	if _, err := s.agent(ctx); err != nil {
		return err
	}
	var bad []string
	err := s.pods(ctx, func(p *corev1.Pod, _ bool) {
		for _, c := range p.Status.InitContainerStatuses {
			if c.Name == validationContainer && !c.Ready && (ended(c.State) || ended(c.LastTerminationState)) {
				bad = append(bad, p.Namespace+"/"+p.Name)
			}
		}
	})
	if err == nil && len(bad) > 0 {
		return fmt.Errorf("they started before the node agent, and get no further: %s", strings.TrimSpace(some(bad)))
	}
	return err
}

func ended(s corev1.ContainerState) bool {
	return s.Terminated != nil && s.Terminated.ExitCode == uncapturedCode
}
