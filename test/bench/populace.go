package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/heddle-mesh/heddle/control/inject"
)

// populace is a cluster's objects: services in ten namespaces, each with its account and its share of the pods, on ten nodes in three zones.
type populace struct {
	p        *plane
	settings *inject.Settings
	services int
	pods     int // so far
}

const (
	namespaces = 10
	nodes      = 10
	atOnce     = 32 // objects that are written at the same time
)

func newPopulace(p *plane, services int) (*populace, error) {
	config, err := inject.ParseConfig(nil)
	if err != nil {
		return nil, err
	}
	o := &populace{p: p, services: services, settings: &inject.Settings{Config: config, Namespace: "istio-system", RootNamespace: "istio-system", TrustDomain: "cluster.local", ClusterID: "Kubernetes"}}
	return o, o.ground()
}

func namespaceOf(service int) string { return fmt.Sprintf("team-%d", service%namespaces) }
func nameOf(service int) string      { return fmt.Sprintf("service-%d", service) }
func nodeOf(pod int) string          { return fmt.Sprintf("node-%d", pod%nodes) }
func zoneOf(node int) string         { return fmt.Sprintf("zone-%d", node%3) }

// addressOf is a pod's address; the first of them is 10.32.0.1.
func addressOf(pod int) netip.Addr {
	n := pod + 1
	return netip.AddrFrom4([4]byte{10, 32, byte(n >> 8), byte(n)})
}

// ground makes all but the pods.
func (o *populace) ground() error {
	ctx, api := context.Background(), o.p.typed.CoreV1()
	for i := range namespaces {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i), Labels: map[string]string{"istio-injection": "enabled"}}}
		if _, err := api.Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	for i := range nodes {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeOf(i), Labels: map[string]string{corev1.LabelTopologyRegion: "region", corev1.LabelTopologyZone: zoneOf(i)}}}
		if _, err := api.Nodes().Create(ctx, n, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return each(o.services, func(i int) error {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: nameOf(i), Namespace: namespaceOf(i)}}
		if _, err := api.ServiceAccounts(namespaceOf(i)).Create(ctx, account, metav1.CreateOptions{}); err != nil {
			return err
		}
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: nameOf(i), Namespace: namespaceOf(i), Labels: map[string]string{"app": nameOf(i)}},
			Spec: corev1.ServiceSpec{Selector: map[string]string{"app": nameOf(i)}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}}}
		if _, err := api.Services(namespaceOf(i)).Create(ctx, s, metav1.CreateOptions{}); err != nil {
			return err
		}
		if i%10 == 0 {
			if err := o.route(i, "first"); err != nil {
				return err
			}
		}
		return nil
	})
}

// grow makes pods until there are n, and the slices anew.
func (o *populace) grow(n int) error {
	ctx, from := context.Background(), o.pods
	err := each(n-from, func(i int) error {
		pod, err := o.injected(from + i)
		if err != nil {
			return err
		}
		api := o.p.typed.CoreV1().Pods(pod.Namespace)
		status := pod.Status
		if pod, err = api.Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
		pod.Status = status
		_, err = api.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("make pods: %w", err)
	}
	o.pods = n
	return each(o.services, func(i int) error { return o.slice(i, nil) })
}

// injected is a pod with its proxy, as the API stores it, running.
func (o *populace) injected(i int) (*corev1.Pod, error) {
	service := i % o.services
	pod := deployedPod(namespaceOf(service), nameOf(service), i)
	out, err := inject.Inject(o.settings, inject.Request{Pod: pod, Namespace: pod.Namespace, Selected: true})
	if err != nil {
		return nil, err
	}
	if out.Pod == nil {
		return nil, fmt.Errorf("pod %s is not injected: %s", pod.Name, out.Skipped)
	}
	pod = out.Pod
	pod.OwnerReferences, pod.ManagedFields = nil, nil // no ReplicaSet is there
	pod.Spec.NodeName = nodeOf(i)
	ip := addressOf(i).String()
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	return pod, nil
}

// slice writes the endpoints of a service: its pods, and one more.
func (o *populace) slice(service int, more *netip.Addr) error {
	yes, port, name, protocol := true, int32(8080), "http", corev1.ProtocolTCP
	s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: nameOf(service) + "-x7k2p", Namespace: namespaceOf(service),
		Labels: map[string]string{discoveryv1.LabelServiceName: nameOf(service), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}}}
	ready := discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes}
	for i := service; i < o.pods; i += o.services {
		node, zone := nodeOf(i), zoneOf(i%nodes)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{addressOf(i).String()}, Conditions: ready, NodeName: &node, Zone: &zone,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: s.Namespace, Name: podName(nameOf(service), i)}})
	}
	if more != nil {
		node, zone := nodeOf(0), zoneOf(0)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{more.String()}, Conditions: ready, NodeName: &node, Zone: &zone})
	}
	api, ctx := o.p.typed.DiscoveryV1().EndpointSlices(s.Namespace), context.Background()
	old, err := api.Get(ctx, s.Name, metav1.GetOptions{})
	if err != nil {
		_, err = api.Create(ctx, s, metav1.CreateOptions{})
		return err
	}
	s.ResourceVersion = old.ResourceVersion
	_, err = api.Update(ctx, s, metav1.UpdateOptions{})
	return err
}

var virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}

// route writes the VirtualService of a service, with a route for a path of its own before the one for all others.
func (o *populace) route(service int, path string) error {
	host := nameOf(service)
	text := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":%[1]q,"namespace":%[2]q},"spec":{"hosts":[%[1]q],"http":[
		{"name":"bench","match":[{"uri":{"prefix":"/%[3]s/"}}],"timeout":"3s","route":[{"destination":{"host":%[1]q}}]},{"name":"rest","retries":{"attempts":3},"route":[{"destination":{"host":%[1]q}}]}]}}`,
		host, namespaceOf(service), path)
	force := true
	_, err := o.p.dynamic.Resource(virtualServices).Namespace(namespaceOf(service)).Patch(context.Background(), host, types.ApplyPatchType, []byte(text), metav1.PatchOptions{FieldManager: "bench", Force: &force})
	return err
}

// each calls f for all numbers below n, several at once.
func each(n int, f func(int) error) error {
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	return group.Wait()
}

func podName(app string, i int) string { return fmt.Sprintf("%s-6f7c9d8b54-%05x", app, i) }

// deployedPod is a pod as a Deployment makes it and the API server shows it to webhooks: with what admission and defaults have put in.
func deployedPod(namespace, app string, i int) *corev1.Pod {
	yes, no, seconds, user, hour := true, false, int64(300), int64(10001), int64(3607)
	mode := int32(0o644)
	probe := func(path string, period int32) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}}, TimeoutSeconds: 1, PeriodSeconds: period, SuccessThreshold: 1, FailureThreshold: 3}
	}
	env := []corev1.EnvVar{{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}},
		{Name: "DATABASE_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: app}, Key: "password"}}}}
	for n := range 8 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", n), Value: fmt.Sprintf("https://service-%d.team-%d.svc.cluster.local/api/v1", n, n)})
	}
	toleration := func(key string) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}
	}
	labels := map[string]string{"app": app, "version": "v1", "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "pod-template-hash": "6f7c9d8b54"}
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: podName(app, i), GenerateName: app + "-6f7c9d8b54-", Namespace: namespace, Labels: labels,
			Annotations:     map[string]string{"checksum/config": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-6f7c9d8b54", UID: "0f0e0d0c-0b0a-4908-8706-050403020100", Controller: &yes, BlockOwnerDeletion: &yes}},
			ManagedFields:   managed()},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "app", Image: "registry.example/shop/" + app + ":1.27.3", ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"serve", "--listen=:8080", "--metrics=:9090"},
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}, {Name: "metrics", ContainerPort: 9090, Protocol: corev1.ProtocolTCP}}, Env: env,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
					Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")}},
				LivenessProbe: probe("/healthz", 10), ReadinessProbe: probe("/ready", 5), TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
				SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app", ReadOnly: true}, {Name: "tmp", MountPath: "/tmp"},
					{Name: "kube-api-access-x2v9q", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{DefaultMode: &mode, LocalObjectReference: corev1.LocalObjectReference{Name: app}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "kube-api-access-x2v9q", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &hour}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
					{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}}}}}}},
			ServiceAccountName: app, DeprecatedServiceAccount: app, RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler", EnableServiceLinks: &yes,
			TerminationGracePeriodSeconds: new(int64(30)), SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, RunAsUser: &user, FSGroup: &user}, PreemptionPolicy: new(corev1.PreemptLowerPriority), Priority: new(int32(0)),
			Tolerations: []corev1.Toleration{toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}},
		},
	}
}

// managed is what the API notes of who wrote which field.
func managed() []metav1.ManagedFieldsEntry {
	fields := map[string]any{"f:metadata": map[string]any{"f:generateName": map[string]any{}, "f:labels": map[string]any{".": map[string]any{}, "f:app": map[string]any{}, "f:version": map[string]any{}},
		"f:ownerReferences": map[string]any{".": map[string]any{}}}, "f:spec": map[string]any{"f:containers": map[string]any{`k:{"name":"app"}`: map[string]any{".": map[string]any{}, "f:args": map[string]any{},
		"f:env": map[string]any{".": map[string]any{}}, "f:image": map[string]any{}, "f:imagePullPolicy": map[string]any{}, "f:livenessProbe": map[string]any{}, "f:name": map[string]any{}, "f:ports": map[string]any{},
		"f:readinessProbe": map[string]any{}, "f:resources": map[string]any{}, "f:securityContext": map[string]any{}, "f:volumeMounts": map[string]any{}}}, "f:dnsPolicy": map[string]any{}, "f:restartPolicy": map[string]any{},
		"f:serviceAccountName": map[string]any{}, "f:volumes": map[string]any{".": map[string]any{}}}}
	raw, _ := json.Marshal(fields) // maps and strings
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &at, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: raw}}}
}
