package inject

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	proxyUser = 1337 // capture leaves its connections alone
	otherUser = 1338 // and not this one's
	program   = "/usr/local/bin/heddle-proxy"
	envoyPath = "/usr/local/bin/envoy"
	workDir   = "/etc/istio/proxy" // writable
	rootFile  = "/var/run/secrets/istio/root-cert.pem"
	tokenFile = "/var/run/secrets/tokens/istio-token"
	podInfo   = "/etc/istio/pod"
	proberEnv = "ISTIO_KUBE_APP_PROBERS"
)

// proxy is the proxy's container.
func (b *builder) proxy(probers string) corev1.Container {
	w := &b.wants
	c := corev1.Container{
		Name: ProxyContainer, Image: w.image, ImagePullPolicy: b.s.ImagePullPolicy, Command: []string{program}, Args: b.args(probers), Env: b.environment(probers),
		Ports:     []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: statsPort, Protocol: corev1.ProtocolTCP}},
		Resources: w.resources, SecurityContext: b.proxyRights(),
		VolumeMounts: append([]corev1.VolumeMount{
			{Name: "istiod-ca-cert", MountPath: "/var/run/secrets/istio", ReadOnly: true}, {Name: "istio-token", MountPath: "/var/run/secrets/tokens", ReadOnly: true},
			{Name: "istio-podinfo", MountPath: podInfo, ReadOnly: true}, {Name: "istio-envoy", MountPath: workDir}}, w.mounts...),
	}
	if w.grpc {
		c.Ports = nil // it has no statistics
	}
	if w.readiness != 0 {
		c.StartupProbe, c.ReadinessProbe = ready(w.readiness, 0, 1, 600), ready(w.readiness, w.initialDelay, w.period, w.fail)
	}
	switch {
	case w.native:
		// Kubernetes starts the other containers when the startup probe has succeeded, and ends this one after them.
		c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	case w.gateway:
	default:
		// Both get SIGTERM at the same time: the proxy waits, so that the application can finish what it has begun.
		c.Lifecycle = &corev1.Lifecycle{PreStop: exec("wait", "--for", w.drain.String())}
		if w.hold {
			c.Lifecycle.PostStart = exec("wait", "--url", fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", readyPort), "--timeout", "1m")
		}
	}
	return c
}

func exec(args ...string) *corev1.LifecycleHandler {
	return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: append([]string{program}, args...)}}
}

func ready(port, delay, period, fail int32) *corev1.Probe {
	return &corev1.Probe{InitialDelaySeconds: delay, PeriodSeconds: period, FailureThreshold: fail, TimeoutSeconds: 3,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz/ready", Port: intstr.FromInt32(port)}}}
}

// unprivileged is what the "restricted" Pod Security Standard wants.
func unprivileged() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: new(false), Privileged: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true), RunAsUser: new(int64(proxyUser)),
		RunAsGroup: new(int64(proxyUser)), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// proxyRights are those of the proxy: none, or, to call from the addresses of clients or to keep the table by which datagrams are captured, that to administrate the
// network of its pod. It is root's then, because only root has the capabilities of its container; capture knows it by its group.
func (b *builder) proxyRights() *corev1.SecurityContext {
	sc := unprivileged()
	if b.wants.privileged() {
		sc.RunAsNonRoot, sc.RunAsUser = new(false), new(int64(0))
		sc.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
	}
	return sc
}

// privileged says whether the proxy administrates the network of its pod.
func (w *wants) privileged() bool { return w.interception == "TPROXY" || w.udp }

func (b *builder) args(probers string) []string {
	w := &b.wants
	if w.grpc {
		return b.grpcArgs()
	}
	kind := "sidecar"
	if w.gateway {
		kind = "gateway"
	}
	var args []string
	if w.envoy {
		// The volume itself belongs to root: the agent makes a folder of its own in it, which nobody else may enter.
		args = []string{"agent", "--kind", kind, "--envoy", envoyPath, "--work-dir", workDir + "/agent", "--log-level", w.logLevel}
	} else {
		// The supervisor keeps the listening sockets while the proxy is started again (docs/decisions/012-hot-restart.md).
		args = []string{"supervise", "--socket", workDir + "/supervisor.sock", "--", kind, "--admin-address", "127.0.0.1:" + strconv.Itoa(adminPort), "--log-level", ownLevel(w.logLevel)}
		if limit := b.memory(); limit.Value() > 0 {
			// The proxy gives up requests before the kernel gives up the proxy; a tenth is the supervisor's and the kernel's.
			args = append(args, "--memory-limit", strconv.FormatInt(limit.Value()/10*9, 10))
		}
	}
	args = append(args, b.identityArgs()...)
	args = append(args, pair("--proxy-config", literal(w.own))...)
	if n := w.config.GetConcurrency(); n.GetValue() > 0 {
		args = append(args, "--concurrency", strconv.Itoa(int(n.GetValue())))
	}
	if w.gateway && !w.envoy {
		// Its clients are led by kube-proxy and load balancers, which hear of its end seconds later.
		args = append(args, "--accept-time", w.drain.String())
	}
	args = append(args, "--drain-time", w.drain.String())
	for _, p := range unique([]string{portText(w.statusPort), portText(readyPort), portText(statsPort)}) {
		args = append(args, "--status-address", ":"+p)
	}
	if !w.dns {
		args = append(args, "--no-dns")
	}
	if w.udp {
		args = append(args, "--capture-udp")
	}
	if w.self && !w.grpc {
		args = append(args, "--self-discovery")
	}
	if probers != "" {
		args = append(args, "--app-probes", "$("+proberEnv+")")
	}
	return args
}

