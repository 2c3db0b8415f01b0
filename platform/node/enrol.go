package node

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/heddle-mesh/heddle/data/node/capture"
	"github.com/heddle-mesh/heddle/data/node/cni"
	"github.com/heddle-mesh/heddle/data/node/enrol"
)

// Enrol says what of a pod is to be captured. It is called by many goroutines.
func (a *Agent) Enrol(ctx context.Context, p enrol.Pod) (*capture.Spec, string, error) {
	pod, err := a.pod(ctx, p)
	if err == nil {
		var spec *capture.Spec
		var skip string
		if spec, skip, err = wish(pod); err == nil {
			if skip != "" {
				a.count.pods.WithLabelValues("skipped").Inc()
				a.o.Log.Debug("pod left alone", "pod", p.String(), "why", skip)
			}
			return spec, skip, nil
		}
	}
	a.count.pods.WithLabelValues("unknown").Inc()
	a.o.Log.Error("pod waits", "pod", p.String(), "why", err)
	return nil, "", err
}

// pod is what is known of a pod, else the API is asked: the plug-in may be faster than the watch. A node that starts again while the API is away has its pods.
func (a *Agent) pod(ctx context.Context, p enrol.Pod) (*corev1.Pod, error) {
	if a.pods != nil && p.UID != "" {
		if have, err := a.pods.Pods(p.Namespace).Get(p.Name); err == nil && ofUID(have, p.UID) {
			return have, nil
		}
	}
	have, err := a.o.Kube.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the Kubernetes API for the pod: %w", err)
	}
	if p.UID != "" && !ofUID(have, p.UID) {
		return nil, fmt.Errorf("the pod is another one of this name by now (its uid is %s)", have.UID)
	}
	return have, nil
}

// ofUID says whether it is that pod: a static pod is known to its node by the hash of its file.
func ofUID(pod *corev1.Pod, uid string) bool {
	return string(pod.UID) == uid || pod.Annotations["kubernetes.io/config.mirror"] == uid
}

// wish is what the injection wrote into the pod.
func wish(pod *corev1.Pod) (spec *capture.Spec, skip string, err error) {
	text, said := pod.Annotations[cni.Annotation]
	if !said {
		return nil, "it does not ask for capture by the node", nil
	}
	var args []string
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		return nil, "", fmt.Errorf("metadata.annotations[%s]: want a JSON array of arguments: %w", cni.Annotation, err)
	}
	s, err := capture.Parse(args)
	if err != nil {
		return nil, "", fmt.Errorf("metadata.annotations[%s]: %w", cni.Annotation, err)
	}
	return &s, "", nil
}

// Reported counts and tells what the plug-in did.
func (a *Agent) Reported(p enrol.Pod, r enrol.Report) {
	log := a.o.Log.With("pod", p.String())
	if r.Fell != "" {
		log.Warn("a better way of capture does not work on this node", "used", r.Way, "why", r.Fell)
	}
	if r.Error != "" {
		a.count.pods.WithLabelValues("failed").Inc()
		log.Error("pod not captured", "why", r.Error)
		return
	}
	if !r.Again {
		if err := a.captures.set(Captures{Way: r.Way, Fell: r.Fell}); err != nil {
			log.Warn("the next agent will not know the way of capture before a pod starts", "why", err)
		}
	}
	a.count.pods.WithLabelValues(r.Way).Inc()
	log.Info("pod captured", "way", r.Way)
}