// identityArgs say who the workload is and where the control plane is.
func (b *builder) identityArgs() []string {
	w := &b.wants
	args := []string{"--xds-address", cmp.Or(w.config.GetDiscoveryAddress(), b.s.discovery()), "--root-cert", rootFile, "--token-file", tokenFile,
		"--name", "$(POD_NAME)", "--namespace", "$(POD_NAMESPACE)", "--service-account", "$(SERVICE_ACCOUNT)", "--ip", "$(INSTANCE_IPS)", "--labels-file", podInfo + "/labels",
		"--cluster-id", b.s.ClusterID, "--trust-domain", b.s.TrustDomain, "--dns-domain", b.s.ClusterDomain, "--interception-mode", w.interception}
	args = append(args, pair("--network", cmp.Or(b.pod.Labels["topology.istio.io/network"], b.s.Network))...)
	return append(args, pair("--mesh-id", cmp.Or(w.config.GetMeshId(), b.s.TrustDomain))...)
}

func portText(n int32) string { return strconv.Itoa(int(n)) }

// memory is the limit that the container will have.
func (b *builder) memory() *resource.Quantity {
	if own := b.kept.container(ProxyContainer); own != nil && own.Resources.Limits.Memory().Sign() > 0 {
		return own.Resources.Limits.Memory()
	}
	return b.wants.resources.Limits.Memory()
}

func pair(flag, value string) []string {
	if value == "" {
		return nil
	}
	return []string{flag, value}
}

// ownLevel is heddle-proxy's name of one of Envoy's levels.
func ownLevel(envoy string) string {
	switch envoy {
	case "trace":
		return "debug"
	case "critical", "off":
		return "error"
	}
	return envoy
}

func (b *builder) environment(probers string) []corev1.EnvVar {
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	env := []corev1.EnvVar{field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"), field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
		field("INSTANCE_IPS", "status.podIPs")}
	if probers != "" {
		env = append(env, corev1.EnvVar{Name: proberEnv, Value: literal(probers)})
	}
	metadata := b.wants.config.GetProxyMetadata()
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		env = append(env, corev1.EnvVar{Name: key, Value: literal(metadata[key])})
	}
	return env
}

// literal keeps the kubelet from replacing $(NAME) in a value.
func literal(text string) string { return strings.ReplaceAll(text, "$(", "$$(") }

// captures says whether the pod's traffic is led to the proxy.
func (b *builder) captures() bool { return !b.wants.gateway && b.wants.interception != "NONE" }

// capture is the container that leads traffic to the proxy; it alone has a privilege, and ends before anything else runs. Where the node does that, the container looks
// whether it has been done, and needs none: a pod that started before its node was ready must not send anything past its proxy.
func (b *builder) capture() corev1.Container {
	sc := unprivileged()
	c := corev1.Container{Name: InitContainer, Image: b.wants.image, ImagePullPolicy: b.s.ImagePullPolicy, Command: []string{program}, Args: append([]string{"capture"}, b.captureArgs()...),
		Resources: b.wants.resources, SecurityContext: sc}
	if b.s.CNI {
		c.Name, c.Args = ValidationContainer, append(c.Args, "--verify")
		sc.RunAsUser, sc.RunAsGroup = new(int64(otherUser)), new(int64(otherUser))
		return c
	}
	sc.RunAsNonRoot, sc.RunAsUser, sc.RunAsGroup = new(false), new(int64(0)), new(int64(0))
	sc.Capabilities.Add = []corev1.Capability{"NET_ADMIN", "NET_RAW"}
	return c
}

// captureArgs are the arguments of istio-iptables; the node agent reads them from the annotation keyCapture.
func (b *builder) captureArgs() []string {
	w, t := &b.wants, &b.wants.traffic
	owner := "-u"
	if w.privileged() {
		owner = "-g" // the proxy's user is root; see proxyRights
	}
	args := []string{"-p", strconv.Itoa(outboundPort), "-z", strconv.Itoa(inboundPort), owner, strconv.Itoa(proxyUser), "-m", w.interception,
		"-i", t.includeOutboundRanges, "-x", t.excludeOutboundRanges, "-b", t.includeInboundPorts, "-d", t.excludeInboundPorts}
	args = append(args, pair("-o", t.excludeOutboundPorts)...)
	args = append(args, pair("-q", t.includeOutboundPorts)...)
	args = append(args, pair("-c", t.excludeInterfaces)...)
	if w.dns {
		args = append(args, "--redirect-dns")
	}
	if w.udp {
		args = append(args, "--redirect-udp")
	}
	return args
}

// volumes adds what the proxy reads. A volume of the pod with one of these names is the pod's own wish and stays.
func (b *builder) volumes() {
	mode, hour12 := int32(0o644), int64(43200)
	list := []corev1.Volume{
		{Name: "istio-token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: b.s.TokenAudience, ExpirationSeconds: &hour12, Path: "istio-token"}}}}}},
		{Name: "istiod-ca-cert", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{DefaultMode: &mode, LocalObjectReference: corev1.LocalObjectReference{Name: b.s.RootConfigMap}}}},
		{Name: "istio-podinfo", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{DefaultMode: &mode, Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.labels"}},
			{Path: "annotations", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.annotations"}}}}}},
		{Name: "istio-envoy", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
	}
	for _, v := range append(list, b.wants.volumes...) {
		if !slices.ContainsFunc(b.pod.Spec.Volumes, func(have corev1.Volume) bool { return have.Name == v.Name }) {
			b.pod.Spec.Volumes = append(b.pod.Spec.Volumes, v)
		}
	}
}
